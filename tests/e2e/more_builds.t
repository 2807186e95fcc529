#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Each signal, shortly, on a build that the tests of single signals leave out, for its way to the thread state is its own: 3.15 as a
shared library (tools/matrix measures it and the others of tests/pythons.sh more). And what is no CPython, or has other allocators, is
named."""
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import debian, host, measure, tool  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.tap import has, is_, main, note, ok, once, skip, test  # noqa: E402
from lib.target import Process  # noqa: E402

PYPY = "PyPy keeps its memory otherwise than CPython"
NO_GIL = os.path.join(host.BUILD, "image-python", "3.13-nogil", "usr", "local", "bin", "python3.13t")
MEMRAY = ["python3-memray", "liblz4-1", "libunwind8", "python3-jinja2", "python3-markupsafe", "python3-rich", "python3-textual",
          "python3-markdown-it", "python3-mdurl", "python3-pygments", "python3-typing-extensions"]
# It would fetch symbols from the net, with what needs twenty more libraries.
NO_DEBUGINFOD = "void *debuginfod_begin(void) { return 0; }\nvoid debuginfod_end(void *c) {}\nint debuginfod_find_debuginfo(void) { return -1; }\n"
NO_DEBUGINFOD_VERSIONS = "ELFUTILS_0 { };\nELFUTILS_0.178 { global: *; } ELFUTILS_0;\n"


@once
def shared():
    host.need_bpf()
    return next((one for one in pythons("more") if one.name == "3.15 sid-shared"), None) or skip("no libpython3.15")


@test
def stacks():
    for how, samples in (("go", 600), ("crowd", 150)):
        result = measure.stacks(shared().start, samples, 6, how, shared().greenlet)
        is_(list(result["wrong"])[:3], [], f"{how}: stacks that never were")
        is_(measure.stacks_missing(result)[:3], [], f"{how}: stacks not seen")
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
    result = measure.collections(shared().start, measure.COLLECTIONS, "--budget", "none")
    for key in ("generation", "trigger", "line", "function"):
        is_([one[key] for one in result["seen"]], [one[key] for one in result["truth"]], key)


def check_named(command, words):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "named.pms")
        with Process("leak_at_line.py", 1, python=command) as target:
            target.ready()
            has(tool.run("doctor", "--pid", target.pid).err, words)
            has(tool.run("record", "-o", file, "--pid", target.pid).err, words)
        tool.run("record", "-o", file, "--", host.PYTHON, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])",
                 *command, "-c", "print(bytearray(1 << 24)[5])").succeeded()
        has("\n".join(measure.notes(file)), words)


@test
def pypy():
    """doctor and record name it; a recording that has one among others says it in its notes."""
    host.need_bpf()
    root = debian.unpacked("pypy3", "pypy3", "pypy3-lib")
    command = ["env", f"LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu", f"{root}/usr/bin/pypy3.9"]
    check_named(command, PYPY)


@test
def free_threaded():
    """The same of a build without the GIL."""
    host.need_bpf()
    if not os.path.exists(NO_GIL):
        skip("no free-threaded build: tools/image-python 3.13-nogil")
    check_named([NO_GIL], "a free-threaded build has mimalloc for its objects")


def memray(folder):
    """The words of a command that runs a script with memray at hand, on trixie's 3.13."""
    python = next((one for one in pythons() if one.name == "3.13 trixie"), None) or skip("trixie's Python is not there")
    root = debian.unpacked("memray", *MEMRAY, suite="trixie")
    source, versions = os.path.join(folder, "none.c"), os.path.join(folder, "versions")
    for path, text in ((source, NO_DEBUGINFOD), (versions, NO_DEBUGINFOD_VERSIONS)):
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-Wl,-soname,libdebuginfod.so.1", f"-Wl,--version-script={versions}",
                    "-o", os.path.join(folder, "libdebuginfod.so.1"), source], check=True)
    return ["env", f"PYTHONPATH={root}/usr/lib/python3/dist-packages",
            *(f"{word}:{debian.library_path(root)}:{folder}" if "/lib/" in word and ":" in word else word for word in python.command)]


@test
def under_memray():
    """Its hook is named, and what Python asks for is counted once."""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder:
        command = memray(folder)
        files = iter(range(9))

        def start(script, *args):
            return Process("under_memray.py", os.path.join(folder, f"{next(files)}.bin"), script, *args, python=command)
        with start("blocks.py") as target:
            target.ready()
            has(tool.run("doctor", "--pid", target.pid).out, "memray.cpython-313-x86_64-linux-gnu.so over pymalloc")
        told = measure.blocks(start, ["make 1000"])
    ok(abs(told["live"] - told["unknown_freed"] - told["made"]) * 100 < told["made"], f"blocks that live: {told}")


main()
