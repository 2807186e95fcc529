#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs in the virtual machine: the tool on a host with cgroup v2's memory controller, by each hook on page faults.

tests/vm/hooks.t says whether the kernel has the hooks; here each is asked for by name, and each must find the same leak.
"""
import contextlib
import os
import re
import signal
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.containers import Container  # noqa: E402
from lib.tap import cleanup, has, is_, main, near, note, ok, once, test  # noqa: E402

SERVICE = "vm"
LIMIT = 128 << 20
BLOCKS, BLOCK_BYTES = 128, 65000  # of malloc, page by page from the heap's end
LOAD_S = 120  # the verifier is emulated too


@once
def folder():
    return cleanup.enter_context(tempfile.TemporaryDirectory())


@once
def container():
    return cleanup.enter_context(Container(SERVICE, "leak_at_line.py", 7, memory_limit=LIMIT)).ready()


def lines_of_python(rows):
    """Without what was there before: the container has leaked for the tests before this one."""
    return [row for row in rows if row["frame"] and row["frame"]["kind"] == "python"]


def leak_recorded_by(hook, *options):
    """The leak is found, with the container's name, limit and usage, and what is said is the hook asked for."""
    host.need_bpf()
    service = container()
    file = os.path.join(folder(), f"{hook}{len(options)}.pms")
    with tool.record("--container", service.name, "--signals", "resident", *options, file=file, limit_s=LOAD_S) as recorder:
        truth = service.ask(f"go {BLOCKS} {BLOCK_BYTES}")
        usage = service.usage_bytes()
        result = recorder.stop().succeeded()
    has(result.err, f"page faults by {hook}")
    rows = tool.lines(file)
    grown = lines_of_python(rows)
    ok(grown, "no line of Python:", result, tool.show_rows(rows))
    top = grown[0]
    for key in ("file", "line", "function"):
        ok(top["frame"][key] == truth[key], f"{key} of the first line is not {truth[key]!r}:", tool.show_rows(rows))
    near(top["bytes"], BLOCKS * BLOCK_BYTES, 10, "bytes")
    containers = tool.report(file, "container")["containers"]
    is_([(one["name"], one["cgroup"]) for one in containers], [(service.name, service.cgroup_path)], "containers")
    is_(containers[0]["limit_bytes"], LIMIT, "limit")
    near(containers[0]["usage_bytes"], usage, 10, "usage")
    note(re.search(r".*\brecorded:.*", result.err)[0])


@test
def the_memory_controller_is_version_2():
    is_(host.cgroup_mode(), "v2", "cgroups")
    is_(host.memory_cgroup_dir("/x"), "/sys/fs/cgroup/x", "memory")


@test
def doctor_names_the_best_hook_and_cgroup_v2():
    text = tool.run("doctor", limit_s=LOAD_S).succeeded().out
    ok(re.search(r"^page faults +fentry$", text, re.M), text)
    ok(re.search(r"^cgroups +v2$", text, re.M), text)


@test
def fentry_is_taken_when_nothing_is_asked_for():
    leak_recorded_by("fentry")


@test
def fentry():
    leak_recorded_by("fentry", "--fault-hook", "fentry")


@test
def kprobe():
    leak_recorded_by("kprobe", "--fault-hook", "kprobe")


@test
def tracepoint():
    leak_recorded_by("tracepoint", "--fault-hook", "tracepoint")


@test
def perf():
    leak_recorded_by("perf", "--fault-hook", "perf")


@test
def collections_and_allocations_whatever_way_probes_are_attached():
    """Perf events before 6.6, many sites in one link from then on."""
    host.need_bpf()
    file = os.path.join(folder(), "gc.pms")
    with Container("gc", "gc_loop.py") as service:
        service.ready()
        with tool.record("--container", service.name, "--signals", "gc,exact", file=file, limit_s=LOAD_S) as recorder:
            told = service.ask("collect 1 5")["collections"] + service.ask("collect 2 3")["collections"]
            links = recorder.held()
            recorder.stop().succeeded()
    seen = {one["generation"]: one for one in tool.report(file)["gc"]}
    is_({generation: one["collections"] for generation, one in seen.items()}, {1: 5, 2: 3}, "collections")
    is_(sum(one["collected"] for one in seen.values()), sum(one["collected"] for one in told), "collected")
    ok(tool.lines(file, "--view", "alloc"), "no allocation seen")
    note(f"{len(links)} links")


@test
def large_blocks_whatever_way_probes_are_attached():
    host.need_bpf()
    file = os.path.join(folder(), "large.pms")
    with Container("large", "large.py") as service:
        service.ready()
        with tool.record("--container", service.name, "--signals", "heap", "--budget", "none", file=file,
                         limit_s=LOAD_S) as recorder:
            service.ask("grow")
            truth = service.ask("drop")
            recorder.stop().succeeded()
    measure.LargeBlocks(file).check(truth)


@test
def a_container_that_reaches_its_limit_is_seen_to_the_end():
    """A container killed at its limit: the recording ends by itself and names line, limit and kill"""
    host.need_bpf()
    limit = 48 << 20
    file = os.path.join(folder(), "killed.pms")
    with Container("killed", "leak_at_line.py", 9, memory_limit=limit) as service:
        service.ready()
        with tool.record("--container", service.name, "--signals", "resident", file=file, limit_s=LOAD_S) as recorder:
            service.ask("go 100 65000")
            service.send("go 10000 65000")
            ok(service.wait(60), "still alive beyond its limit")
            with open(f"/sys/fs/cgroup{service.cgroup_path}/memory.events", encoding="utf-8") as events:
                has(events.read(), "oom_kill 1", "memory.events")
            with contextlib.suppress(ProcessLookupError):
                recorder.process.send_signal(signal.SIGINT)
            recorder.wait().succeeded()
    rows = tool.lines(file)
    top = lines_of_python(rows)[0]
    is_(top["frame"]["line"], 3 * 9 + 3, "line of the first row")
    ok(top["allocated_bytes"] > limit // 2, tool.show_rows(rows))
    one = tool.report(file, "container")["containers"][0]
    is_([one["name"], one["limit_bytes"]], [service.name, limit], "container")
    is_(one["oom_kills"], 1, "kills")


main()
