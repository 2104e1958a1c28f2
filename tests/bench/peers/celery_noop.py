"""No-op tasks through Celery: RabbitMQ carries them, PostgreSQL keeps every result.

`python celery_noop.py TASKS` submits the tasks, starts a worker of two processes and waits for the last result row. Once
with the result back end and once without, because most of the time goes there.
"""

import os
import subprocess
import sys
import time

import psycopg2
from celery import Celery

BROKER = os.environ["BACKSTITCH_TEST_AMQP_URL"]
DATABASE = os.environ["BACKSTITCH_TEST_DATABASE_URL"]
RESULTS = os.environ.get("CELERY_NOOP_RESULTS") == "1"
PROCESSES = 2

app = Celery("celery_noop", broker=BROKER)
app.conf.update(
    # A task that its worker did not finish runs again, as ours does.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="celery_noop" + ("_results" if RESULTS else ""),
    task_ignore_result=not RESULTS,
    result_backend="db+" + DATABASE.replace("postgres://", "postgresql+psycopg2://") if RESULTS else None,
    # Published with confirms, so that an accepted task is one that the broker has.
    broker_transport_options={"confirm_publish": True},
    worker_prefetch_multiplier=64,
)


@app.task(name="noop")
def noop(partition):
    """Does nothing."""


def count_results():
    with psycopg2.connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('celery_taskmeta') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'")
        return cursor.fetchone()[0]


def count_waiting():
    with app.connection_for_read() as connection:
        queue = connection.default_channel.queue_declare(app.conf.task_default_queue, passive=True)
        return queue.message_count


def measure(tasks):
    """Submits everything, then starts the worker and times it from its first tasks to the last."""
    before = count_results() if RESULTS else 0
    begin = time.monotonic()
    with app.producer_pool.acquire() as producer:
        for partition in range(tasks):
            noop.apply_async((partition,), producer=producer)
    submitting = time.monotonic() - begin

    def done():
        return count_results() - before if RESULTS else tasks - count_waiting()

    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_noop", "worker", "-c", str(PROCESSES), "-l", "ERROR",
         "--without-gossip", "--without-mingle", "--without-heartbeat"],
        cwd=os.path.dirname(os.path.abspath(__file__)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
    )
    try:
        # Without results what is done is what left the queue; what the worker has prefetched takes a blink.
        while (first := done()) == 0:
            time.sleep(0.1)
        begin = time.monotonic()
        while (last := done()) < tasks:
            time.sleep(0.1)
        executing = time.monotonic() - begin
    finally:
        worker.terminate()
        worker.wait()
    with_or_without = "with results in PostgreSQL" if RESULTS else "without results"
    print(f"celery: {tasks} no-op tasks {with_or_without}, {PROCESSES} processes: "
          f"{(last - first) / executing:.0f} tasks/s executed, {tasks / submitting:.0f} tasks/s submitted", flush=True)


if __name__ == "__main__":
    if "CELERY_NOOP_RESULTS" in os.environ:
        measure(int(sys.argv[1]))
    else:
        for results in "01":
            subprocess.run([sys.executable, __file__, *sys.argv[1:]], check=True,
                           env={**os.environ, "CELERY_NOOP_RESULTS": results})
