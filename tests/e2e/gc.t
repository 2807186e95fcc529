#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The gc signal sees each collection that gc.callbacks tells of: its generation, what triggered it and what it collected."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import pythons, test_each  # noqa: E402
from lib.tap import is_, main, ok, test  # noqa: E402

# Others are listed, too: those before the first look, while an interpreter starts, and those after the last.
MEASURED = "measured: the interpreter's own count of collections, from the first look at it to the last"


def bare(trigger):
    """As programs are told it."""
    return None if trigger == "unknown" else trigger


def sums(collections, key):
    """{key: [collections, pause_ns, longest_ns, collected, uncollectable, those that did not tell]}"""
    result = {}
    for one in collections:
        to = result.setdefault(key(one), [0] * 6)
        known = one["collected"] != -1
        to[0] += 1
        to[1] += one["pause_ns"]
        to[2] = max(to[2], one["pause_ns"])
        to[3] += one["collected"] * known
        to[4] += one["uncollectable"] * known
        to[5] += not known
    return result


def check_stats(result):
    """gc.get_stats() counts them too; what left something uncollectable is not told by USDT."""
    seen = result["seen"][result["first"]:]
    untold = {one["generation"] for one in seen if one["collected"] == -1}
    for generation, stats in enumerate(result["stats"]):
        mine = [one for one in seen if one["generation"] == generation]
        is_(len(mine), stats["collections"], f"gc.get_stats(): generation {generation}")
        for key in ("collected", "uncollectable") if generation not in untold else ():
            is_(sum(one[key] for one in mine), stats[key], f"gc.get_stats(): {key} of generation {generation}")


def told_by(item):
    return [item[key] or 0 for key in ("collections", "pause_ns", "longest_ns", "collected", "uncollectable", "collected_unknown")]


def check_report(result):
    """The report sums up what was seen, as JSON and as text."""
    every, report, text = result["seen"] + result["at_end"], result["report"], result["text"]
    is_({one["generation"]: told_by(one) for one in report["gc"]}, sums(every, lambda one: one["generation"]), "report: generations")
    is_({one["trigger"]: told_by(one) for one in report["gc_triggers"]}, sums(every, lambda one: bare(one["trigger"])),
        "report: triggers")
    calls = sums([one for one in every if one["trigger"] in ("gc.collect", "native")],
                 lambda one: (one["trigger"], result["file"], one["line"], one["function"]))
    is_({(one["trigger"], *[one["frame"][key] for key in ("file", "line", "function")]): told_by(one)
         for one in report["gc_calls"]}, calls, "report: lines")
    is_(sorted(map(str, result["named"])), sorted(str(bare(one["trigger"])) for one in every), "view collections: triggers")
    for (_, file, line, function), (count, *_) in calls.items():
        ok(f"\n  at {file}:{line} {function}: {count} collection" in text, f"report: {file}:{line}", text)
    for trigger, words in (("automatic", "run automatically"), ("gc.collect", r"run by gc.collect()"),
                           ("native", "run by C code (PyGC_Collect)"), ("shutdown", "run at the interpreter's end")):
        count = sum(one["trigger"] == trigger for one in every)
        ok(f"\ncollector, {words}: {count} collection" in text, f"report: {count} {trigger}", text)


def check(python):
    """Without a budget: where a machine is slow, the collector is watched for a part of the time."""
    host.need_bpf()
    result = measure.collections(python.start, measure.COLLECTIONS, "--budget", "none")
    seen, told = result["seen"], result["truth"]
    ok(seen, f"no collections in the recording; its notes: {result['notes']}")
    # gc.collect() is called by the leaf of the stack; the others ran below it.
    for key in ("generation", "trigger", "line", "function"):
        is_([one[key] for one in seen], [one[key] for one in told], key)
    ok({one["trigger"] for one in told} == {"automatic", "gc.collect", "native"}, "what the target ran")
    ok(any(one["uncollectable"] for one in told), "the target could collect all")
    for key in ("collected", "uncollectable"):
        # Of a collection that left something uncollectable USDT probes tell neither.
        is_([one[key] for one in seen],
            [-1 if one["uncollectable"] and mine["uncollectable"] == -1 else one[key] for mine, one in zip(seen, told)], key)
    ok(result["at_end"] and {one["trigger"] for one in result["at_end"]} == {"shutdown"}, f"at the end: {result['at_end']}")
    check_stats(result)
    check_report(result)
    # The tool's own word for it: by what the interpreter counted.
    is_([(one["part"], one["whole"], one["known"]) for one in result["coverage"]],
        [(len(told), len(told), MEASURED)], "coverage")
    # On a busy machine they are often apart, when the target loses its CPU between the two clocks. The median tells.
    off = [abs(error) - max(20_000, one["pause_ns"] * 0.05)
           for error, one in zip(measure.pause_errors_ns(result), told)]
    ok(sorted(off)[len(off) // 2] <= 0, "half of the pauses are more than 5 % and 20 us off: "
       f"{list(zip([one['pause_ns'] for one in seen], [one['pause_ns'] for one in told]))[:10]}")


def check_with_links(kind):
    """As on kernels that attach probes otherwise."""
    with tool.links(kind):
        for python in [one for one in pythons() if one.where in ("host", "pyenv")][:2]:
            check(python)


@test
def one_by_one():
    check_with_links("single")


@test
def many_at_once():
    check_with_links("many")


test_each(check, "collections")

main()
