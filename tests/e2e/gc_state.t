#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What collectors say of themselves is in doctor, in the recording and in its reports, also of forked workers."""
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import test_each  # noqa: E402
from lib.tap import is_, main, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402

# Objects that a target's own work may have made or freed since it told.
NEAR = 60


def said(file, pid):
    return next(one for one in tool.report(file)["collectors"] if one["tgid"] == pid)


def same(seen, truth):
    for key in ("enabled", "thresholds", "frozen"):
        is_(seen[key], truth[key], key)
    is_(seen["counts"][1:], truth["counts"][1:], "counts")
    ok(abs(seen["counts"][0] - truth["counts"][0]) <= NEAR, f"count {seen['counts'][0]}, truth {truth['counts'][0]}")
    for number, (one, told) in enumerate(zip(seen["generations"], truth["stats"])):
        is_([one[key] for key in ("collections", "collected", "uncollectable")],
            [told[key] for key in ("collections", "collected", "uncollectable")], f"generation {number}")


def check(python):
    host.need_bpf()
    with measure.recording(python.start, "gc_settings.py", "gc") as (target, recorder):
        is_(target.ask("disable")["enabled"], False, "order")
        doctor = tool.run("doctor", "--pid", target.pid).succeeded().out
        ok(re.search(r"^collector +disabled \(gc.disable\), thresholds \d+, \d+, \d+; \d+ objects frozen", doctor, re.M), doctor)
        truth = target.ask("freeze 20000")
        ok(truth["frozen"] > 20000, "nothing was frozen")
        recorder.stop().succeeded()
        same(said(recorder.file, target.pid), truth)
        text = tool.run("report", recorder.file).succeeded().out
        ok(re.search(rf"^collector of 1 process: disabled \(gc.disable\), thresholds .*; {truth['frozen']:,} objects frozen",
                     text, re.M), text)


test_each(check, "settings of the collector")


@test
def forked_workers():
    """Three workers that inherit what is frozen, one of which thaws it."""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("gc_settings.py") as target:
        target.ready()
        file = os.path.join(folder, "forked.pms")
        with tool.record("--pid", target.pid, "--signals", "gc", file=file) as recorder:
            frozen = target.ask("freeze 20000")["frozen"]
            workers = target.ask("fork 3")["pids"]
            result = recorder.stop().succeeded()
        is_(said(file, workers[0])["frozen"], 0, "the worker that thawed")
        seen = [said(file, pid)["frozen"] for pid in [target.pid, *workers[1:]]]
        ok(all(frozen - NEAR <= one <= frozen for one in seen), f"{seen}, truth {frozen}")
        # The summary that record prints.
        ok(re.search(rf"^collector of 4 processes: enabled, .*; {sum(seen):,} objects frozen", result.err, re.M), result.err)


main()
