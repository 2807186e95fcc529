#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Every stack is right: file, line and function of each frame, against what the target says of itself."""
import contextlib
import os
import sqlite3
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import is_, main, note, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402

ROUNDS = 10


def stacks_of(file):
    query = "SELECT stack, sum(alloc_bytes) FROM stacks WHERE kind = 'resident_anon' GROUP BY stack"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return dict(db.execute(query))


def check(interpreter):
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("stack_truth.py", python=interpreter.path) as target:
        file = os.path.join(folder, "stacks.pms")
        target.ready()
        with tool.record("--pid", target.pid, "--signals", "resident", "--budget", "none", file=file) as recorder:
            truth = target.ask(f"go {ROUNDS}")["stacks"]
            recorder.stop().succeeded()
        seen = stacks_of(file)
    page = os.sysconf("SC_PAGESIZE")
    touched = {stack: n for stack, n in seen.items() if "touch (" in (stack or "").rsplit(";", 1)[-1]}
    # The touching line itself is in the truth; lines beside it (mmap, the truth's own bookkeeping) are not.
    line = next(iter(truth)).rsplit(":", 1)[-1]
    touched = {stack: n for stack, n in touched.items() if stack.endswith(f":{line}")}
    wrong = [stack for stack in touched if stack not in truth]
    missing = [stack for stack in truth if stack not in touched]
    is_(wrong[:3], [], "stacks that never were")
    is_(missing[:3], [], f"stacks not seen ({len(missing)} of {len(truth)})")
    pages, told = sum(touched.values()) // page, sum(truth.values())
    # A page may be charged to the fault before it or after it, when a second thread faults; the sum is the sum.
    ok(told * 0.98 <= pages <= told * 1.02, f"{pages} pages of {told}")
    off = [stack for stack, n in truth.items() if abs(touched[stack] // page - n) > max(2, n // 10)]
    is_([(stack[-200:], touched[stack] // page, truth[stack]) for stack in off[:3]], [], "stacks with other bytes")
    note(f"{interpreter.name}: {len(truth)} stacks, {told} pages")


def one(interpreter):
    def run():
        check(interpreter)
    run.__name__ = "on_" + interpreter.name.replace("-", "_").replace(".", "_")
    return test(run)


for each in host.interpreters():
    one(each)
main()
