#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Recording begins soon: what takes time is the kernel's verifier, which goes through each way through each program.

The bars are twice what it was when this was written (1 us an instruction and more where machines are slow). Before, they had been
passed tenfold without anybody noticing.
"""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import main, note, ok, skip, test  # noqa: E402
from lib.target import Process  # noqa: E402

MOST = 800_000
MOST_OF_ONE = 150_000


def verified(signals):
    """[instructions gone through], by program."""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("leak_at_line.py", 5) as target:
        target.ready()
        with tool.record("--pid", target.pid, "--signals", signals, file=os.path.join(folder, "load.pms")) as recorder:
            found = recorder.verified()
            programs = recorder.held("prog")
            recorder.stop().succeeded()
    if not found:
        skip("this kernel (before 5.16) does not tell what its verifier did")
    ok(len(found) == len(programs), f"{len(found)} of {len(programs)} programs were found")
    note(f"{signals}: {sum(found.values()):,} instructions, {max(found.values()):,} for one program")
    return found.values()


@test
def what_is_loaded_by_default_is_verified_soon():
    counts = verified("resident,heap,gc")
    ok(sum(counts) < MOST and max(counts) < MOST_OF_ONE, counts)


@test
def exact_is_verified_soon():
    counts = verified("exact")
    ok(sum(counts) < MOST and max(counts) < MOST_OF_ONE, counts)


main()
