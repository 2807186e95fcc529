#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Probes come and go with processes: nothing counts twice, nothing is left, and nobody waits."""
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import cleanup, is_, main, note, ok, once, test  # noqa: E402
from lib.target import Process  # noqa: E402

GROUP = f"/pymemscope-test-attach-{os.getpid()}"
ROUND = 3000  # blocks a thread


@once
def cgroup():
    """The folder of a memory cgroup for this test."""
    host.need_bpf()
    path = host.memory_cgroup_dir(GROUP) or host.tap.skip("no memory cgroup")
    os.makedirs(path, exist_ok=True)
    cleanup.callback(os.rmdir, path)
    return path


def enter(pid):
    with open(os.path.join(cgroup(), "cgroup.procs"), "w", encoding="ascii") as file:
        file.write(str(pid))


def stop(recorder):
    recorder.had = recorder.held("link") | recorder.held("prog")
    ok(recorder.had, "it holds nothing in the kernel")
    recorder.stop().succeeded()


@contextlib.contextmanager
def recording(*target):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "attach.pms")
        with tool.record(*target, "--signals", "exact,gc", file=file) as recorder:
            yield recorder, file
        tool.gone(recorder.had)


def allocated(file, truths):
    """{line: blocks seen} of what threads.py makes, over all processes."""
    rows = tool.lines(file, "--view", "alloc")
    return [tool.at(rows, truths[0]["file"], thread["line"])["count"] for thread in truths[0]["threads"]]


def told(truths):
    return [sum(truth["threads"][number]["alloc_cnt"] for truth in truths)
            for number in range(len(truths[0]["threads"]))]


def ask_until_seen(target, file):
    """One block a thread and round, until the tracer sees this process: it was late for some. How many were made."""
    made = 0
    deadline = time.monotonic() + 20
    while True:
        truth = target.ask("go 1")
        made += 1
        if any(row["tgid"] == target.pid and row["allocated_bytes"] > 0
               for row in tool.report(file, "process", "--view", "alloc", "--top", "1000")["rows"]):
            return truth, made
        ok(time.monotonic() < deadline, f"process {target.pid} is not in the recording")
        time.sleep(0.2)


@test
def a_process_that_execs_itself():
    """The same process, the same interpreter, other probes: each block once."""
    host.need_bpf()
    python = host.interpreter("pyenv", "3.11").path
    with Process("becomes.py", python=python) as target:
        target.ready()
        with recording("--pid", target.pid) as (recorder, file):
            target.send("exec threads.py")
            target.ready()
            _, late = ask_until_seen(target, file)
            truths = [target.ask(f"go {ROUND}")]
            stop(recorder)
            for seen, made in zip(allocated(file, truths), told(truths)):
                ok(made - late <= seen <= made, f"{seen} of {made} blocks, {late} perhaps before it was seen")


@test
def more_processes_than_have_probes_of_their_own():
    """Ten have; ten more come, and all share: what is allocated meanwhile counts once."""
    cgroup()
    python = host.interpreter("pyenv", "3.11").path
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(Process("threads.py", python=python)).ready() for _ in range(10)]
        for target in first:
            enter(target.pid)
        with recording("--cgroup", GROUP) as (recorder, file):
            own = recorder.held()
            for target in first:
                target.ask(f"go {ROUND // 10}")
            # Ten processes keep allocating while the others come.
            for target in first:
                target.send(f"go {ROUND}")
            more = []
            for _ in range(10):
                more.append(stack.enter_context(Process("becomes.py", python=python)).ready())
                enter(more[-1].pid)
                more[-1].send("exec threads.py")
                more[-1].ready()
            truths = [json.loads(target.line()) for target in first]
            late = 0
            for target in more:
                late += ask_until_seen(target, file)[1]
            tool.wait_until(lambda: len(recorder.held()) < len(own), "links of their own are gone")
            truths += [target.ask(f"go {ROUND // 10}") for target in more]
            stop(recorder)
            for seen, made in zip(allocated(file, truths), told(truths)):
                ok(made - late <= seen <= made, f"{seen} of {made} blocks, {late} perhaps before they were seen")


@test
def processes_that_end_while_being_attached():
    """Each leaves no link while the recorder goes on."""
    cgroup()
    with contextlib.ExitStack() as stack:
        stay = stack.enter_context(Process("gc_loop.py")).ready()
        enter(stay.pid)
        with recording("--cgroup", GROUP) as (recorder, _):
            own = recorder.held()
            for number in range(60):
                life = number % 12 * 0.004
                with subprocess.Popen([host.PYTHON, "-S", "-c", f"import time; time.sleep({life})"],
                                      preexec_fn=lambda: enter(os.getpid())):
                    pass
            tool.wait_until(lambda: not recorder.held() - own, "links of processes that ended are gone")
            is_(own - recorder.held(), set(), "links that were there from the start")
            stop(recorder)


@test
def twenty_processes_end_soon():
    """From ^C to the end, with all that is attached."""
    cgroup()
    for count in (10, 20):
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                enter(stack.enter_context(Process("gc_loop.py")).ready().pid)
            with recording("--cgroup", GROUP) as (recorder, _):
                start = time.monotonic()
                stop(recorder)
                took = time.monotonic() - start
        note(f"{count} processes: {took:.2f} s from SIGINT to exit")
        # One probe after the other takes 20 s (perf events before 6.6 do).
        ok(took < 1 or not multi(), f"{count} processes: {took:.2f} s")


def multi():
    """6.6 or newer."""
    return tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 6)


main()
