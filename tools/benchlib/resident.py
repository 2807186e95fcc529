# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""How right the resident signal is under a budget: who holds the resident set by line, against the same run without a budget.

Each program of tests/targets/resident_programs.py does the same in each run. Interpreters are private copies: no other probes
are there.
"""
import os
import statistics
import time

from lib import target, tool

from . import measure, table
from .heap import Copy

PROGRAMS = ("leak", "lines", "moved", "cache", "objects", "buffers")
STEPS = 4000
LARGEST = 10
LEAST_SHARE = 0.01


def program_of(copy):
    return target.Process("resident_programs.py", python=copy.path, environment=copy.environment)


def rounds_of(copy, program, seconds):
    """So much is computed after each step that the program takes so long."""
    with program_of(copy) as process:
        process.ready()

        def took(steps, rounds):
            begin = time.monotonic()
            process.ask(f"{program} {steps} {rounds}", measure.LIMIT_S)
            return time.monotonic() - begin
        took(50, 0)
        step, computing = took(100, 0) / 100, took(100, 10000) / 100
    return max(0, round((seconds / STEPS - step) / (computing - step) * 10000))


def run(copy, program, rounds, budget):
    """{line: bytes} of the program's own file, and the recorder's counters."""
    with program_of(copy) as process:
        process.ready()
        with measure.Record("--pid", process.pid, "--signals", "resident", "--budget", budget) as record:
            process.ask(f"{program} {STEPS} {rounds}", measure.LIMIT_S)
            cost = record.stop()
            told = tool.report(record.file, "line", "--top", "100000", "--signal", "resident")
    lines = {}
    for row in told["rows"] + told["other"]:
        frame = row["frame"] or {}
        place = f"{os.path.basename(frame.get('file') or '')}:{frame.get('line')}"
        if not frame.get("line"):
            place = frame.get("function", "")
        lines[place] = lines.get(place, 0) + row["bytes"]
    return lines, cost, told


def judge(lines, wanted):
    return {place: (lines.get(place, 0) - size) / size for place, size in wanted.items()}


def largest(lines):
    ours = {place: size for place, size in lines.items() if place.startswith("resident_programs.py")}
    whole = sum(ours.values())
    places = sorted(ours, key=lambda place: -ours[place])[:LARGEST]
    return {place: ours[place] for place in places if ours[place] >= LEAST_SHARE * whole}


def show(python, seconds, count, results):
    rows = [[program, len(one["truth"]), *(f"{100 * one[key]:.1f}" for key in ("first", "median", "worst", "nobody")),
             f"{100 * one['cost']:.2f}"] for program, one in results.items()]
    table.show(f"Resident by line, budget 1% ({python}, {count} runs of {seconds} s)",
               ["program", "lines", "first, %", "median, %", "worst, %", "of no line, %", "cost %"], rows,
               ["Errors against the same run without a budget: of the largest line (median of runs), median and worst of the ten "
                "largest. Bar: 10 % after 60 s, 5 % after five minutes."])


def measure_all(quick, programs=PROGRAMS):
    python = measure.pythons(True)[0]
    seconds, count = (20, 1) if quick else (60, 3)
    results = {}
    with Copy(python) as copy:
        for program in programs:
            wanted = largest(run(copy, program, 0, "none")[0])
            rounds = rounds_of(copy, program, seconds)
            runs = [run(copy, program, rounds, "1%") for _ in range(count)]
            judged = [judge(lines, wanted) for lines, _, _ in runs]
            errors = [abs(error) for one in judged for error in one.values()]
            first = next(iter(wanted))
            results[program] = {
                "truth": wanted, "judged": judged, "first": statistics.median(abs(one[first]) for one in judged),
                "median": statistics.median(errors), "worst": max(errors),
                "nobody": 0, "cost": statistics.mean(cost.get("cost_share", 0) for _, cost, _ in runs),
                "lines": [lines for lines, _, _ in runs],
            }
    show(python, seconds, count, results)
    return results
