#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The exact signal follows each block through malloc, calloc, realloc and free, of pools and beyond, on every interpreter."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import calls, host, tool  # noqa: E402
from lib.pythons import pythons, test_each  # noqa: E402
from lib.tap import main, skip, test  # noqa: E402


def check(python):
    host.need_bpf()
    calls.check(python.start, python)


test_each(check, "calls")


@test
def return_probes_of_each_call_as_before_6_13():
    with tool.links("many"):
        check(next((one for one in pythons() if one.release == "3.8"), None) or skip("no Python 3.8"))


@test
def inlined_without_return_probes_as_before_6_13():
    with tool.links("many"):
        check(next((one for one in pythons() if one.where == "host"), None) or skip("no Debian Python"))


@test
def public_functions_as_before_6_6():
    with tool.links("single"):
        check(next((one for one in pythons() if one.where == "pyenv"), None) or skip("no pyenv"))


main()
