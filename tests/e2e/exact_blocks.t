#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The exact signal on every interpreter at hand: how many blocks live, against the runtime's own count.

Also in builds with profile-guided optimisation, where most allocations call no function at all.
"""
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import main, note, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402

PYTHONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pythons.sh")
COUNT = 5000


def pythons():
    """[(name, words of the command)]"""
    run = subprocess.run([PYTHONS], stdout=subprocess.PIPE, text=True, check=False)
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    return [(name, command.split()) for name, command in lines]


def lives(command, orders):
    """(blocks that live by the runtime's count, by the recording's, and allocated by the recording's)"""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "blocks.pms")
        with Process("blocks.py", python=command) as target:
            target.ready()
            with tool.record("--pid", target.pid, "--signals", "exact", file=file) as recorder:
                for order in orders:
                    truth = target.ask(order)
                recorder.stop().succeeded()
        seen = [sum(row["count"] for row in tool.lines(file, *view)) for view in ([], ["--view", "alloc"])]
        return [truth["blocks"] - truth["before"], *seen]


def check(name, command):
    host.need_bpf()
    truth, live, allocated = lives(command, [f"make {COUNT}"])
    note(f"{name}: {live} blocks of {truth} live ({100 * live / truth:.2f} %), {allocated} allocated")
    ok(truth > 20 * COUNT, "objects were made", str(truth))
    ok(abs(live - truth) < truth / 100, "blocks that live within 1 %", f"{live} of {truth}")
    left, live, allocated = lives(command, [f"make {COUNT}", "drop"])
    note(f"{name}: {live} blocks live after all were freed, {left} by the runtime's count")
    ok(allocated > truth, "as many allocated", f"{allocated} of {truth}")
    ok(abs(live - left) < truth / 100, "frees within 1 %", f"{live} left, {left} by the runtime's count")


for NAME, COMMAND in pythons():
    def one(name=NAME, command=tuple(COMMAND)):
        check(name, list(command))
    one.__name__ = "blocks on " + NAME
    test(one)

main()
