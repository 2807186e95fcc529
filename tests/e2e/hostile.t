#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A target that spoils its own frames, code objects and thread state: bounded work, counted reasons, no wrong name; the
target runs on, and the tracer, too."""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import test_each  # noqa: E402
from lib.tap import has, is_, main, near, ok  # noqa: E402

PAGE = os.sysconf("SC_PAGESIZE")
# What a frame may be called; the text HONEST is what the spoilt code objects have for a name where they have one.
TRUE = re.compile(r"(<module>|main|orders|frames|codes|thread|spoilt|honest|HONEST|offsets|words|text_with|code_with|endless|"
                  r"pointers|create_string_buffer|first_frame|frame_of|nowhere|tell|labels|word|dumps|.*[.]?(encode|iterencode|__init__|decode)) "
                  r"\((.*/(hostile|truth)\.py|HONEST|.*/(json/.*|codecs|ctypes/__init__)\.py|<frozen codecs>):\d+\)$")


def spoil(python, *orders):
    """(pages told, {stack: pages}, {counter: value}) of a target that obeys the orders while it is recorded."""
    host.need_bpf()
    with measure.recording(python.start, "hostile.py", "resident", "--budget", "none") as (target, recorder):
        told = sum(sum(target.ask(order).values()) for order in orders)
        target.ask("honest")
        result = recorder.stop().succeeded()
        stacks = measure.python_stacks(recorder.file)
        counters = dict(measure.rows(recorder.file, "SELECT name, value FROM counter"))
        tool.run("report", recorder.file).succeeded()
        is_(target.ask("honest"), {"honest": 16}, "the target afterwards")
    ok("bad" not in result.err, result)
    return told, {stack or "": n // PAGE for stack, n in stacks}, counters


def no_wrong_names(stacks):
    named = {frame for stack in stacks for frame in stack.split(";") if not frame.startswith("[")}
    is_(sorted(frame for frame in named if not TRUE.match(frame))[:5], [], "names that nothing has")
    ok(max(len(stack.split(";")) for stack in stacks) <= 129, "a stack of more than 128 frames")


def reasons(stacks):
    return {frame for stack in stacks for frame in stack.split(";") if frame.startswith("[")}


def spoilt_frames(python):
    told, stacks, counters = spoil(python, "frames")
    no_wrong_names(stacks)
    near(sum(n for stack, n in stacks.items() if ";spoilt (" in stack), told, 3, "pages of the leaf, whose frame was right")
    has(reasons(stacks), "[stack is cut: frame is not readable]")
    has(reasons(stacks), "[stack is cut: deeper than 128 frames]")
    has(reasons(stacks), "[code object is not readable]")
    ok(counters.get("stack.unreadable_frame", 0) >= 3 * 16, counters)
    ok(counters.get("stack.cut", 0) >= 3 * 16, counters)


def spoilt_codes(python):
    told, stacks, _ = spoil(python, "codes")
    no_wrong_names(stacks)
    near(sum(n for stack, n in stacks.items() if ";spoilt (" in stack), told, 3, "pages of the leaf, whose frame was right")
    has(reasons(stacks), "[code object is not readable]")


def spoilt_thread(python):
    told, stacks, counters = spoil(python, "thread")
    no_wrong_names(stacks)
    unknown = sum(n for stack, n in stacks.items() if stack.startswith("[") and ";spoilt" not in stack
                  and not re.match(r"\[(given back|there before)", stack))
    ok(unknown >= told * 0.97, f"{unknown} of {told} pages without a stack:", stacks)
    ok(counters.get("stack.unreadable_frame", 0) >= 5 * 16, counters)


for PART in (spoilt_frames, spoilt_codes, spoilt_thread):
    test_each(PART, PART.__name__)

main()
