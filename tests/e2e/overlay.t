#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Containers of one image, each with an overlay mount of its own over the same files: each allocation counts once."""
import contextlib
import os
import sqlite3
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.containers import PARENT, Container  # noqa: E402
from lib.tap import is_, main, ok, test  # noqa: E402


def check(count, *target, prefix=()):
    host.need_bpf()
    host.need_runc()
    interpreter = host.interpreter("pyenv", "3.11")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = os.path.join(folder, "overlay.pms")
        services = [stack.enter_context(Container(f"overlay-{number}", "lines.py",
                                                  interpreter=interpreter, overlay=True)).ready()
                    for number in range(count)]
        devices = {os.stat(f"/proc/{service.pid}/exe").st_dev for service in services}
        ok(len(devices) == count, f"not an overlay each: devices {devices}")
        with tool.Recorder(*target, "--signals", "exact", file=file, prefix=prefix) as recorder:
            truths = {service.name: service.ask("go") for service in services}
            links = len(recorder.held())
            recorder.stop().succeeded()
        rows = tool.lines(file, "--view", "alloc")
        once_each(file)
    for name, truth in truths.items():
        for line in truth["lines"]:
            row = tool.at(rows, truth["file"], line["line"], name)
            is_([row["count"], row["bytes"]], [line["alloc_cnt"], line["alloc_bytes"]], f"{name}, {line['function']}")
    return links


def once_each(file):
    """Each hit is one block or one free. A hit that two attachments told of is counted once all the same where a block has
    one address, but for the number of events."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        counter = dict(database.execute("SELECT name, value FROM counter"))
        blocks, = database.execute("SELECT sum(alloc_cnt) + sum(free_cnt) FROM total WHERE kind = 'exact'").fetchone()
    most = (blocks + counter["free_of_unknown_block"]) * 1.05
    ok(counter["events"] <= most, f"{counter['events']} events, {most:.0f} at most are blocks and frees")


@test
def two_containers():
    """Each process has probes of its own."""
    check(2, "--cgroup", PARENT)


@test
def two_containers_with_perf_events():
    """As on kernels before 6.6."""
    check(2, "--cgroup", PARENT, prefix=["env", "PYMEMSCOPE_LINKS=single"])


@test
def two_containers_of_a_whole_host():
    """All processes share the probes of a file."""
    links = check(1)
    ok(check(2) == links, "containers of one image have probes of their own")


@test
def more_containers_than_have_probes_of_their_own():
    check(20, "--cgroup", PARENT)


main()
