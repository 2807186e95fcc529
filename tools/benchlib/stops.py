# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""How long a program is stopped while probes come, stay and go: its longest gaps, alone and recorded, by turns."""
import time

from . import measure, table

SECONDS = 4
RECORDED_S = 2
SIGNALS = {"default": "resident,heap,gc", "exact": "exact"}


def once(python, signals):
    """What the program says of its gaps. With signals, a recorder comes and goes meanwhile."""
    with measure.Workload("gaps.py", python=python.path, cpu=measure.bench_cpus()[0]).ready() as load:
        load.send(f"run {SECONDS}")
        if signals:
            with measure.Record("--pid", load.pid, "--signals", signals) as record:
                time.sleep(RECORDED_S)
                record.stop()
        return load.answer()


def measure_python(python, count):
    runs = {name: [] for name in ("alone", *SIGNALS)}
    for _ in range(count):
        for name, done in runs.items():
            done.append(once(python, SIGNALS.get(name)))
    return runs


def row(python, name, runs):
    gap, blocked = (measure.median([max(run[key], default=0) for run in runs]) for key in ("gaps_us", "blocked_us"))
    worst = max(max(run["blocked_us"], default=0) for run in runs)
    return [python, name, *map(table.number, (gap, blocked, worst)), sum(run["over_ms"] for run in runs)]


def measure_all(quick):
    count = 3 if quick else 7
    results = {python.name: measure_python(python, count) for python in measure.pythons(quick)}
    table.show(f"How long a program is stopped, {SECONDS} s, medians of {count}",
               ["python", "recorded", "longest gap us", "longest blocked us", "worst blocked us", "blocked over 1 ms, all runs"],
               [row(python, name, runs) for python, by_name in results.items() for name, runs in by_name.items()],
               ["Gaps in a loop that allocates and brings pages in, less the time that it waited for a processor; blocked: it gave its "
                "processor up meanwhile. The recorder comes and goes. A gap is the sum of all waits in one turn of the loop, "
                "some ten of 50 to 200 us with exact. Bar (issue 3): never stopped for longer than 1 ms."])
    return results
