"""The same work as partitions.rs in Dagster 1.13.28, where it can do it.

    python3 -m venv VENV && VENV/bin/pip install dagster==1.13.28
    VENV/bin/python proto/benches/measure_dagster.py > proto/benches/dagster-figures.txt

Prints one line per measurement: seconds of the best of three runs, or the reason why there is none.
Every measurement is cut off after a minute, so sizes that Dagster cannot reach are given smaller and
say so.
"""

import os
import platform
import random
import signal
import time
from datetime import datetime, timezone

import dagster
from dagster import (
    DailyPartitionsDefinition,
    HourlyPartitionsDefinition,
    MultiPartitionsDefinition,
    MultiToSingleDimensionPartitionMapping,
    StaticPartitionsDefinition,
    TimeWindowPartitionMapping,
    TimeWindowPartitionsDefinition,
)
from dagster._core.definitions.partitions.context import partition_loading_context

LIMIT_SECONDS = 60
NOW = datetime(2024, 1, 10, 12, tzinfo=timezone.utc)
ZONE = "America/New_York"


class TooLong(Exception):
    pass


def give_up(*_):
    raise TooLong


signal.signal(signal.SIGALRM, give_up)


def measure(name, work, times=3, per=1):
    """Times `work`; `per` is how many operations one run does."""
    best = None
    signal.alarm(LIMIT_SECONDS)
    try:
        for _ in range(times):
            begin = time.perf_counter()
            work()
            seconds = (time.perf_counter() - begin) / per
            best = seconds if best is None else min(best, seconds)
    except TooLong:
        pass
    finally:
        signal.alarm(0)
    if best is None:
        figure = f"> {LIMIT_SECONDS} s (stopped)"
    elif best < 1e-3:
        figure = f"{best * 1e6:.1f} us"
    elif best < 1:
        figure = f"{best * 1e3:.1f} ms"
    else:
        figure = f"{best:.1f} s"
    print(f"  {name:<70} {figure}", flush=True)


def minutely():
    return TimeWindowPartitionsDefinition(
        start=datetime(2005, 1, 1), fmt="%Y-%m-%d-%H:%M", cron_schedule="* * * * *", timezone=ZONE
    )


def hourly():
    return HourlyPartitionsDefinition(start_date=datetime(2005, 1, 1), timezone=ZONE)


def daily():
    return DailyPartitionsDefinition(start_date=datetime(2005, 1, 1), timezone=ZONE)


def cells(customers, products):
    return MultiPartitionsDefinition({
        "customer": StaticPartitionsDefinition([f"c{n}" for n in range(customers)]),
        "product": StaticPartitionsDefinition([f"p{n}" for n in range(products)]),
    })


def keys_of_hours(count, step):
    base = datetime(2005, 1, 1).timestamp()
    random.seed(1)
    picked = sorted(random.sample(range(160_000), count))
    return [datetime.fromtimestamp(base + hour * 3600).strftime("%Y-%m-%d-%H:00") for hour in picked][::step]


def main():
    print(f"Dagster {dagster.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    with partition_loading_context(NOW):
        measure("count: minutely over 19 years (10 million)", lambda: minutely().get_num_partitions(), 1)
        measure("count: hourly over 19 years (167 thousand)", lambda: hourly().get_num_partitions())
        measure("build and count: 1,000 x 10,000 cells", lambda: cells(1_000, 10_000).get_num_partitions(), 1)

        hours, days, minutes = hourly(), daily(), minutely()
        some_hours = keys_of_hours(1_000, 1)
        measure("is it a key: hourly", lambda: [hours.has_partition_key(key) for key in some_hours], 3, len(some_hours))
        some_minutes = some_hours[:20]
        measure("is it a key: minutely", lambda: [minutes.has_partition_key(key) for key in some_minutes], 1, 20)
        # Position of a key: only by listing all keys.
        measure("ordinal of a key: hourly (by listing the keys)", lambda: hours.get_partition_keys().index("2023-06-01-12:00"), 1)

        a = hours.empty_subset().with_partition_keys(keys_of_hours(20_000, 1))
        b = hours.empty_subset().with_partition_keys(keys_of_hours(20_000, 2))
        measure("union: fragmented, 20 and 10 thousand of 167 thousand hours", lambda: a | b, 1)
        measure("difference: fragmented, 20 and 10 thousand of 167 thousand hours", lambda: a - b, 1)

        static = StaticPartitionsDefinition([f"k{n}" for n in range(1_000_000)])
        c = static.empty_subset().with_partition_keys([f"k{n}" for n in range(0, 1_000_000, 2)])
        d = static.empty_subset().with_partition_keys([f"k{n}" for n in range(0, 1_000_000, 3)])
        measure("union: fragmented, 500 and 333 thousand of 1 million static keys", lambda: c | d, 1)

        few = cells(100, 1_000)
        grid = [(customer, product) for customer in range(100) for product in range(1_000)]
        e = few.empty_subset().with_partition_keys([f"c{c}|p{p}" for c, p in grid if c % 3 == 0 and p % 2 == 0])
        f = few.empty_subset().with_partition_keys([f"c{c}|p{p}" for c, p in grid if c % 2 == 0 and p % 3 != 0])
        measure("union: fragmented, 17 and 33 thousand of 100 x 1,000 cells", lambda: e | f, 1)
        measure("difference: fragmented, 17 and 33 thousand of 100 x 1,000 cells", lambda: e - f, 1)

        customers = StaticPartitionsDefinition([f"c{n}" for n in range(100)])
        dimension = MultiToSingleDimensionPartitionMapping("customer")
        everyone, every_cell = customers.subset_with_all_partitions(), few.subset_with_all_partitions()

        def upstream_cells():
            dimension.get_upstream_mapped_partitions_result_for_partitions(everyone, customers, few, NOW)

        def downstream_cells():
            dimension.get_downstream_partitions_for_partitions(every_cell, few, customers, NOW)

        measure("upstream_of everything: 100 x 1,000 cells -> customers", upstream_cells, 1)
        measure("downstream_of everything: 100 x 1,000 cells -> customers", downstream_cells, 1)

        everything = days.subset_with_all_partitions()
        mapping = TimeWindowPartitionMapping()

        def upstream():
            mapping.get_upstream_mapped_partitions_result_for_partitions(everything, days, hours, NOW)

        measure("upstream_of everything: hourly -> daily, 19 years", upstream)
        scattered = days.empty_subset().with_partition_keys(days.get_partition_keys()[::2])

        def upstream_scattered():
            mapping.get_upstream_mapped_partitions_result_for_partitions(scattered, days, hours, NOW)

        measure("upstream_of every second day: hourly -> daily, 19 years", upstream_scattered)
        all_hours = hours.subset_with_all_partitions()

        def downstream():
            mapping.get_downstream_partitions_for_partitions(all_hours, hours, days, NOW)

        measure("downstream_of everything: hourly -> daily, 19 years", downstream)


main()
