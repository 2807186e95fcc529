#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Replaced allocators are named where people look, and what signals see of them is told as a share."""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.tap import is_, main, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402


def shares(report):
    return {one["signal"]: one["share"] for one in report["coverage"]}


def recorded(environment, orders=(), signals="resident,exact,gc", options=()):
    """(report, summary, doctor) of a target with these variables."""
    def start(script, *args):
        return Process(script, *args, environment=environment)
    with measure.recording(start, "traces_itself.py", signals, *options) as (target, recorder):
        doctor = tool.run("doctor", "--pid", target.pid).succeeded().out
        for order in orders:
            target.ask(order)
        result = recorder.stop().succeeded()
        return tool.report(recorder.file), result.err, doctor


@test
def as_it_is():
    """Pymalloc as it is: all is seen, and the report is silent about the allocator."""
    host.need_bpf()
    report, summary, doctor = recorded({}, ["make 1000", "collect"])
    is_(report["allocators"], [{"allocator": "pymalloc", "processes": 1}], "allocator")
    is_(shares(report), {"resident": 1.0, "exact": 1.0, "gc": 1.0}, "coverage")
    ok("allocator of" not in summary, summary)
    ok(re.search(r"^coverage of exact in 1 process: 100 %, derived: sees ", summary, re.M), summary)
    ok(re.search(r"^allocator +pymalloc$", doctor, re.M), doctor)
    ok(re.search(r"^coverage +resident 100 %, derived: .*\n +heap +100 %, derived: .*\n +exact +100 %, derived: .*\n +gc +100 %, derived: ", doctor, re.M),
       doctor)


@test
def without_pymalloc():
    """PYTHONMALLOC=malloc: the exact signal sees all of it, for it sees the raw domain."""
    host.need_bpf()
    report, summary, doctor = recorded({"PYTHONMALLOC": "malloc"}, ["make 1000"])
    is_(report["allocators"], [{"allocator": "the C library's malloc", "processes": 1}], "allocator")
    is_(shares(report)["exact"], 1.0, "coverage of exact")
    ok(report["signal"] == "exact" and report["count"] >= 1000, f"{report['count']} blocks of {report['signal']}")
    for text in (summary, doctor):
        ok(re.search(r"^allocator( of 1 process:)? +the C library's malloc$", text, re.M), text)
        ok(re.search(r"exact.* 100 %, derived: sees what Python takes and gives back: .* C library's malloc", text), text)


@test
def without_pymalloc_by_the_heap():
    """The heap signal sees no small blocks of it, and says so."""
    host.need_bpf()
    report, summary, doctor = recorded({"PYTHONMALLOC": "malloc"}, ["make 1000"], "heap")
    is_(shares(report)["heap"], 0.0, "coverage of heap")
    for text in (summary, doctor):
        ok(re.search(r"heap.* 0 %, derived: sees only what calls pymalloc's functions: .* C library's malloc", text), text)


@test
def switched_on_meanwhile():
    """tracemalloc.start() while it is recorded; the blocks are still seen."""
    host.need_bpf()
    report, summary, _ = recorded({}, ["trace", "make 1000"])
    ok(report["count"] >= 1000, f"{report['count']} blocks of the exact signal")
    is_([one["allocator"] for one in report["allocators"]],
        ["tracemalloc over pymalloc (it changed while it was recorded)"], "allocator")
    is_(shares(report)["exact"], 1.0, "coverage of exact")
    ok(re.search(r"^coverage of exact .*; what tracemalloc keeps of each block counts, too$", summary, re.M), summary)
    ok(re.search(r"^allocator of 1 process: tracemalloc over pymalloc", summary, re.M), summary)


@test
def heap_and_exact():
    """Exact says it: its probes are where the windows of heap would put theirs."""
    host.need_bpf()
    report, summary, _ = recorded({}, ["make 1000"], "heap,exact")
    is_(shares(report), {"exact": 1.0}, "coverage")
    ok(re.search(r"^coverage of exact in 1 process: 100 %, derived: sees the functions that allocate and free", summary, re.M), summary)


main()
