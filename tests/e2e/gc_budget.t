#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Where the collector runs thousands of times a second, its probes come and go, so that the budget is kept: how often it ran
and what it collected is still told exactly; where it runs now and then, each collection has its line."""
import contextlib
import os
import sqlite3
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import has, is_, main, near, note, ok, once_more, test  # noqa: E402
from lib.target import Process  # noqa: E402

RATE = 12000
BUDGET = 0.01
SAVED_NS = 10_000_000  # what may be spent at first (user/capture/governor.h)


class Run:
    """A target of gc_hot.py under record, and what was recorded of it."""

    def __init__(self, *options, python=host.PYTHON, start=None):
        host.need_bpf()
        self._stack = contextlib.ExitStack()
        self.file = os.path.join(self._stack.enter_context(tempfile.TemporaryDirectory()), "out.pms")
        self.target = self._stack.enter_context((start or (lambda: Process("gc_hot.py", python=python)))())
        self.target.ready()
        self.recorder = self._stack.enter_context(tool.record("--pid", self.target.pid, *options, file=self.file))

    def stop(self):
        self.held = self.recorder.held() | self.recorder.held("prog")
        result = self.recorder.stop().succeeded()
        self.report = tool.report(self.file)
        return result

    def rows(self, query):
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as db:
            return db.execute(query).fetchall()

    def cost(self):
        """ns that tracing cost, and CPU time."""
        return self.rows("SELECT sum(cost_ns), sum(cpu_ns) FROM process")[0]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stack.__exit__(*exception)


def by_generation(report):
    told = {one["generation"]: one for one in report["gc"]}
    return [told.get(generation, {"collections": 0, "collected": 0}) for generation in range(3)]


def watched(report):
    return sum(one["collections"] - one["not_watched"] for one in report["gc"])


def add(*dids):
    return [{key: sum(did[generation][key] for did in dids) for key in dids[0][generation]} for generation in range(3)]


def check_counts(run, did, result):
    """Exact, by the target's own word."""
    for generation, (told, truth) in enumerate(zip(by_generation(run.report), did)):
        is_(told["collections"], truth["collections"], f"{result}\ncollections of generation {generation}")
        if not told.get("collected_unknown"):
            is_(told["collected"], truth["collected"], f"{result}\ncollected of generation {generation}")


def check_told(run, result):
    """That they were watched for a part of the time, and how many of them, is said."""
    all_cnt, seen = sum(one["collections"] for one in run.report["gc"]), watched(run.report)
    ok(0 < seen < all_cnt, f"{seen} of {all_cnt} were watched", result)
    coverage = [one for one in run.report["coverage"] if one["signal"] == "gc" and one["known"].startswith("measured")]
    is_([(one["part"], one["whole"]) for one in coverage], [(seen, all_cnt)], f"{result}\ncoverage")
    has(coverage[0]["known"], "% of the time, the others are counted", "coverage")
    not_watched = [one for one in run.report["gc_triggers"] if one["trigger"] == "not watched"]
    is_([one["collections"] for one in not_watched], [all_cnt - seen], f"{result}\ntrigger")
    text = tool.run("report", run.file).succeeded().out
    has(text, f"collector, not watched, to keep the budget or before probes were there, but counted: {all_cnt - seen:,} collections, about", "report")
    young = by_generation(run.report)[0]
    young_seen = young["collections"] - young["not_watched"]
    has(text, f"(by {young_seen:,} that were watched)", "report")
    # As long as those that were watched, second by second; one that lost its processor is long on both sides.
    seen_ns = run.rows("SELECT sum(pause_ns) FROM gc WHERE generation = 0 AND trigger < 5")[0][0]
    ratio = young["pause_ns"] / young["collections"] / (seen_ns / young_seen)
    ok(0.2 < ratio < 5, f"pauses of {young}, watched {seen_ns} ns", result)


# Beside what was saved, one turn of the probes, which is ten times dearer where a hypervisor takes part in each trap.
TURN_NS = 10_000_000


def check_hot(run, order, first_s, rest_s, saved_ns=2 * SAVED_NS + TURN_NS):
    """An order for a while, then for longer: from the first second on it costs what the budget says, and what was saved."""
    first = run.target.ask(f"{order} {first_s} {RATE}")
    rest = run.target.ask(f"{order} {rest_s} {RATE}", limit_s=120)
    result = run.stop()
    cost_ns, cpu_ns = run.cost()
    note(f"{sum(one['collections'] for one in rest['did']) / rest['cpu_s']:,.0f} collections a second, {watched(run.report):,} "
         f"watched: {100 * cost_ns / cpu_ns:.2f} %; pauses {sum(one['pause_ns'] for one in run.report['gc']) / 1e6:.0f} ms")
    ok(cpu_ns > (first_s + rest_s) * 0.8e9, f"only {cpu_ns} ns of CPU time were seen", result)
    ok(cost_ns <= BUDGET * cpu_ns + saved_ns, f"{cost_ns:,} ns of {cpu_ns:,}", result)
    check_counts(run, add(first["did"], rest["did"]), result)
    check_told(run, result)
    tool.gone(run.held)
    return result


@test
@once_more
def gc_collect_in_a_loop():
    with Run() as run:
        result = check_hot(run, "collect", 1, 9)
        calls = run.report["gc_calls"]
        truth = run.target.ask("count")
        is_([(one["frame"]["file"], one["frame"]["line"]) for one in calls], [(truth["file"], truth["lines"]["collect"])],
            f"{result}\nlines")
        is_(sum(one["collections"] for one in calls), watched(run.report), f"{result}\nof those watched, by a line")


@test
@once_more
def probes_one_by_one():
    """As on kernels that take one probe a link. There they are gone only 0.1 s each after they were taken away."""
    with tool.links("single"), Run("--signals", "gc") as run:
        check_hot(run, "collect", 1, 3, 10 * SAVED_NS)


@test
def processes_that_share_links():
    """More than 16 of one file: their probes come and go together, and what all did is counted."""
    with Run("--signals", "gc") as run:
        run.target.ask("fork 18")
        tool.wait_until(lambda: run.rows("SELECT count(*) FROM process")[0][0] == 19, "all are traced")
        check_hot(run, "collect", 1, 3)


@test
def a_calm_collector_beside_a_hot_one():
    """Each of its collections is told; processes that have links of their own are governed apart."""
    with Run("--signals", "gc") as run:
        child = run.target.ask("child")["child"]
        tool.wait_until(lambda: run.rows(f"SELECT count(*) FROM collectors WHERE tgid = {child}")[0][0], "its child is watched")
        truth = run.target.ask(f"beside 150 4 {RATE}")
        result = run.stop()
        query = "SELECT {} FROM gc JOIN process ON process.id = gc.process WHERE tgid = {}"
        is_(run.rows(query.format("sum(cnt), sum(cnt * (trigger = 2))", run.target.pid)), [(150, 150)], f"{result}\nlines")
        hot = truth["child"]
        seen, count = run.rows(query.format("sum(cnt * (trigger < 5)), sum(cnt)", hot["pid"]))[0]
        ok(0 < seen < count / 2, f"{seen} of {count} of the hot one's", result)
        is_(count, hot["did"][0]["collections"], f"{result}\nthose of the hot one")


@test
def a_calm_collector():
    """Each collection has a line."""
    with Run() as run:
        run.target.ask("calm 150")
        result = run.stop()
        is_(run.rows("SELECT count(*), sum(cnt), sum(trigger = 2) FROM gc"), [(150, 150, 150)], f"{result}\nlines")
        is_([(one["part"], one["whole"]) for one in run.report["coverage"] if one["signal"] == "gc"], [(150, 150)],
            f"{result}\ncoverage")


@test
def a_collector_that_calms_down():
    """What it did while it was hot is counted; then it is watched all the time again."""
    with Run("--signals", "gc") as run:
        did = run.target.ask(f"collect 2 {RATE}")["did"]
        for _ in range(20):
            seen = run.rows("SELECT coalesce(max(time_ns), 0) FROM gc")[0][0]
            did = add(did, run.target.ask("calm 100")["did"])
            new = run.rows(f"SELECT sum(trigger = 2), sum(trigger >= 5) FROM gc WHERE time_ns > {seen}")[0]
            if new[0] and not new[1]:
                break
        else:
            ok(False, f"it is not watched all the time again: {new}")
        check_counts(run, did, run.stop())


@test
def a_command_to_its_end():
    """What happens after the last look into a process that has ended is estimated, and said to be."""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder:
        script, file = os.path.join(folder, "hot.py"), os.path.join(folder, "out.pms")
        with open(script, "w", encoding="utf-8") as out:
            out.write("import gc, time\ngc.disable()\nfor _ in range(30000):\n    gc.collect(0)\n"
                      "    end = time.process_time() + 8e-5\n    while time.process_time() < end:\n        pass\n")
        result = tool.run("record", "--signals", "gc", "-o", file, "--", host.PYTHON, script).succeeded()
        told = [one for one in tool.report(file)["gc"] if one["generation"] == 0][0]
        note(f"{told['collections']:,} of 30,000, {told['estimated']:,} of them estimated")
        near(told["collections"], 30000, 10, f"{result}\ncollections")
        ok(0 < told["estimated"] < told["not_watched"] < told["collections"], told, result)


for PYTHON in pythons():
    @once_more
    def one(python=PYTHON):
        with Run("--signals", "gc", start=lambda: python.start("gc_hot.py")) as run:
            check_hot(run, "auto", 1, 2)
    one.__name__ = "counts on " + PYTHON.name
    test(one)

main()
