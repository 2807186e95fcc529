#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Each signal, shortly, on a build that the tests of single signals leave out, for its way to the thread state is its own: 3.15 as a
shared library (tools/matrix measures it and the others of tests/pythons.sh more). And what is no CPython is named."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import debian, host, measure, tool  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import has, is_, main, note, ok, once, skip, test  # noqa: E402
from lib.target import Process  # noqa: E402

PYPY = "PyPy keeps its memory otherwise than CPython"


@once
def shared():
    host.need_bpf()
    return next((one for one in pythons("more") if one.name == "3.15 sid-shared"), None) or skip("no libpython3.15")


@test
def stacks():
    for how, samples in (("go", 600), ("crowd", 150)):
        result = measure.stacks(shared().start, samples, 6, how, shared().greenlet)
        is_(list(result["wrong"])[:3], [], f"{how}: stacks that never were")
        is_([stack for stack in result["truth"] if stack not in result["seen"]][:3], [], f"{how}: stacks not seen")
        note(f"{how}: {len(result['truth'])} stacks")


@test
def exact():
    told = measure.blocks(shared().start, ["make 1000"])
    ok(abs(told["live"] - told["unknown_freed"] - told["made"]) * 100 < told["made"], f"blocks that live: {told}")


@test
def heap():
    told = measure.heap(shared().start, "dicts", "1200 1000")
    grown, seen = told["after"] - told["before"], told["small"] - told["before"]
    ok(abs(seen - grown) * 100 < grown, f"bytes grown: {grown}, seen: {seen}, {told['notes']}")


@test
def gc():
    result = measure.collections(shared().start, measure.COLLECTIONS)
    for key in ("generation", "trigger", "line", "function"):
        is_([one[key] for one in result["seen"]], [one[key] for one in result["truth"]], key)


@test
def pypy():
    """doctor and record name it; a recording that has one among others says it in its notes."""
    host.need_bpf()
    root = debian.unpacked("pypy3", "pypy3", "pypy3-lib")
    command = ["env", f"LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu", f"{root}/usr/bin/pypy3.9"]
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "pypy.pms")
        with Process("leak_at_line.py", 1, python=command) as target:
            target.ready()
            has(tool.run("doctor", "--pid", target.pid).err, PYPY)
            has(tool.run("record", "-o", file, "--pid", target.pid).err, PYPY)
        tool.run("record", "-o", file, "--", host.PYTHON, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])",
                 *command, "-c", "print(bytearray(1 << 24)[5])").succeeded()
        has("\n".join(measure.notes(file)), PYPY)


main()
