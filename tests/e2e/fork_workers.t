#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Forked workers: each traced from its fork on, its bytes in its own process and on its own line."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.tap import is_, main, near, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402

MIB = 1 << 20


def record(orders, python=host.PYTHON):
    """(truth, rows by process, rows by line); what is ordered before `record` happens untraced."""
    with tempfile.TemporaryDirectory() as folder, Process("fork_workers.py", python=python) as target:
        file = os.path.join(folder, "fork.pms")
        target.ready()
        before, after = orders
        for order in before:
            target.ask(order)
        with tool.record("--pid", target.pid, "--signals", "resident", "--budget", "none", file=file) as recorder:
            for order in after:
                truth = target.ask(order)
            recorder.stop().succeeded()
        return truth, tool.report(file, "process", "--top", "100")["rows"], tool.lines(file)


def check(truth, processes, lines):
    by_tgid = {row["tgid"]: row for row in processes}
    for worker in truth["workers"]:
        row = tool.at(lines, truth["file"], worker["line"])
        ok(row["frame"], f"no row for {worker['function']}:", tool.show_rows(lines))
        is_(row["frame"]["function"], worker["function"], "function")
        near(row["bytes"], worker["bytes"], 5, worker["function"])
        ok(worker["pid"] in by_tgid, f"worker {worker['pid']} is not in {sorted(by_tgid)}")
        frame = by_tgid[worker["pid"]]["frame"] or {}
        is_([frame.get("file"), frame.get("line")], [truth["file"], worker["line"]], f"top line of {worker['pid']}")


@test
def workers_forked_while_recording():
    host.need_bpf()
    check(*record(([], ["fork", "go 200 65536"])))


@test
def workers_forked_before():
    host.need_bpf()
    check(*record((["fork"], ["go 200 65536"])))


@test
def workers_of_a_shared_library_interpreter():
    host.need_bpf()
    check(*record(([], ["fork", "go 200 65536"]), host.interpreter("pyenv", "3.13").path))


def wait_for_collections(target, file, child, order):
    """Until one of the child's is in the recording; each order has it collect."""
    def seen():
        target.ask(order)
        return (child,) in measure.rows(file, "SELECT tgid FROM gc JOIN process ON process.id = gc.process")
    tool.wait_until(seen, f"collections of process {child} are in the recording")


@test
def a_daemon_whose_parents_have_ended():
    """Probes are attached to the child although its parent, whose interpreter it has, is gone by then."""
    host.need_bpf()
    python = host.interpreter("pyenv", "3.13").path
    with tempfile.TemporaryDirectory() as folder, Process("daemon.py", python=python) as target:
        file = os.path.join(folder, "daemon.pms")
        target.ready()
        with tool.record("--pid", target.pid, "--signals", "gc", file=file) as recorder:
            child = target.ask("leave 4")["pid"]
            wait_for_collections(target, file, child, "collect 2")
            target.close()
            recorder.wait().succeeded()


@test
def what_the_collector_writes():
    """A worker's first full collection writes to the header of each object that it shares with its parent, and so makes all of
    them its own. Before, it has next to nothing: tracing does not take what is shared apart."""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("shared_heap.py") as target:
        file = os.path.join(folder, "heap.pms")
        target.ready()
        with tool.record("--pid", target.pid, "--budget", "none", file=file) as recorder:
            child = target.ask("fork")["pid"]
            wait_for_collections(target, file, child, "collect 0")
            truth = target.ask("collect 2")
            recorder.stop().succeeded()
        rows = tool.lines(file)
    ok(truth["before"] < 4 * MIB, f"the worker has {truth['before']} bytes of its own before it collects")
    ok(truth["after"] > 16 * MIB, f"the worker has {truth['after']} bytes of its own then")
    told = sum(row["bytes"] for row in rows if row["frame"] and row["frame"]["kind"] == "collector")
    near(told, truth["after"] - truth["before"], 3, tool.show_rows(rows) + "\nthe collector's bytes")


main()
