#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Blocks over 512 bytes where it is not plain: other allocators, older kernels' ways, forks, the first instruction, a program
that allocates too hotly, and who must not be touched."""
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import debian, host, measure, tool  # noqa: E402
from lib.tap import has, is_, main, near, note, ok, test  # noqa: E402
from lib.target import Process, opcode_at  # noqa: E402

EVERYTHING = ["--signals", "heap", "--budget", "none"]
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def check_all(environment=None, recorder_environment=None):
    """large.py knows what each of its lines does."""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("large.py", environment=environment) as target:
        target.ready()
        file = os.path.join(folder, "large.pms")
        prefix = ["env", *(f"{name}={value}" for name, value in (recorder_environment or {}).items())]
        with tool.Recorder("--pid", target.pid, *EVERYTHING, file=file, prefix=prefix) as recorder:
            for order in ["grow", "drop", "threads", "calls"]:
                truth = target.ask(order)
            recorder.stop().succeeded()
        measure.LargeBlocks(file).check(truth)


def preloaded(package, library):
    root = debian.unpacked(package, package)
    path = os.path.join(root, LIBRARIES, library)
    ok(os.path.exists(path), path)
    check_all({"LD_PRELOAD": path})


@test
def jemalloc():
    preloaded("libjemalloc2", "libjemalloc.so.2")


@test
def tcmalloc():
    preloaded("libtcmalloc-minimal4", "libtcmalloc_minimal.so.4")


@test
def mimalloc():
    preloaded("libmimalloc2.0", "libmimalloc.so.2")


@test
def every_python_block_from_malloc():
    check_all({"PYTHONMALLOC": "malloc"})


@test
def without_session_programs():
    """As before Linux 6.13: two programs, and a probe on each return"""
    check_all(recorder_environment={"PYMEMSCOPE_LINKS": "many"})


@test
def without_links_that_hold_many_sites():
    """As before Linux 6.6: a perf event for each probe"""
    check_all(recorder_environment={"PYMEMSCOPE_LINKS": "single"})


@test
def threads_that_hand_blocks_to_each_other():
    """Threads without the GIL that resize and free each other's blocks: every block counted once"""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "malloc_threads.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-pthread", "-o", library,
                        os.path.join(host.TARGETS, "malloc_threads.c")], check=True)
        with measure.recording(Process, "malloc_threads.py", "heap", "--budget", "none", args=[library]) as (target, recorder):
            truth = target.ask("go 6 30000")
            recorder.stop().succeeded()
            seen = measure.LargeBlocks(recorder.file)
            counters = dict(measure.rows(recorder.file, "SELECT name, value FROM counter"))
    # What the threads did is of no Python line; what Python did meanwhile is.
    is_(seen.at("", 0)[0], [truth["alloc_cnt"], truth["alloc_bytes"]], "allocated")
    is_(seen.lives("", 0), [truth["live_cnt"], truth["live_bytes"]], "left")
    is_(counters["block_reused_without_free"], 0, "blocks whose free was missed")


@test
def numpy():
    host.need_bpf()
    python = host.interpreter("debian", "3.11").path
    root = debian.unpacked("numpy", "python3-numpy", "libblas3", "liblapack3", "libgfortran5", "libquadmath0")
    environment = {"PYTHONPATH": os.path.join(root, "usr/lib/python3/dist-packages"),
                   "LD_LIBRARY_PATH": debian.library_path(root)}

    def start(script):
        return Process(script, python=python, environment=environment)
    times = 4
    with measure.recording(start, "numpy_arrays.py", "heap", "--budget", "none") as (target, recorder):
        for _ in range(times):
            truth = target.ask("go")
        recorder.stop().succeeded()
        seen = measure.LargeBlocks(recorder.file)
        native = measure.Stacks(recorder.file, "heap").beneath(f"go ({truth['file']}:{truth['lines']['sum']['line']})")
    for name, line in truth["lines"].items():
        near(seen.at(truth["file"], line["line"])[0][1], times * line["alloc_bytes"], 1, f"{name}: allocated")
        near(seen.lives(truth["file"], line["line"])[1], times * line["live_bytes"], 1, f"{name}: lives")
    whole = {frames for frames in native if frames and "/_multiarray_umath." in frames[0] and frames[-1] == "malloc"}
    ok(whole, "native frames from numpy to malloc:", *native)


@test
def a_command_from_its_first_instruction():
    host.need_bpf()
    for python in (host.PYTHON, host.interpreter("pyenv", "3.12").path):
        with tempfile.TemporaryDirectory() as folder:
            script, file = os.path.join(folder, "begin.py"), os.path.join(folder, "command.pms")
            with open(script, "w", encoding="utf-8") as source:
                source.write("import sys\nkept = []\n"
                             "for i in range(60):\n    kept.append(bytes(7000 - sys.getsizeof(b'')))\n")
            tool.run("record", *EVERYTHING, "-o", file, "--", python, script).succeeded()
            is_(measure.LargeBlocks(file).at(script, 4), ([60, 60 * 7000], [60, 60 * 7000]), f"{python}: all, and freed at the end")
            is_(measure.notes(file), [], "notes")


@test
def blocks_from_before_are_not_counted():
    """What was there before tracing began counts when it is resized, not when it is freed"""
    host.need_bpf()
    with tempfile.TemporaryDirectory() as folder, Process("large.py") as target:
        target.ready()
        before = target.ask("grow")["lines"]
        file = os.path.join(folder, "late.pms")
        with tool.record("--pid", target.pid, *EVERYTHING, file=file) as recorder:
            truth = target.ask("drop")
            recorder.stop().succeeded()
        seen = measure.LargeBlocks(file)
        for name in ("strings", "buffers", "arrays"):
            is_(seen.at(truth["file"], before[name]["line"]), ([0, 0], [0, 0]), name)
        is_(seen.lives(truth["file"], truth["labels"]["shrunk_list"])[0], 1, "the list that was shrunk")


@test
def forked_workers():
    """Each worker's blocks are its own; what it inherited is its parent's, also when it frees it"""
    host.need_bpf()
    with measure.recording(Process, "fork_workers.py", "heap", "--budget", "none") as (target, recorder):
        of_one = recorder.links_of_type("uprobe_multi")
        workers = target.ask("fork")["workers"]
        if of_one:  # else probes are perf events
            # What they map is watched once they have worked for a while.
            all_links = of_one + (of_one - 1) * len(workers)
            tool.wait_until(lambda: recorder.links_of_type("uprobe_multi") == all_links, "workers attached")
        truth = target.ask("go 200 5000")
        recorder.stop().succeeded()
        seen = measure.LargeBlocks(recorder.file)
    for worker in truth["workers"]:
        near(seen.lives(truth["file"], worker["line"])[1], worker["bytes"], 1, worker["function"])


BREAKPOINT = b"\xcc"


def site_of_malloc(target):
    """(path, offset) of the instruction that is probed for malloc."""
    doctor = tool.run("doctor", "--pid", target.pid).succeeded().out
    path = re.search(r"^malloc +(\S+)$", doctor, re.M)[1]
    return path, int(re.search(r"heap +allocate +malloc\+\d+ \(file offset (0x\w+)\)", doctor)[1], 16)


@test
def nobody_else_traps():
    """A process with the same C library has no breakpoint in it; nor has the target when the recording has ended"""
    host.need_bpf()
    with Process("large.py") as target, Process("large.py") as bystander:
        target.ready()
        bystander.ready()
        path, offset = site_of_malloc(target)
        plain = opcode_at(bystander.pid, path, offset)
        ok(plain != BREAKPOINT, "somebody traces already")
        with tempfile.TemporaryDirectory() as folder:
            with tool.record("--pid", target.pid, *EVERYTHING, file=os.path.join(folder, "one.pms")) as recorder:
                is_(opcode_at(target.pid, path, offset), BREAKPOINT, "target")
                is_(opcode_at(bystander.pid, path, offset), plain, "bystander")
                recorder.stop().succeeded()
        is_(opcode_at(target.pid, path, offset), plain, "target at the end")


@test
def more_blocks_than_there_is_room_for():
    """Blocks that are too many to follow are counted, and are told apart from those that live"""
    host.need_bpf()
    room, count = 262144, 270000  # include/bounds.h: MAX_LARGE_BLOCKS
    with measure.recording(Process, "hot_malloc.py", "heap", "--budget", "none") as (target, recorder):
        truth = target.ask(f"keep {count} 600")
        recorder.stop().succeeded()
        told = tool.report(recorder.file)
        seen = measure.LargeBlocks(recorder.file)
        live = seen.lives(truth["file"], truth["lines"]["keep"])
        allocated = seen.at(truth["file"], truth["lines"]["keep"])[0]
        counters = dict(measure.rows(recorder.file, "SELECT name, value FROM counter"))
    ok(allocated[0] >= count, "allocated", allocated)
    ok(room - 100 < live[0] <= room, "blocks that live, and room for a list's", live)
    ok(count - live[0] <= counters["dropped.large_blocks_not_followed"] < count - live[0] + 100, "dropped", counters)
    near(told["not_followed_bytes"], (count - room) * 600, 5, "bytes not followed")


def measure_lives(recorder, label, truth, enough):
    """Bytes that live of a line, once the recording says what is enough."""
    def lives():
        return measure.LargeBlocks(recorder.file).lives(truth["file"], truth["lines"][label])[1]
    tool.wait_until(lambda: "the rest is estimated" in str(measure.notes(recorder.file)) and enough(lives()), f"an estimate of {label}")
    return lives()


@test
def a_hot_program_is_followed_now_and_then():
    """Windows where following costs more than the budget; what is freed in between leaves its line"""
    host.need_bpf()
    with measure.recording(Process, "hot_malloc.py", "heap") as (target, recorder):
        target.ask("keep 500")
        spun = target.ask("spin 4")
        kept = measure_lives(recorder, "keep", spun, lambda bytes_: bytes_ > 0)
        # Between windows; malloc maps it by itself from 128 KiB on. A list has room for an eighth more than is in it.
        grown = measure_lives(recorder, "grow_last", target.ask("grow 40000"), lambda bytes_: bytes_ > 0)
        truth = target.ask("drop")
        recorder.stop().succeeded()
        told = tool.report(recorder.file)
        seen = measure.LargeBlocks(recorder.file)
        counters = dict(measure.rows(recorder.file, "SELECT name, value FROM counter"))
    made = seen.at(truth["file"], truth["lines"]["spin"])
    ok(0 < counters["large.followed_ns"] < counters["large.all_ns"], "not paused:", counters)
    has(str(told["notes"]), "large blocks were followed", "notes")
    near(kept, 500 * 2000, 10, "bytes of the line that keeps, between windows")
    near(grown, 80000 * 8 * 17 / 16, 8, "bytes of the line that made a list larger last")
    left = seen.lives(truth["file"], truth["lines"]["keep"])
    ok(left[1] <= 0.02 * kept, "dropped unseen", left)
    ok(made[0][0] < spun["made"], "seen, and made", made, spun)
    ok(seen.lives(truth["file"], truth["lines"]["spin"])[1] <= 0.1 * kept, "dropped at once", made)
    is_(told["not_followed_bytes"], 0, "bytes of nobody")
    note(f"followed {100 * counters['large.followed_ns'] / counters['large.all_ns']:.1f} % of the time, "
         f"{made[0][0]:,} of {spun['made']:,} blocks seen")


def mapped_alone(pid, size):
    """How many of malloc's blocks that have a mapping each, of which two may lie in one."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        ranges = [[int(at, 16) for at in line.split()[0].split("-")] for line in maps]
    return sum((end - start) // size for start, end in ranges)


@test
def a_program_that_waits_within_a_window():
    """What a window sees is told once, also while it is open"""
    host.need_bpf()
    size = 40 << 20
    with measure.recording(Process, "hot_malloc.py", "heap") as (target, recorder):
        site = site_of_malloc(target)
        target.send(f"climb 1000 {size}")
        tool.wait_until(lambda: "the rest is estimated" in str(measure.notes(recorder.file)), "windows")

        def cpu_ns():
            with open(f"/proc/{target.pid}/schedstat", encoding="ascii") as stat:
                return int(stat.read().split()[0])

        def told():
            lines = measure.rows(recorder.file, "SELECT sum(alloc_bytes - free_bytes) FROM total WHERE kind = 'heap_large'")
            return lines[0][0]

        def is_right():
            return abs(told() - mapped_alone(target.pid, size) * size) < size / 2
        for _ in range(3):
            tool.wait_until(lambda: opcode_at(target.pid, *site) == BREAKPOINT, "a window", limit_s=60, every_s=0.002)
            # Each round of the program is a trap a hundred times: it is amid the window by then.
            begin_ns = cpu_ns()
            tool.wait_until(lambda: cpu_ns() - begin_ns > 30_000_000, "its first half", every_s=0.002)
            os.kill(target.pid, signal.SIGUSR1)
            tool.wait_until(is_right, "what lives is told", limit_s=30)
            os.kill(target.pid, signal.SIGUSR2)
            tool.wait_until(lambda: opcode_at(target.pid, *site) != BREAKPOINT, "the window's end", every_s=0.002)
        recorder.stop().succeeded()


@test
def a_leak_under_the_default_budget():
    """Buffers of 4 KiB that two lines keep, among many more that are dropped: each line within its stated error"""
    host.need_bpf()
    with measure.recording(Process, "hot_malloc.py", "heap") as (target, recorder):
        truth = target.ask("leak 8")
        recorder.stop().succeeded()
        told = tool.report(recorder.file, "line", "--signal", "heap", "--top", "1000")
    rows = {row["frame"]["line"]: row for row in told["rows"] if row["frame"] and row["frame"]["file"] == truth["file"]}
    note(str(told["notes"]))
    has(str(told["notes"]), "the rest is estimated", "notes")
    for label, count in (("leak", truth["leaked"]), ("other_leak", truth["other_leaked"])):
        row = rows[truth["lines"][label]]
        size = count * 4097
        note(f"{label}: {row['bytes']:,} of {size:,} bytes, error {row['error_bytes']}")
        # None: it says itself that it does not know. Four half-widths of a 95 % interval are beyond chance; besides, the objects.
        if row["error_bytes"] is not None:
            ok(abs(row["bytes"] - size) <= 4 * row["error_bytes"] + 0.1 * size, f"{label}: {row}")
    ok(truth["lines"]["temporary"] not in rows or rows[truth["lines"]["temporary"]]["bytes"] < 0.1 * truth["leaked"] * 4096,
       "temporaries", rows.get(truth["lines"]["temporary"]))


main()
