#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Where doctor says that probes would stand, they stand; where there is none, it says why."""
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import debian, host, tool  # noqa: E402
from lib.tap import has, is_, main, note, ok, test  # noqa: E402
from lib.target import Process, opcode_at  # noqa: E402

BREAKPOINT = b"\xcc"
SITE = re.compile(r"^ +heap  (\S.*?) {2,}([\w.]+)\+\d+ \(file offset (0x\w+)\) (.*)$", re.M)
OFTEN = ["malloc", "calloc", "realloc", "free"]
CALLS = ["mmap", "munmap", "mremap", "mprotect", "madvise", "brk"]


def told(target):
    return tool.run("doctor", "--pid", target.pid).succeeded().out


def heap_sites(text):
    """{function: (file, offset, the rest of the line)}"""
    interpreter, malloc, mappings = (re.search(rf"^{what} +(.*)$", text, re.M)[1] for what in ("interpreter", "malloc", "mappings"))
    files = {"pool taken": interpreter, "behind the call": mappings}
    return {function: (files.get(kind, malloc), int(offset, 16), rest) for kind, function, offset, rest in SITE.findall(text)}


def check_interpreter(interpreter):
    with tempfile.TemporaryDirectory() as folder, Process("large.py", python=interpreter.path) as target:
        target.ready()
        sites = heap_sites(told(target))
        pool = [function for function in sites if function not in OFTEN + CALLS]
        ok(len(pool) == 1 and {*OFTEN, *CALLS} < set(sites), sites)
        costs = {"emulated": [], "single-stepped": []}
        for function, (path, offset, rest) in sites.items():
            emulated = re.fullmatch(r"\S.*: (emulated|single-stepped), about (\d+\.\d\d) us a hit", rest)
            ok(emulated, f"{function}: {rest}")
            costs[emulated[1]].append(float(emulated[2]))
            ok(opcode_at(target.pid, path, offset) != BREAKPOINT, f"{function}: somebody traces already")
        # As measured on this machine: one trap is less than two, whatever one takes.
        ok(0 < max(costs["emulated"], default=1) < min(costs["single-stepped"], default=1e9), costs)
        with tool.record("--pid", target.pid, "--signals", "heap", file=os.path.join(folder, "heap.pms")) as recorder:
            for function, (path, offset, _) in sites.items():
                is_(opcode_at(target.pid, path, offset), BREAKPOINT, f"{interpreter.release}: opcode at {function}")
            recorder.stop().succeeded()
        note(f"{interpreter.kind} {interpreter.release}: {pool[0]}: {sites[pool[0]][2]}")


@test
def where_the_heap_signal_probes():
    """Each site that is named gets its breakpoint when the heap signal is recorded."""
    host.need_bpf()
    for interpreter in host.interpreters():
        check_interpreter(interpreter)


@test
def without_pymalloc():
    """Small blocks come from malloc: there is a place where pools are taken, but none is."""
    with Process("large.py", environment={"PYTHONMALLOC": "malloc"}) as target:
        target.ready()
        has(told(target), "small blocks       are not pymalloc's: no pool is taken, and no window sees them")


@test
def another_malloc():
    """The file that serves malloc is named, and its functions are."""
    root = debian.unpacked("libjemalloc2", "libjemalloc2")
    library = os.path.join(root, "usr/lib/x86_64-linux-gnu/libjemalloc.so.2")
    with Process("large.py", environment={"LD_PRELOAD": library}) as target:
        target.ready()
        sites = heap_sites(told(target))
        is_({os.path.basename(sites[function][0]) for function in OFTEN}, {"libjemalloc.so.2"}, "file of malloc")
        is_({os.path.basename(sites[function][0]) for function in CALLS}, {"libc.so.6"}, "file of mmap")


@test
def not_python():
    """No site, no crash, one sentence."""
    with Process("/dev/null", python=["/usr/bin/tail", "-f"]) as target:
        result = tool.run("doctor", "--pid", target.pid)
    is_(result.status, 1, "exit status")
    is_(result.err.strip(), f"pymemscope: process {target.pid} is not Python: no CPython interpreter is mapped in it", "stderr")


main()
