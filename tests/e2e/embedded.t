#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""However an interpreter was started: through a venv's link, from a copied file, embedded in another program (shared or
static, opened while it runs, in a thread of that program's own, in a forked worker), the stacks are right."""
import contextlib
import glob
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.tap import cleanup, has, is_, main, note, once, once_more, skip, test  # noqa: E402
from lib.pythons import pythons  # noqa: E402
from lib.target import Process  # noqa: E402

SAMPLES, SEED = 300, 2
SOURCE = os.path.join(host.TARGETS, "embed.c")


@once
def folder():
    return cleanup.enter_context(tempfile.TemporaryDirectory())


def starter(*command):
    def start(script, *args):
        return Process(script, *args, python=[*map(str, command)])
    return start


@once_more  # of two threads that fault at the same moment one's page may be charged to the other (bpf/fault.bpf.c)
def check(start, what):
    """Its stacks are right, and doctor knows what it is."""
    host.need_bpf()
    result = measure.stacks(start, SAMPLES, SEED)
    is_(list(result["wrong"])[:3], [], f"{what}: stacks that never were")
    is_(measure.stacks_missing(result)[:3], [], f"{what}: stacks not seen")
    note(f"{what}: {len(result['truth'])} stacks")


def interpreters():
    return [one for one in host.interpreters() if tuple(map(int, one.release.split("."))) >= (3, 8)]


@test
def through_the_link_of_a_venv():
    for interpreter in interpreters():
        venv = os.path.join(folder(), f"venv-{interpreter}")
        subprocess.run([interpreter.path, "-m", "venv", "--without-pip", "--symlinks", venv], check=True)
        python = os.path.join(venv, "bin", "python")
        check(starter(python), f"venv of {interpreter}")


@test
def from_a_copy_of_another_name():
    """Nothing in the file's name says that it is Python."""
    host.need_bpf()
    for interpreter in interpreters():
        copy = os.path.join(folder(), f"app-{interpreter.kind}-{interpreter.release.replace('.', '_')}")
        shutil.copy(interpreter.path, copy)
        start = starter("env", f"PYTHONHOME={interpreter.prefix}", copy)
        check(start, f"copy of {interpreter}")


@test
def from_a_file_that_is_gone():
    """As after an upgrade of its package."""
    host.need_bpf()
    interpreter = host.interpreter("debian")
    copy = shutil.copy(interpreter.path, os.path.join(folder(), "python3.gone"))

    @contextlib.contextmanager
    def start(script, *args):
        with starter("env", f"PYTHONHOME={interpreter.prefix}", copy)(script, *args) as target:
            ready = target.ready
            target.ready = lambda: (ready(), os.unlink(copy))
            yield target
    check(start, "unlinked")


def built(interpreter, name, *more, libraries=None):
    """embed.c, linked with an interpreter; SKIP where what it takes is missing."""
    config = os.path.join(interpreter.prefix, "bin", f"python{interpreter.release}-config")
    if not os.path.exists(config) or not shutil.which("gcc"):
        skip(f"no {config} or no gcc")

    if libraries is None:
        libraries = shlex.split(subprocess.run([config, "--ldflags", "--embed"], stdout=subprocess.PIPE, text=True,
                                               check=True).stdout)
    program = os.path.join(folder(), f"{name}-{interpreter.kind}-{interpreter.release.replace('.', '_')}")
    done = subprocess.run(["gcc", SOURCE, "-o", program, "-pthread", *libraries, f"-Wl,-rpath,{interpreter.prefix}/lib", *more],
                          stderr=subprocess.PIPE, text=True, check=False)
    return program if not done.returncode else skip(f"{interpreter} cannot be linked: {done.stderr[-200:]}")


def shared():
    return [one for one in interpreters() if one.kind == "pyenv" or os.path.exists("/usr/lib/x86_64-linux-gnu/libpython"
                                                                                   f"{one.release}.so.1.0")]


@test
def embedded_from_a_shared_library():
    for interpreter in shared() or skip("no shared library"):
        check(starter(built(interpreter, "embeds"), "main"), f"main of {interpreter}")


@test
def embedded_in_a_thread_of_its_own():
    for interpreter in shared() or skip("no shared library"):
        check(starter(built(interpreter, "embeds"), "thread"), f"thread of {interpreter}")


@test
def embedded_in_a_forked_worker():
    for interpreter in shared() or skip("no shared library"):
        check(starter(built(interpreter, "embeds"), "worker"), f"worker of {interpreter}")


@test
def a_thread_local_variable_of_a_library():
    """3.15 has no other way to its thread state: where the library came with the program, and where it was opened later, on each
    way through the loader of its own suite."""
    python = next((one for one in pythons("more") if one.name == "3.15 sid-shared"), None) or skip("no libpython3.15")
    library = glob.glob(f"{python.unpacked}/usr/lib/*/libpython3.15.so.1.0")[0]
    program = os.path.join(folder(), "embeds-3_15")
    for how, *more in (["thread", library, "-Wl,--unresolved-symbols=ignore-in-shared-libs"], ["opened", "-DOPENED"]):
        subprocess.run(["gcc", SOURCE, "-o", program, "-pthread", *more], check=True)
        check(starter(python.command[0], f"LIBPYTHON={library}", *python.command[1:-1], program, how), f"3.15, {how}")


def static_library(interpreter):
    path = f"{interpreter.prefix}/lib/python{interpreter.release}/config-{interpreter.release}-x86_64-linux-gnu/" \
           f"libpython{interpreter.release}.a"
    return path if os.path.exists(path) else skip(f"no {path}")


LIBRARIES = ["-no-pie", "-lm", "-lz", "-lexpat", "-ldl", "-lutil"]


@test
def linked_statically():
    interpreter = host.interpreter("debian")
    program = built(interpreter, "static", static_library(interpreter), "-Wl,--export-dynamic", *LIBRARIES, libraries=[])
    for how in ("main", "thread", "worker"):
        check(starter(program, how), f"static, {how}")


@test
def linked_statically_and_stripped_of_all_symbols():
    """Its functions have no names: either the stacks are right, or it is refused in words."""
    host.need_bpf()
    interpreter = host.interpreter("debian")
    program = built(interpreter, "bare", static_library(interpreter), "-s", *LIBRARIES, libraries=[])
    with starter(program, "main")("leak_at_line.py", 1) as target:
        target.ready()
        told = tool.run("doctor", "--pid", target.pid)
        note(told.out[told.out.find("process"):] + told.err)
        if told.status:
            has(told.err, f"process {target.pid} ")
            return
    result = measure.leak(starter(program, "main"), 16, 1 << 20)
    is_(abs(result["seen"] - result["truth"]) * 20 < result["truth"], True, f"bytes of a line: {result}")


main()
