#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The recorder is killed with SIGKILL: the target lives on, and the recording lacks at most the last second."""
import os
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import is_, main, near, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402


@test
def a_killed_recorder_loses_at_most_a_second():
    host.need_bpf()
    before = tool.in_kernel()
    with tempfile.TemporaryDirectory() as folder, Process("leak_at_line.py", 5) as target:
        file = os.path.join(folder, "killed.pms")
        target.ready()
        with tool.record("--pid", target.pid, "--signals", "resident", file=file) as recorder:
            truth = target.ask("go 300 65536")
            # The promise is about time, so time must pass: one second, and what a flush may take.
            time.sleep(1.5)
            is_(recorder.stop(signal.SIGKILL).status, -signal.SIGKILL, "exit")
        tool.nothing_left(before)
        is_(target.ask("go 1 65536")["count"], 301, "the target lives on: blocks")
        rows = tool.lines(file)
        near(tool.at(rows, truth["file"], truth["line"])["bytes"], truth["bytes"], 10, "bytes in the recording")
        ok(tool.run("report", file).succeeded().out, "an empty report")


@test
def the_recording_can_be_read_without_write_access():
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("leak_at_line.py", 5) as target:
        file = os.path.join(folder, "small.pms")
        target.ready()
        with tool.record("--pid", target.pid, "--signals", "resident", file=file) as recorder:
            truth = target.ask("go 300 65536")
            recorder.stop().succeeded()
        is_(os.listdir(folder), ["small.pms"], "files left")
        os.chmod(folder, 0o755)
        os.chmod(file, 0o444)
        result = tool.run("report", file, "--by", "line", user=65534, extra_groups=[]).succeeded()
        ok(f"generated_leaks.py:{truth['line']}" in result.out, result)


main()
