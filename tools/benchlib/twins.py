# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the default costs the target, to within some tenths of a percent on a machine that drifts by ten.

Two processes of one program, twins, do the same work on one CPU at the same time; the scheduler has them take turns of some
milliseconds, so whatever slows the machine down slows both. First one is recorded, then the other: that one of them is always
some percent faster, for its memory lies otherwise, goes out of the mean of both. The recorder is kept on another CPU.

What is compared is CPU time, in which the traps and our programs are, and the time that a twin was held up: neither running
nor in the queue for its CPU. Hooks of the whole host meet both twins: what those cost who is no target is not in the ratio.
"""
import contextlib
import math
import os
import statistics

from lib import host

from . import measure, table


class Work:
    """scale: of the full size of a turn, so that it takes half a second at most. threads: the main thread waits for others."""

    def __init__(self, name, script, scale=1.0, threads=False):
        self.name = name
        self.script = script
        self.scale = scale
        self.threads = threads

    def time_s(self, took):
        """Of a turn. What the main thread of several waits for is no delay: CPU time alone tells there."""
        held_up = 0 if self.threads else max(took["wall_s"] - took["cpu_s"] - took["queued_s"], 0)
        return (took["cpu_s"] + held_up) / took["turns"]


WORKS = [
    Work("a: 5M object() made and dropped", "objects.py"),
    Work("b: small dicts and tuples kept", "kept.py", 0.4),
    Work("c: JSON round trips", "json_trips.py", 0.5),
    Work("d: threads on a cache that evicts", "cache.py", 0.5, threads=True),
    Work("e: buffers 1-64 MB, touched", "buffers.py", 0.1),
    Work("f: ten-line function", "ten_lines.py", 0.5),
    Work("deepcopy", "deep_copy.py", 0.5),
    Work("page-touching loop", "touch.py", 0.1),
]
QUICK = ["kept.py", "deep_copy.py", "touch.py"]
# Of Student's t, 95 % on both sides, by degrees of freedom.
T95 = [None, 12.7, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23]


@contextlib.contextmanager
def twins(work, python, cpu):
    """Two that wait for orders."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(measure.Workload(work.script, python=python.path, cpu=cpu)).ready() for _ in range(2)]


def together(both, order):
    """Their answers, after they did the same at the same time."""
    for one in both:
        one.send(order)
    return [one.answer() for one in both]


def keep_on(pid, cpu):
    """All threads of a process."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(tid), {cpu})


def recorded(both, which, order, options):
    """One of them is recorded. The answers, the recorded one's first, and what the recorder cost."""
    with measure.Record("--pid", both[which].pid, *options) as record:
        keep_on(record.pid, measure.bench_cpus()[1])
        took = together(both, order)
        return took[which], took[1 - which], record.stop()


def of_one(work, python, seconds, options):
    """{"log_ratio", "records"} of one pair of twins, that do the work for so many seconds, twice."""
    logs, records = [], []
    with twins(work, python, measure.bench_cpus()[0]) as both:
        for which in range(2):
            took, plain, record = recorded(both, which, f"loop {seconds} {work.scale}", options)
            logs.append(math.log(work.time_s(took) / work.time_s(plain)))
            records.append(record)
    return {"log_ratio": statistics.mean(logs), "log_ratios": logs, "records": records}


def summary(pairs):
    """The ratio, the standard error of its logarithm (None: one pair does not tell), and what the recorder said it cost."""
    logs = [pair["log_ratio"] for pair in pairs]
    records = [record for pair in pairs for record in pair["records"]]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else None
    told = [one["counters"].get("cost.all_ns", 0) / one["counters"]["cost.target_cpu_ns"] for one in records
            if one["counters"].get("cost.target_cpu_ns")]
    return {"ratio": math.exp(statistics.mean(logs)), "log_error": error, "pairs": pairs,
            "told": statistics.mean(told) if told else None}


def interval(error, pairs):
    """Half of a 95 % interval, as text."""
    if error is None:
        return ""
    return f"{error * T95[min(pairs - 1, len(T95) - 1)]:.3f}"


def ratio_table(title, results, count, notes):
    """results: {interpreter: {workload: summary}}"""
    head, names = ["workload"], list(results)
    for name in names:
        head += [f"{name}: slowdown", "+-", "told %"]
    rows = []
    for work in next(iter(results.values())):
        cells = [work]
        for name in names:
            one = results[name][work]
            told = None if one["told"] is None else 100 * one["told"]
            cells += [f"{one['ratio']:.3f}", interval(one["log_error"], count), table.number(told, 2)]
        rows.append(cells)
    means, worst = ["geometric mean"], ["worst"]
    for name in names:
        ones = list(results[name].values())
        errors = [one["log_error"] for one in ones if one["log_error"] is not None]
        error = math.sqrt(sum(one ** 2 for one in errors)) / len(errors) if errors else None
        means += [f"{measure.geometric_mean([one['ratio'] for one in ones]):.3f}",
                  "" if error is None else f"{2 * error:.3f}", ""]
        worst += [f"{max(one['ratio'] for one in ones):.3f}", "", ""]
    table.show(title, head, [*rows, means, worst], notes)


def interpreters(quick):
    """Debian's 3.11, and a 3.13 that is a shared library where there is one."""
    found = measure.pythons(False)
    return found[:1] if quick else found[:1] + [one for one in found[1:] if one.release == "3.13"]


def works_of(quick, parts):
    """Those whose names have one of the parts."""
    return [work for work in WORKS if (not quick or work.script in QUICK) and
            (not parts or any(part in work.name for part in parts))]


def of_mode(title, options, seconds, count, quick, works, notes):
    chosen, results = works_of(quick, works), {}
    for python in interpreters(quick):
        results[python.name] = {
            work.name: summary([of_one(work, python, seconds, options) for _ in range(count)]) for work in chosen}
    ratio_table(f"Slowdown, {title}, {count} pairs of twins a figure", results, count, [
        *notes, "+-: half of a 95 % interval. Told: what the recording says that tracing cost."])
    return results


def measure_default(quick, works=()):
    seconds = 6 if quick else 10
    return of_mode("default (resident,heap,gc, budget 1 %)", [], seconds, 1 if quick else 3, quick, works, [
        f"{seconds} s from the moment when it records, half of them each twin's. Bars (issue 4): geometric mean <= 1.02, "
        "worst <= 1.05."])


def measure_begin(quick, works=()):
    return of_mode("the first second", [], 2, 2 if quick else 5, quick, works, [
        "2 s from the moment when it records, half of them each twin's: what the program could not have earned yet is in "
        "it. Bars as of the default."])


def measure_no_budget(quick, works=()):
    return of_mode("default signals, --budget none", ["--budget", "none"], 4, 1 if quick else 2, quick, works, [
        "4 s, half of them each twin's. Bar (issue 4): geometric mean <= 1.15."])


SIGNALS = ["resident", "heap", "gc"]


def measure_signals(quick, works=()):
    """Each signal alone, in Debian's 3.11."""
    python, seconds, count = interpreters(True)[0], 2 if quick else 6, 1
    chosen = works_of(quick, works)
    results = {signal: {work.name: summary([of_one(work, python, seconds, ["--signals", signal]) for _ in range(count)])
                        for work in chosen} for signal in SIGNALS}
    ratio_table(f"Slowdown by each signal alone, budget 1 %, {python.name}, {count} pairs of twins a figure", results, count, [
        f"{seconds} s from the moment when it records, half of them each twin's. Told: what the recording says that tracing cost."])
    return results


def measure_bystander(quick):
    """One twin runs the file that a neighbour runs whose allocations are probed, the other a copy of it, in which no probe is."""
    python, (cpu, other), logs = interpreters(True)[0], measure.bench_cpus(), []
    work, seconds = WORKS[0], 2 if quick else 4
    with host.private_copy(python) as (copy, env), \
            measure.Workload(work.script, python=python.path, cpu=cpu) as same, \
            measure.Workload(work.script, python=copy, cpu=cpu, env=env) as foreign, \
            measure.Workload(work.script, python=python.path, cpu=other) as neighbour:
        both = [one.ready() for one in (same, foreign)]
        neighbour.ready()

        def log_ratio():
            neighbour.send(f"loop {seconds + 1} 0.002")
            took = [work.time_s(one) for one in together(both, f"loop {seconds} 0.05")]
            neighbour.answer()
            return math.log(took[0] / took[1])
        for _ in range(2 if quick else 5):
            before = log_ratio()
            with measure.Record("--signals", "exact", "--pid", neighbour.pid) as record:
                keep_on(record.pid, other)
                during = log_ratio()
                record.stop()
            logs.append(during - (before + log_ratio()) / 2)
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    ratio = math.exp(statistics.mean(logs))
    table.show("Bystander: same binary, not a target, exact on its neighbour", ["interpreter", "slowdown", "+-"],
               [[python.name, f"{ratio:.4f}", interval(error, len(logs))]], ["Workload a. Bar (issue 4): <= 1.01."])
    return {"ratio": ratio, "log_ratios": logs}
