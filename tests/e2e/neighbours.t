#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Processes of one interpreter that are traced at once, each with probes of its own: none of them is harmed.

A site's programs run for each link that the kernel knows there, whoever it was made for. A link that asks for a function's
return where the top of the stack is no return address would crash the neighbour.
"""
import contextlib
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import is_, main, test  # noqa: E402
from lib.target import Process  # noqa: E402

PROGRAMS = ("dicts", "parser", "cache")


def check(signals, budget):
    """Three targets, three recorders; the interpreter is a copy, so that nobody else's probes are in it."""
    host.need_bpf()
    interpreter = host.interpreter("debian", None)
    with tempfile.TemporaryDirectory() as folder, host.private_copy(interpreter) as (copy, environment), \
            contextlib.ExitStack() as stack:
        targets = [stack.enter_context(Process("heap_programs.py", python=copy, environment=environment)) for _ in PROGRAMS]
        recorders = []
        for number, target in enumerate(targets):
            target.ready()
            recorders.append(stack.enter_context(
                tool.record("--pid", target.pid, "--signals", signals, "--budget", budget,
                            file=os.path.join(folder, f"{number}.pms"))))
        for target, program in zip(targets, PROGRAMS):
            target.send(f"{program} 600 20000")
        for target, program in zip(targets, PROGRAMS):
            is_(target.answer(120)["program"], program, "it lives and has done its work")
        for recorder in recorders:
            recorder.stop().succeeded()


@test
def exact():
    check("exact", "none")


@test
def heap_with_windows():
    check("heap", "40%")


@test
def heap_and_everything_else():
    check("resident,heap,gc", "none")


main()
