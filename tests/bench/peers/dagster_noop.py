"""A backfill of no-op partitions through Dagster, with PostgreSQL storage: one run for each partition.

`python dagster_noop.py SECONDS` starts the daemon, submits a backfill and counts the materialized partitions after so
many seconds. Four runs at once, as in its documentation; each is a process, started by the default launcher.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

import psycopg2

DATABASE = os.environ["BACKSTITCH_TEST_DATABASE_URL"]
PARTITIONS = 1000
RUNS_AT_ONCE = 4

DEFINITIONS = f"""
import dagster

keys = [f"p{{number:06}}" for number in range({PARTITIONS})]


@dagster.asset(partitions_def=dagster.StaticPartitionsDefinition(keys))
def noop() -> None:
    pass


job = dagster.define_asset_job("noop_job", [noop])
# Without a process for each step: the faster choice for tasks that do nothing.
defs = dagster.Definitions(assets=[noop], jobs=[job], executor=dagster.in_process_executor)
"""

INSTANCE = """
storage:
  postgres:
    postgres_url: {url}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
concurrency:
  runs:
    max_concurrent_runs: {runs}
telemetry:
  enabled: false
"""


def measure_on_a_database_of_its_own(seconds):
    name = f"dagster_noop_{os.getpid()}"
    admin = psycopg2.connect(DATABASE)
    admin.autocommit = True
    admin.cursor().execute(f"CREATE DATABASE {name}")
    try:
        measure(seconds, urlsplit(DATABASE)._replace(scheme="postgresql", path=f"/{name}").geturl())
    finally:
        # Also when it found nothing to measure.
        admin.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def measure(seconds, url):
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "dagster.yaml"), "w") as file:
            file.write(INSTANCE.format(url=url.replace("postgresql:", "postgresql+psycopg2:"), runs=RUNS_AT_ONCE))
        with open(os.path.join(home, "noop_definitions.py"), "w") as file:
            file.write(DEFINITIONS)
        environment = {**os.environ, "DAGSTER_HOME": home}
        log = open(os.path.join(home, "daemon.log"), "w")
        daemon = subprocess.Popen(
            ["dagster-daemon", "run", "-f", "noop_definitions.py"],
            cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True,
        )
        try:
            begin = time.monotonic()
            submission = subprocess.run(
                ["dagster", "job", "backfill", "-f", "noop_definitions.py", "-j", "noop_job", "--all", "--noprompt"],
                cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            if submission.returncode != 0:
                sys.exit("the backfill was not accepted:\n" + submission.stdout[-3000:])
            submitted = time.monotonic() - begin
            print(f"dagster: submitting took {submitted:.1f} s", flush=True)
            first, done, now = None, 0, begin
            # Once all are done, time that goes by would count against it.
            while done < PARTITIONS and time.monotonic() - begin < submitted + seconds:
                time.sleep(0.5)
                done, now = count(url), time.monotonic()
                if done and first is None:
                    first = (now, done)
            if first is None:
                with open(log.name) as file:
                    sys.exit("no partition was materialized:\n" + file.read()[-3000:])
            if done == first[1]:
                sys.exit(f"{done} partitions were materialized, and no more: give more seconds")
            rate = (done - first[1]) / (now - first[0])
        finally:
            # It would finish the runs that it has begun.
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        print(f"dagster: backfill of {PARTITIONS} no-op partitions, {RUNS_AT_ONCE} runs at once: {rate:.2f} partitions/s "
              f"once it runs, the first partition {first[0] - begin - submitted:.1f} s after submitting",
              flush=True)


def count(url):
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM runs WHERE status = 'SUCCESS'")
        return cursor.fetchone()[0]


if __name__ == "__main__":
    measure_on_a_database_of_its_own(int(sys.argv[1]))
