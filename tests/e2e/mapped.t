#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What programs ask of the kernel (mmap, munmap, mremap, mprotect, madvise, brk, and arenas by these): by line, to the byte, and what
lines sum up to is what the kernel says (VmData)."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import test_each  # noqa: E402
from lib.tap import is_, main, near, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402

MIB = 1 << 20


def recorded(start, *orders, budget="none"):
    host.need_bpf()
    with measure.recording(start, "mapped.py", "heap", "--budget", budget) as (target, recorder):
        truth = None
        for order in orders:
            truth = target.ask(order)
        result = recorder.stop().succeeded()
        return truth, measure.Mapped(recorder.file), result, tool.report(recorder.file, "line", "--signal", "mapped")


def check_lines(truth, mapped, name):
    off = mapped.lines_off(truth)
    ok(not off, f"{name}: told, VmData says: {off}", mapped.lines)


def by_line(python):
    truth, mapped, _, told = recorded(python.start, "grow")
    check_lines(truth, mapped, python.name)
    is_(mapped.data(), truth["data"], "what lines have in sum, with what was there before; VmData")
    objects = mapped.at.get((truth["file"], truth["lines"]["objects"]["line"], "mapped_arena"), 0)
    near(objects, 600000 * 16, 15, "arenas for objects")
    is_(mapped.at[truth["file"], truth["lines"]["heap"]["line"], "mapped_brk"], 7 * MIB, "brk")
    is_(told["mapped"]["shared"], {"calls": 1, "taken_bytes": 5 * MIB, "given_back_bytes": 0}, "summary")
    ok(told["mapped"]["arenas"]["calls"] >= 8, told["mapped"])


def given_back(python):
    truth, mapped, _, told = recorded(python.start, "grow", "drop")
    check_lines(truth, mapped, python.name)
    is_(mapped.data(), truth["data"], "in sum; VmData")
    is_(told["mapped"]["advised"], {"calls": 1, "bytes": 2 * MIB}, "madvise")
    coverage = [one for one in told["coverage"] if one["signal"] == "mapped"]
    ok(coverage and coverage[0]["part"] == coverage[0]["whole"], coverage)


test_each(by_line, "by line")
test_each(given_back, "given back")


@test
def more_than_the_budget():
    """The probes go; what the kernel says is there in the end is told nevertheless, and the cost is within the budget."""
    truth, mapped, result, told = recorded(lambda *args: Process(*args), "storm 4", budget="1%")
    is_(mapped.data(), truth["data"], "in sum; VmData")
    at = truth["file"], truth["lines"]["storm"]["line"]
    ok(0 < mapped.at[(*at, "mapped_anon")] < truth["calls"] * 32768, mapped.at, truth)
    ok(mapped.lines[at] <= 65536, f"of {truth['calls']} calls, one mapping at most lives by what was seen", mapped.lines)
    coverage = [one for one in told["coverage"] if one["signal"] == "mapped"]
    ok(coverage[0]["part"] < coverage[0]["whole"], coverage)
    cost = told["cost"]
    ok(cost["cost_ns"] <= 0.015 * cost["cpu_ns"] + 50e6, cost, result)


main()
