# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""How right the resident signal is under a budget: who holds the resident set by line, in programs most of whose faults are of
memory that comes and goes.

The programs of tests/targets/resident_programs.py tell themselves what each of their lines holds. Interpreters are private
copies: no other probes are there.
"""
import os
import statistics
import time

from lib import host, target, tool

from . import measure, table

PROGRAMS = ("leak", "lines", "moved", "cache", "phases", "large")
SECONDS, LONG_SECONDS = 60, 300
OF_LONG = ("lines", "cache")
OF_YOUNG = ("lines", "leak", "moved")
YOUNG_SECONDS = (1, 3.5)
WAITS = "import os, sys; input(); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
LIMIT_S = 2 * LONG_SECONDS  # what takes a minute on one day takes longer on another


def program_of(copy, waits=False):
    path, environment = copy
    return target.Process("resident_programs.py", python=[path, "-c", WAITS] if waits else path, environment=environment)


def steps_of(copy, program, seconds):
    """So many take so long."""
    with program_of(copy) as process:
        process.ready()
        begin = time.monotonic()
        process.ask(f"{program} 200", LIMIT_S)
        return max(1, round(seconds * 200 / (time.monotonic() - begin)))


def run(copy, program, steps, budget, starts=False):
    """({line: row}, {line: bytes} as the program says, what tracing cost, seconds); starts: only once recording has begun"""
    with program_of(copy, starts) as process:
        if not starts:
            process.ready()
        with measure.Record("--pid", process.pid, "--signals", "resident", "--budget", budget) as record:
            if starts:
                process.send("go")
                process.ready()
            begin = time.monotonic()
            told = process.ask(f"{program} {steps}", LIMIT_S)
            seconds = time.monotonic() - begin
            record.stop()
            report = tool.report(record.file, "line", "--top", "100000", "--signal", "resident")
    rows = {row["frame"]["line"]: row for row in report["rows"] if (row["frame"] or {}).get("file") == told["file"]}
    return rows, {int(line): size for line, size in told["held"].items()}, report["cost"], seconds


def judge(rows, wanted):
    """By line: error as a share of the truth, the stated one, and whether the truth lies in that."""
    judged = {}
    for line, size in wanted.items():
        row = rows.get(line, {"bytes": 0, "error_bytes": None})
        off, stated = row["bytes"] - size, row["error_bytes"]
        judged[line] = {"error": off / size, "stated": None if stated is None else stated / size,
                        "inside": stated is None or abs(off) <= stated + 0.01 * size}
    return judged


def summary(wanted, runs):
    judged = [one["judged"] for one in runs]
    largest = max(wanted, key=wanted.get)
    errors = [abs(line["error"]) for one in judged for line in one.values()]
    stated = [line["stated"] for one in judged for line in one.values() if line["stated"] is not None]
    inside = [line["inside"] for one in judged for line in one.values()]
    return {
        "truth": wanted, "runs": runs, "first": statistics.median(abs(one[largest]["error"]) for one in judged),
        "median": statistics.median(errors), "worst": max(errors), "stated": measure.median(stated),
        "inside": inside.count(True), "pairs": len(inside),
        "watched": statistics.mean(one["cost"]["faults_watched"] for one in runs),
        "cost": statistics.mean(one["cost"]["cost_ns"] / one["cost"]["cpu_ns"] for one in runs),
        "seconds": statistics.mean(one["seconds"] for one in runs),
    }


def measure_program(copy, program, steps, budget, count, starts=False):
    runs = []
    for _ in range(count):
        rows, wanted, cost, seconds = run(copy, program, steps, budget, starts)
        runs.append({"judged": judge(rows, wanted), "cost": cost, "seconds": seconds})
    return summary(wanted, runs)


def percent(value):
    return "-" if value is None else f"{100 * value:.1f}"


def show(python, budget, count, results):
    rows = [[program, len(one["truth"]), *(percent(one[key]) for key in ("first", "median", "worst", "stated")),
             f"{one['inside']} of {one['pairs']}", percent(one["watched"]), f"{100 * one['cost']:.2f}", f"{one['seconds']:.0f}"]
            for program, one in results.items()]
    table.show(f"Resident by line, budget {budget} ({python}, {count} runs)",
               ["program", "lines", "largest, %", "median, %", "worst, %", "stated, %", "inside", "watched, %", "cost, %", "s"],
               rows,
               ["Errors against what the program says that it holds: of the largest line (median of runs), median and worst of all lines. "
                "inside: the truth lies in the stated error (a hundredth of the line is left for what is no estimate). watched: "
                "share of the time.",
                "Bar: 10 % after 60 s, 5 % after five minutes; inside 95 of 100."])


def measure_programs(programs, seconds, count):
    python = measure.pythons(True)[0]
    with host.private_copy(python) as copy:
        results = {program: measure_program(copy, program, steps_of(copy, program, seconds), "1%", count)
                   for program in programs}
    show(python, "1%", count, results)
    return results


def measure_all(quick):
    return measure_programs(PROGRAMS, SECONDS // 6 if quick else SECONDS, 1 if quick else 3)


def measure_long(quick):
    """After five minutes."""
    return measure_programs(OF_LONG, SECONDS if quick else LONG_SECONDS, 1)


def show_young(python, count, results):
    rows = [[how, seconds, program, len(one["truth"]),
             f"{statistics.median(run['cost']['cost_ns'] for run in one['runs']) / 1e6:.0f}",
             f"{max(run['cost']['cost_ns'] for run in one['runs']) / 1e6:.0f}",
             *(percent(one[key]) for key in ("first", "median", "worst", "stated")), f"{one['inside']} of {one['pairs']}"]
            for how, seconds, program, one in results]
    table.show(f"Resident by line, budget 1%, of programs that live for so long ({python}, {count} runs)",
               ["begins", "s", "program", "lines", "cost, ms", "most", "largest, %", "median, %", "worst, %", "stated, %", "inside"],
               rows,
               ["there: before recording does; starts: by an exec after that. cost: median and most of the runs; a program may spend "
                "20 ms of resident's in advance. Errors as in the other tables."])


def measure_young(quick):
    """In the first seconds of a program, in which what may be spent in advance is."""
    count, results = 2 if quick else 5, []
    python = measure.pythons(True)[0]
    with host.private_copy(python) as copy:
        for seconds in YOUNG_SECONDS[:1 if quick else None]:
            for program in OF_YOUNG:
                steps = steps_of(copy, program, seconds)
                for how in ("there", "starts"):
                    one = measure_program(copy, program, steps, "1%", count, how == "starts")
                    results.append((how, seconds, program, one))
    show_young(python, count, results)
    return results
