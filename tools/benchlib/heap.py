# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""How right the heap signal is: who holds the heap by line, in programs whose truth tracemalloc tells, and what that costs.

Each program of tests/targets/heap_programs.py does the same in each run, so what each of its lines holds at the end is known from
one run under tracemalloc, which has nothing to compute in between. Interpreters are private copies: no other probes are there.
"""
import functools
import statistics
import time

from lib import host, target, tool
from lib import measure as signals

from . import measure, table

SECONDS = 20
STEPS = 8000
PROGRAMS = {"dicts": STEPS, "strings": STEPS, "slots": STEPS, "buffers": STEPS, "cache": STEPS, "parser": STEPS // 2,
            "in_turn": STEPS // 2, "bursts": STEPS, "phases": STEPS}
MAJOR_SHARE = 0.05


def rounds_of(start, program):
    """So much is computed after each step that the program takes SECONDS."""
    with start("heap_programs.py") as process:
        process.ready()

        def seconds(steps, rounds):
            begin = time.monotonic()
            process.ask(f"{program} {steps} {rounds}", measure.LIMIT_S)
            return time.monotonic() - begin
        seconds(100, 0)
        step, computing = seconds(200, 0) / 200, seconds(200, 10000) / 200
    return max(0, round((SECONDS / PROGRAMS[program] - step) / (computing - step) * 10000))


def run(start, program, rounds, budget):
    """Rows by place, CPU time of the program, and what the recorder cost; budget None: nothing is recorded."""
    with start("heap_programs.py") as process:
        process.ready()
        begin_ns = measure.cpu_ns(process.pid)
        if budget is None:
            process.ask(f"{program} {PROGRAMS[program]} {rounds}", measure.LIMIT_S)
            return None, measure.cpu_ns(process.pid) - begin_ns, None
        with measure.Record("--pid", process.pid, "--signals", "heap", "--budget", budget) as record:
            process.ask(f"{program} {PROGRAMS[program]} {rounds}", measure.LIMIT_S)
            cpu_ns = measure.cpu_ns(process.pid) - begin_ns
            cost = record.stop()
            told = tool.report(record.file, "line", "--top", "100000", "--signal", "heap")
    return signals.by_place(told), cpu_ns, cost


def judge(rows, lines):
    """By line: error as a share of the truth, and whether the truth lies in the stated error; None: it says that it does not know."""
    judged = {}
    for place, size in lines.items():
        row = rows.get(place, {"bytes": 0, "error_bytes": None})
        # Where no error is stated, what was counted is off by what was there before tracing began.
        off, stated = row["bytes"] - size, row["error_bytes"]
        judged[place] = {"error": off / size, "stated": None if stated is None else stated / size,
                         "inside": None if stated is None else abs(off) <= stated + 0.01 * size}
    return judged


def summary(lines, whole, runs, plain_cpu_ns):
    judged = [one["judged"] for one in runs]
    largest = next(iter(lines))
    major = [abs(one[place]["error"]) for one in judged for place, size in lines.items() if size >= MAJOR_SHARE * whole]
    inside = [line["inside"] for one in judged for line in one.values()]
    stated = [line["stated"] for one in judged for line in one.values() if line["stated"] is not None]
    return {
        "largest": statistics.median(abs(one[largest]["error"]) for one in judged),
        "major": statistics.median(major), "worst": max(major),
        "stated": measure.median(stated), "unstated": inside.count(None),
        "inside": inside.count(True), "pairs": len(inside),
        "windows": statistics.mean(one["windows"] for one in runs),
        "tracer": statistics.mean(one["tracer"] for one in runs),
        "cpu_ratio": statistics.median(one["cpu_ns"] for one in runs) / plain_cpu_ns,
    }


def measure_program(start, program, lines, whole, rounds, budget, count, plain_cpu_ns):
    runs = []
    for _ in range(count):
        rows, cpu_ns, cost = run(start, program, rounds, budget)
        runs.append({"judged": judge(rows, lines), "cpu_ns": cpu_ns, "tracer": cost["tracer_cpu_s"] / cost["record_s"],
                     "windows": cost["counters"].get("heap.windows", 0)})
    return {"runs": runs, **summary(lines, whole, runs, plain_cpu_ns)}


def percent(value, digits=1):
    return "-" if value is None else f"{100 * value:.{digits}f}"


def show(python, budget, count, results):
    rows = [[program, percent(one["largest"]), percent(one["major"]), percent(one["worst"]), percent(one["stated"]),
             f"{one['inside']} of {one['pairs']}", one["unstated"], table.number(one["windows"]), percent(one["tracer"], 2),
             table.ratio(one["cpu_ratio"])] for program, one in results.items()]
    inside, pairs = (sum(one[key] for one in results.values()) for key in ("inside", "pairs"))
    table.show(f"Heap by line, budget {budget} ({python}, {count} runs of {SECONDS} s)",
               ["program", "largest, %", "major lines, %", "worst, %", "stated, %", "inside", "not stated", "windows",
                "tracer CPU %", "CPU"], rows,
               [f"Errors against tracemalloc: of the largest line (median of runs); median and worst of the lines of {MAJOR_SHARE:.0%} "
                f"and more; the median of what was stated. inside: the truth lies in the stated error (a hundredth of the line is "
                f"left for what is no estimate); all: {inside} of {pairs}. CPU: the program's, over a run alone.",
                "Bar: 5 % on each major line; inside 95 of 100."])


def measure_budgets(budgets, programs=tuple(PROGRAMS)):
    """budgets: {budget: runs}"""
    python = measure.pythons(True)[0]
    results = {budget: {} for budget in budgets}
    with host.private_copy(python) as (path, environment):
        start = functools.partial(target.Process, python=path, environment=environment)
        for program in programs:
            lines, whole = signals.heap_lines(start, program, PROGRAMS[program], measure.LIMIT_S)
            rounds = rounds_of(start, program)
            plain_cpu_ns = run(start, program, rounds, None)[1]
            for budget, count in budgets.items():
                results[budget][program] = measure_program(start, program, lines, whole, rounds, budget, count, plain_cpu_ns)
    for budget, count in budgets.items():
        show(python, budget, count, results[budget])
    return results


def measure_all(quick):
    return measure_budgets({"1%": 2, "10%": 1, "none": 1} if quick else {"1%": 5, "10%": 3, "none": 1})
