#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The exact signal follows the blocks of the raw domain, which are taken and freed with the GIL or without, on every interpreter; and
so all blocks where it stands behind the other domains, and each but once where hooks stand before them."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import calls, host, tool  # noqa: E402
from lib.calls import COUNT, lives  # noqa: E402
from lib.pythons import pythons, test_each  # noqa: E402
from lib.tap import is_, main, ok, skip, test  # noqa: E402
from lib.target import Process  # noqa: E402


def check_raw(python):
    host.need_bpf()
    told, found = lives(python.start, [f"go {COUNT}", "inner 100"], "raw")
    is_(found[:-1], told[:-1], "raw blocks that live, by line")
    ok(told[-1][2] < found[-1][2] < 1.2 * told[-1][2], "what compressors take", str(found[-1]))
    told, found = lives(python.start, [f"go {COUNT}", "threads 1000"], "raw_without_gil")
    is_(found, told, "without the GIL")
    told, found = lives(python.start, [f"go {COUNT}", "threads 1000", "inner 100", "drop"], "raw_without_gil")
    is_(found, told, "after all were freed")


def check_malloc(kind, release):
    one = host.interpreter(kind, release)

    def start(script, *args):
        return Process(script, *args, python=one.path, environment={"PYTHONMALLOC": "malloc"})
    calls.check(start, f"{kind} {one.release}")


test_each(check_raw, "raw calls")


@test
def without_pymalloc():
    """PYTHONMALLOC=malloc: all domains begin with the raw one's functions."""
    host.need_bpf()
    check_malloc("debian", None)
    check_malloc("pyenv", "3.8")
    check_malloc("pyenv", "3.13")


@test
def hooks_over_pymalloc():
    """Debug hooks make each block 24 bytes longer, tracemalloc asks the raw domain for a trace of each (3.9 and later)."""
    host.need_bpf()
    for kind, release in ("debian", None), ("pyenv", "3.8"):
        one = host.interpreter(kind, release)

        def under(variable, value, domain, python=one.path):
            return lives(lambda script, *args: Process(script, *args, python=python, environment={variable: value}),
                         [f"go {COUNT}"], domain)
        for domain in "object", "raw":
            told, found = under("PYTHONMALLOC", "debug", domain)
            is_(found, [[label, count, size + 24 * count] for label, count, size in told], f"{one.release}, debug hooks, {domain}")
            for (label, count, _), (_, seen, _) in zip(*under("PYTHONTRACEMALLOC", "1", domain)):
                traces = count if kind == "debian" else 0  # of a block that stays when it is resized, it is on the first line
                least = count + traces if label.startswith("made") else count
                ok(least <= seen <= count + traces + 3, f"{one.release}, tracemalloc, {domain}, {label}: {seen} blocks of {count}")


@test
def return_probes_of_each_call_as_before_6_13():
    with tool.links("many"):
        check_raw(next((one for one in pythons() if one.release == "3.8"), None) or skip("no Python 3.8"))
        check_malloc("pyenv", "3.8")


@test
def inlined_without_return_probes_as_before_6_13():
    with tool.links("many"):
        check_raw(next((one for one in pythons() if one.where == "host"), None) or skip("no Debian Python"))
        check_malloc("debian", None)


main()
