#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The exact signal counts exactly: each block asked for and freed, on its line."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import is_, main, test  # noqa: E402
from lib.target import Process  # noqa: E402


def record(interpreter, script, orders):
    """(truth, rows that live, rows allocated) of a target that got the orders while it was recorded."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "exact.pms")
        with Process(script, python=interpreter.path) as target:
            target.ready()
            with tool.record("--pid", target.pid, "--signals", "exact", file=file) as recorder:
                for order in orders:
                    truth = target.ask(order)
                recorder.stop().succeeded()
        return truth, tool.lines(file), tool.lines(file, "--view", "alloc")


def check_lines(kind, release):
    host.need_bpf()
    truth, lives, allocated = record(host.interpreter(kind, release), "lines.py", ["go", "drop"])
    for line in truth["lines"]:
        all_of_it = tool.at(allocated, truth["file"], line["line"])
        is_([all_of_it["count"], all_of_it["bytes"]], [line["alloc_cnt"], line["alloc_bytes"]],
            f"{line['function']}: allocated")
        left = tool.at(lives, truth["file"], line["line"])
        is_([left["count"], left["bytes"]],
            [line["alloc_cnt"] - line["free_cnt"], line["alloc_bytes"] - line["free_bytes"]],
            f"{line['function']}: lives")


def check_threads(release):
    host.need_bpf()
    truth, _, allocated = record(host.interpreter("pyenv", release), "threads.py", ["go 2000", "go 3000"])
    for thread in truth["threads"]:
        row = tool.at(allocated, truth["file"], thread["line"])
        is_([row["count"], row["bytes"]], [thread["alloc_cnt"], thread["alloc_bytes"]], thread["function"])


@test
def lines_on_3_11():
    check_lines("pyenv", "3.11")


@test
def lines_on_3_13():
    check_lines("pyenv", "3.13")


@test
def lines_on_debian_which_inlines_its_allocator():
    check_lines("debian", None)


@test
def threads_on_3_11():
    check_threads("3.11")


@test
def threads_on_3_13():
    check_threads("3.13")


main()
