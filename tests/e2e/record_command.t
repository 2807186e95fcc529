#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""record -- COMMAND: a program from its first instruction to its end."""
import os
import re
import sqlite3
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import has, is_, main, near, note, ok, test  # noqa: E402

# Leaks before it could be asked to wait: only who is there from the first instruction sees it.
SCRIPT = """import sys
kept = []
for _ in range(400):
    kept.append(b"x" * 65000)
print("out")
print("err", file=sys.stderr)
sys.exit(%d)
"""


class Script:
    """A folder with a script and a place for the recording."""

    def __init__(self, status):
        self.folder = tempfile.TemporaryDirectory()
        self.script = os.path.join(self.folder.name, "leak.py")
        self.file = os.path.join(self.folder.name, "out.pms")
        with open(self.script, "w", encoding="utf-8") as out:
            out.write(SCRIPT % status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def record(script, python, *more):
    return tool.run("record", "--signals", "resident", "-o", script.file, *more, "--", python, script.script)


@test
def what_the_command_allocates_first_is_seen():
    host.need_bpf()
    before = tool.in_kernel()
    with Script(0) as script:
        result = record(script, host.PYTHON).succeeded()
        rows = tool.lines(script.file)
        near(tool.at(rows, script.script, 4)["bytes"], 400 * 65033, 10, "bytes")
        before_it = sum(row["bytes"] for row in rows if "before tracing" in (row["frame"] or {}).get("function", ""))
        ok(before_it < 2 << 20, "a command has nothing from before tracing began:", tool.show_rows(rows))
        has(result.out, "out\n", "stdout (the command's own)")
        has(result.err, "err\n", "stderr (the command's own)")
    tool.nothing_left(before)


@test
def a_shared_library_interpreter_too():
    """Its library is mapped only after the exec; several times, because that is a race against the tracer."""
    host.need_bpf()
    for _ in range(8):
        with Script(0) as script:
            record(script, host.interpreter("pyenv", "3.13").path).succeeded()
            rows = tool.lines(script.file)
            row = tool.at(rows, script.script, 4)
            ok(row["frame"], "no row for the line:", tool.show_rows(rows))
            near(row["bytes"], 400 * 65033, 10, "bytes")


@test
def a_python_that_a_shell_starts():
    """Found anew at its fork and exec, and never held: what it does before it is found is told apart, not lost. A race
    against the tracer, so several times. Of a program that is new, few faults are looked at; that of 6,000 in 30 ms none was, and no
    row tells of them, has been seen once in 60 times where the machine was another's for a moment."""
    host.need_bpf()
    found, lost = 0, []
    for _ in range(8):
        with Script(0) as script:
            tool.run("record", "--signals", "resident", "-o", script.file, "--", "sh", "-c",
                     f"{host.PYTHON} {script.script}; true").succeeded()
            rows = tool.lines(script.file)
            line = tool.at(rows, script.script, 4)["bytes"]
            before = sum(row["bytes"] for row in rows if "[" in (row["frame"] or {}).get("function", ""))
            before += tool.report(script.file)["not_watched_bytes"]
            if line + before <= 0.9 * 400 * 65033:
                lost.append(f"{line} on its line, {before} told apart: {tool.show_rows(rows)}")
                note(lost[-1])
            found += line > 0.9 * 400 * 65033
    ok(found, "its line was never found")
    ok(len(lost) <= 1, *lost)


SPIN = """import time
while time.process_time() < 0.3:
    pass
print(time.process_time(), flush=True)
"""


@test
def the_cpu_time_of_programs_that_end_at_once_is_known():
    """No second goes by in which it could be looked at: the kernel tells it at exec and exit."""
    host.need_bpf()
    with Script(0) as script:
        spin = script.script + ".spin"
        with open(spin, "w", encoding="utf-8") as out:
            out.write(SPIN)
        python = f"{host.PYTHON} {spin}"
        for what, command in (("itself", [host.PYTHON, spin]), ("exec", ["sh", "-c", f"exec {python}"]),
                              ("fork and exec", ["sh", "-c", f"{python}; true"]),
                              ("two", ["sh", "-c", f"{python}; {python}"])):
            result = tool.run("record", "--signals", "resident", "-o", script.file, "--", *command).succeeded()
            told_s = sum(map(float, result.out.split()))
            with sqlite3.connect(script.file) as db:
                (seen_ns,), = db.execute("SELECT value FROM counter WHERE name = 'cost.target_cpu_ns'")
            near(seen_ns / 1e9, told_s, 15, what)
            has(result.err, " (budget 1 %)", "stderr")


@test
def a_command_that_uses_next_to_no_cpu_time_gets_no_share():
    host.need_bpf()
    with Script(0) as script:
        result = tool.run("record", "--signals", "resident", "-o", script.file, "--", "/bin/true").succeeded()
        ok(re.search(r"^tracing took \S+ (ns|µs|ms) of \S+ (µs|ms) of CPU time \(budget 1 %\)$", result.err, re.M), result)


@test
def a_command_that_fails_is_recorded_all_the_same():
    host.need_bpf()
    with Script(3) as script:
        result = record(script, host.PYTHON)
        ok(result.status in (0, 1, 3), result)
        near(tool.at(tool.lines(script.file), script.script, 4)["bytes"], 400 * 65033, 10, "bytes")


@test
def its_exit_status_is_passed_on():
    host.need_bpf()
    with Script(0) as script:
        for what, command, status in (("its own", "exit 7", 7), ("a signal", "kill -9 $$", 128 + 9), ("well", "exit 0", 0)):
            result = tool.run("record", "--signals", "resident", "-o", script.file, "--", "sh", "-c", command)
            is_(result.status, status, f"{result}\n{what}")


@test
def a_command_that_goes_on_has_no_exit_status_yet():
    host.need_bpf()
    with Script(0) as script:
        wait, go = os.pipe()
        try:
            result = tool.run("record", "--signals", "resident", "--duration", "100ms", "-o", script.file, "--", "sh", "-c",
                              f"exec >/dev/null 2>&1; read end <&{wait}; exit 7", pass_fds=[wait])
        finally:
            os.close(go)
            os.close(wait)
        is_(result.status, 0, f"{result}\nexit")
        has(result.err, "goes on as process", "stderr")


@test
def a_failure_of_the_recorder_goes_before_it():
    host.need_bpf()
    result = tool.run("record", "-o", "/nonexistent/out.pms", "--", "sh", "-c", "exit 7")
    is_(result.status, 1, f"{result}\nexit")


COLLECT = """import gc
for _ in range(5):
    gc.collect()
"""


@test
def what_the_first_second_collects_has_its_time():
    host.need_bpf()
    with Script(0) as script:
        with open(script.script, "w", encoding="utf-8") as out:
            out.write(COLLECT)
        tool.run("record", "--signals", "gc", "-o", script.file, "--", host.PYTHON, script.script).succeeded()
        with sqlite3.connect(script.file) as db:
            (count, first, last), = db.execute("SELECT count(*), min(time_ms), max(time_ms) FROM collections")
            (begin, end), = db.execute("SELECT min(time_ms), max(time_ms) FROM flush")
    ok(count >= 5, f"{count} collections")
    is_(begin, 0, "time of the first flush")
    ok(0 <= first <= last <= end, f"collections from {first} to {last} ms, written until {end} ms")


@test
def a_command_that_does_not_exist_is_one_sentence():
    host.need_bpf()
    with Script(0) as script:
        result = tool.run("record", "-o", script.file, "--", "/nonexistent/program")
        is_(result.status, 1, f"{result}\nexit")
        has(result.err, "/nonexistent/program", "stderr")


main()
