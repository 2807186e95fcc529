#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Free blocks of pools that cannot go back are told by the lines whose live blocks keep them: not by how much these hold."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import main, near, note, ok, once_more, test  # noqa: E402

BLOCK_BYTES = 96  # a bytes object of 60


@once_more  # where windows are few an error that is itself told by few is too small now and then
def check(one):
    with measure.recording(one.start, "pinned.py", "heap", "--budget", "none") as (target, recorder):
        target.ask("make 6")
        truth = target.ask("drop")
        recorder.stop().succeeded()
        told = tool.report(recorder.file, "line", "--signal", "pinned")
        held = tool.lines(recorder.file, "--signal", "heap")
    free = next(c["free_bytes"] for c in told["pymalloc"]["classes"] if c["block_bytes"] == BLOCK_BYTES)
    rows = {name: tool.at(told["rows"], truth["file"], line) for name, line in truth["lines"].items()}
    shown = {name: (row["bytes"], row.get("error_bytes")) for name, row in rows.items()}
    note(f"{one.name}: {free} free, kept by {shown}")
    ok(free > 0.7 * BLOCK_BYTES * truth["made"], f"{one.name}: {free} bytes free, {truth}")
    for name in ("often", "seldom"):
        # An error is half of a 95 % interval; this is to hold each time.
        off, allowed = abs(rows[name]["bytes"] - free / 2), max(0.2 * free, 1.6 * (rows[name].get("error_bytes") or 0))
        ok(off <= min(allowed, 0.45 * free), f"{one.name}: {name} keeps {shown[name]}, half of {free}")
    ok(rows["bulk"]["bytes"] < 0.02 * free, f"{one.name}: bulk has let go of all, but keeps {shown['bulk']}")
    # One sample tells both signals, so what is chance in it goes out of the quotient of their quotients: beside a live block of
    # `often` are 3 free ones, beside one of `seldom` 15. A quotient of 1 would be free blocks shared out by what lines hold.
    holds = {name: tool.at(held, truth["file"], truth["lines"][name])["bytes"] for name in ("often", "seldom")}
    ratio = holds["often"] * rows["seldom"]["bytes"] / max(holds["seldom"] * rows["often"]["bytes"], 1)
    note(f"{one.name}: held {holds}, quotient {ratio:.2f}")
    ok(3 < ratio < 7, f"{one.name}: a byte of seldom keeps 5 times what one of often does, told as {ratio:.1f} times")
    kept = sum(row["bytes"] for row in rows.values())
    near(kept, free, 3, f"{one.name}: what all three keep")


@test
def few_that_keep_many():
    host.need_bpf()
    for one in (python for python in pythons() if python.where == "host" or python.name.startswith("3.13") and not python.contained):
        check(one)


main()
