#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Every stack is right: file, line and function of each frame, against what the target says of itself. A shorter run of
what tools/matrix does with 20,000 samples an interpreter."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import test_each  # noqa: E402
from lib.tap import is_, main, note, ok  # noqa: E402

SAMPLES = {"go": 1200, "crowd": 300}
SEED = 4


def check(python, how):
    host.need_bpf()
    result = measure.stacks(python.start, SAMPLES[how], SEED, how, python.greenlet)
    truth, seen = result["truth"], result["seen"]
    missing = measure.stacks_missing(result)
    is_(list(result["wrong"])[:3], [], "stacks that never were")
    is_(missing[:3], [], f"stacks not seen ({len(missing)} of {len(truth)})")
    pages, told = sum(seen.values()), sum(truth.values())
    ok(told * 0.98 <= pages <= told * 1.02, f"{pages} pages of {told}")
    is_([(stack[-200:], *pages) for stack, *pages in measure.stacks_off(result)[:3]], [], "stacks with other bytes")
    note(f"{python.name}: {len(truth)} stacks, {told} pages, {result['kinds']} kinds of frames"
         + "".join(f", without {what}" for what in result["without"]))


def check_usual_walk(python, how):
    """Where memory is not read in place (bpf/direct.bpf.h)."""
    with tool.environment("PYMEMSCOPE_READ", "calls"):
        check(python, how)


test_each(check, "stacks", "go")
test_each(check_usual_walk, "stacks, memory read by calls", "go")
test_each(check, "stacks of eight threads at once", "crowd")

main()
