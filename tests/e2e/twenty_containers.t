#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Twenty containers leak at once, each on a line of its own: every byte on the right container and line."""
import contextlib
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.containers import Container  # noqa: E402
from lib.tap import cleanup, is_, main, near, ok, once, test  # noqa: E402

COUNT = 20
ROUNDS = 4
BLOCK_BYTES = 65536


@once
def recorded():
    """(file, {container: truth})"""
    host.need_bpf()
    host.need_runc()
    folder = cleanup.enter_context(tempfile.TemporaryDirectory())
    file = os.path.join(folder, "twenty.pms")
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(Container(f"{number:02}", "leak_at_line.py", number))
                    for number in range(COUNT)]
        for service in services:
            service.ready()
        with tool.record("--signals", "resident", file=file) as recorder:
            for _ in range(ROUNDS):
                # All at once: nobody's answer is waited for before all have their order. Different amounts, so that
                # a swap shows.
                for number, service in enumerate(services):
                    service.send(f"go {24 + number} {BLOCK_BYTES}")
                told = {service.name: json.loads(service.line()) for service in services}
            recorder.stop().succeeded()
    return file, told


@test
def every_container_has_its_bytes_on_its_line():
    file, told = recorded()
    rows = tool.lines(file)
    for name, truth in told.items():
        row = tool.at(rows, truth["file"], truth["line"], name)
        ok(row["frame"], f"{name}: no row for {truth['file']}:{truth['line']}", tool.show_rows(rows, 30))
        is_(row["frame"]["function"], truth["function"], f"{name}: function")
        near(row["bytes"], truth["bytes"], 10, name)


@test
def none_is_swapped():
    file, told = recorded()
    for row in tool.lines(file):
        frame = row["frame"]
        if frame and frame["file"].endswith("generated_leaks.py") and row["container"] in told:
            is_(frame["function"], told[row["container"]]["function"], f"{row['container']}: function")
        elif frame and frame["file"].endswith("generated_leaks.py"):
            ok(False, f"leak of another container: {row}")


@test
def containers_add_up():
    file, told = recorded()
    rows = {row["container"]: row for row in tool.report(file, "container", "--top", "1000")["rows"]}
    for name, truth in told.items():
        ok(name in rows, f"{name} is not in {sorted(rows)}")
        ok(rows[name]["bytes"] >= truth["bytes"] * 0.9, f"{name}: {rows[name]['bytes']} of {truth['bytes']}")


main()
