# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What tracing costs the target: each workload plain and under each mode, paired, a fresh process for every run.

Expensive modes get a smaller size, and so does their plain run. Ratios are of the body's wall time and of its CPU time,
which holds the traps and our programs; the second is the steadier on a machine that has other work.
"""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

from lib import tap

from . import measure, table

PAIRS = "a: 5M object() made and dropped"
WORKLOADS = {
    PAIRS: "objects.py",
    "b: 2M small dicts and tuples kept": "kept.py",
    "c: JSON round trips, 10 MB": "json_trips.py",
    "d: threads on a cache that evicts": "cache.py",
    "e: buffers 1-64 MB, touched": "buffers.py",
    "f: ten-line function": "ten_lines.py",
    "deepcopy": "deep_copy.py",
    "page-touching loop": "touch.py",
}
QUICK = ["objects.py", "kept.py", "json_trips.py", "touch.py"]


class Mode:
    """One way of being measured. scale: of the workload's full size. signals: record with these."""

    def __init__(self, name, scale=1.0, signals=None, options=(), external=None, recorder_options=()):
        self.name = name
        self.scale = scale
        self.order = f"go {scale}"
        self.signals = signals
        self.recorder_options = recorder_options
        self.options = options  # of the interpreter
        self.external = external  # a command that attaches to {pid} and python {python}

    def there(self, python):
        """Whether the peer is installed."""
        if self.external:
            return shutil.which(self.external[0])
        if "-m" not in self.options:
            return True
        module = self.options[self.options.index("-m") + 1]
        return subprocess.run([python.path, "-c", f"import {module}"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0


EXACT = Mode("exact", 0.01, signals="exact")
PEERS = [
    Mode("tracemalloc 1 frame", 0.2, options=["-X", "tracemalloc=1"]),
    Mode("tracemalloc 25 frames", 0.2, options=["-X", "tracemalloc=25"]),
    Mode("memray", 0.2, options=["-m", "memray", "run", "-f", "-q", "-o", "{folder}/memray.bin"]),
    Mode("memray, Python allocators", 0.2,
         options=["-m", "memray", "run", "-f", "-q", "--trace-python-allocators", "-o", "{folder}/memray.bin"]),
    Mode("scalene", 0.2, options=["-m", "scalene", "--cli", "--outfile", "{folder}/scalene.txt"]),
    Mode("memory_profiler", 0.01, options=["-m", "memory_profiler"]),
    Mode("bpftrace count", 0.02, external=["bpftrace", "-p", "{pid}", "-e", "uprobe:{python}:PyObject_Malloc {{ @ = count(); }}"]),
    Mode("memleak", 0.02, external=["memleak-bpfcc", "-p", "{pid}"]),
]


@contextlib.contextmanager
def attached(command, pid, python):
    """A peer that attaches from outside. It says nothing to wait for on a pipe, so it gets three seconds."""
    process = subprocess.Popen([word.format(pid=pid, python=python.path) for word in command],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(3)
        yield
    finally:
        process.terminate()
        process.wait()


def once(script, mode, order, python):
    """{"wall_s", "cpu_s", "turns"}, times by turn, and what the recorder cost."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pymemscope-bench-"))
        options = [option.format(folder=folder) for option in mode.options] if mode else []
        load = stack.enter_context(measure.Workload(script, python=python.path, options=options,
                                                    cpu=measure.bench_cpus()[0])).ready()
        if mode and mode.external:
            stack.enter_context(attached(mode.external, load.pid, python))
        if not mode or not mode.signals:
            return by_turn(load.do(order))
        record = stack.enter_context(measure.Record("--signals", mode.signals, *mode.recorder_options,
                                                    "--pid", load.pid))
        took = by_turn(load.do(order))
        took["record"] = record.stop()
        return took


def by_turn(took):
    return {**took, "wall_s": took["wall_s"] / took["turns"], "cpu_s": took["cpu_s"] / took["turns"]}


def pairs(script, mode, python, count):
    """Plain and measured by turns, the order changing, so that a drift hits both."""
    done = []
    for number in range(count):
        runs = {}
        for which in ((None, mode) if number % 2 else (mode, None)):
            runs["mode" if which else "plain"] = once(script, which, mode.order, python)
        done.append(runs)
    return done


def summary(runs):
    """Medians of a list of pairs."""
    out = {f"{key}_ratio": measure.median([run["mode"][f"{key}_s"] / run["plain"][f"{key}_s"] for run in runs])
           for key in ("wall", "cpu")}
    out["wall_ratios"] = [run["mode"]["wall_s"] / run["plain"]["wall_s"] for run in runs]
    out["plain_s"] = measure.median([run["plain"]["wall_s"] for run in runs])
    out["pairs"] = runs
    records = [run["mode"]["record"] for run in runs if "record" in run["mode"]]
    if records:
        out["events"] = measure.median([one["events"] for one in records])
        extra = measure.median([(run["mode"]["cpu_s"] - run["plain"]["cpu_s"]) * run["mode"]["turns"] for run in runs])
        out["ns_per_event"] = 1e9 * extra / out["events"] if out["events"] >= 1000 else None
        out["dropped"] = sum(sum(one["dropped"].values()) for one in records)
        out["programs"] = [one["programs"] for one in records]
        out["cost_ns"] = measure.median([one["counters"].get("cost.all_ns", 0) for one in records])
    return out


def ratio_table(title, results, notes):
    """results: {workload: {interpreter: summary}}"""
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    head = ["workload"]
    for name in names:
        head += [f"{name}: wall", "CPU", "events", "ns/event"]
    rows = []
    for workload, row in results.items():
        cells = [workload]
        for name in names:
            one = row[name]
            cells += [table.ratio(one["wall_ratio"]), table.ratio(one["cpu_ratio"]), table.number(one.get("events")),
                      table.number(one.get("ns_per_event"))]
        rows.append(cells)
    means = ["geometric mean"]
    for name in names:
        means += [table.ratio(measure.geometric_mean([row[name][f"{key}_ratio"] for row in results.values()]))
                  for key in ("wall", "cpu")] + ["", ""]
    table.show(title, head, rows + [means], notes)


def of_signals(mode, quick, count, notes, interpreters):
    results = {}
    for workload, script in WORKLOADS.items():
        if not quick or script in QUICK:
            results[workload] = {one.name: summary(pairs(script, mode, one, count)) for one in interpreters}
    ratio_table(f"Slowdown, {mode.name}, medians by pair, {count} a figure", results, notes)
    return results


def programs_ns_a_pair(python):
    """What our programs take of an allocation and its free, by the kernel's own statistics (whose clock is in it, 20 to 45 ns a run)."""
    with measure.run_time_statistics():
        record = once(WORKLOADS[PAIRS], EXACT, EXACT.order, python)["record"]
    return 2 * sum(one["run_ns"] for name, one in record["programs"].items() if name.startswith("exact_")) / record["events"]


def pair_table(results, interpreters):
    """Of workload a: the bar is of two events."""
    rows = []
    for one in interpreters:
        programs = programs_ns_a_pair(one)
        pair = 2 * results[PAIRS][one.name]["ns_per_event"]
        results[PAIRS][one.name]["programs_ns_a_pair"] = programs
        rows.append([one.name, *(f"{ns / 1000:.2f}" for ns in (pair, programs, pair - programs))])
    table.show("An allocation and its free, exact, us above plain", ["interpreter", "both", "our programs", "the two traps"], rows,
               ["Workload a. Bar (issue 4): 1.2 us, of which it takes the two traps to be 0.8."])


def measure_exact(quick):
    note = [f"At {EXACT.scale:g} of the full size."]
    interpreters = measure.pythons(quick)[-1:] if quick else measure.pythons(quick)
    results = of_signals(EXACT, quick, 1 if quick else 2, note, interpreters)
    pair_table(results, interpreters)
    return results


def measure_peers(quick):
    # The one that most peers are installed for.
    python = max(measure.pythons(False), key=lambda one: sum(bool(mode.there(one)) for mode in PEERS))
    modes = [mode for mode in PEERS if mode.there(python)]
    results = {}
    for workload, script in WORKLOADS.items():
        if quick and script not in QUICK:
            continue
        results[workload] = {}
        for mode in modes:
            with contextlib.suppress(tap.Failed):  # a peer that can't run a program is a hole in the table
                results[workload][mode.name] = summary(pairs(script, mode, python, 1 if quick else 3))
    head = ["workload", "plain s", *(mode.name for mode in modes)]
    rows = []
    for workload, row in results.items():
        plain = measure.median([one["plain_s"] for one in row.values()])
        rows.append([workload, table.number(plain, 2),
                     *(table.ratio(row[mode.name]["wall_ratio"]) if mode.name in row else "fails" for mode in modes)])
    absent = [mode.name for mode in PEERS if mode not in modes]
    table.show(f"Slowdown under peers ({python}), wall time", head, rows,
               [f"At a fifth of the full size or less. Not installed here: {', '.join(absent) or 'none'}."])
    return results
