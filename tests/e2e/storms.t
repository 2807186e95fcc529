#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Programs that do all they can as fast as they can: the budget holds by what is measured, the tracer's memory stays bounded,
it writes each second, says what it lost, and leaves nothing behind."""
import contextlib
import os
import re
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, measure, tool  # noqa: E402
from lib.tap import has, is_, main, note, ok, once, test, cleanup  # noqa: E402
from lib.target import Process  # noqa: E402

BUDGET = 0.01
ADVANCE_NS = 70_000_000  # 58 ms that a program may spend at first (capture/advance.h), and what its last window overdraws
FORKS_S = 4
STORMS = [f"forks {FORKS_S}", "execs 2", "threads 1000", "stacks 3", "faults 2"]
LEAST_TOLD = 0.999
GAP_S = 3  # without a write, at most


class Writes(threading.Thread):
    """When the recording was written to, as who reads it meanwhile sees it."""

    def __init__(self, file):
        super().__init__(daemon=True)
        self.file, self.ended = file, threading.Event()
        self.seen = [(time.monotonic(), 0)]
        self.start()

    def run(self):
        while not self.ended.wait(0.1):
            cnt = measure.rows(self.file, "SELECT count(*) FROM flush")[0][0]
            if cnt != self.seen[-1][1]:
                self.seen.append((time.monotonic(), cnt))

    def longest_s(self, since):
        """Between two writes, the last one of before included."""
        times = [when for when, _ in self.seen]
        first = max([when for when in times if when <= since], default=times[0])
        times = [first, *(when for when in times if when > since), time.monotonic()]
        return max(b - a for a, b in zip(times, times[1:]))


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])


@once
def storm():
    """All of them, one after the other, in one recording."""
    host.need_bpf()
    file = os.path.join(cleanup.enter_context(tempfile.TemporaryDirectory()), "out.pms")
    target = cleanup.enter_context(Process("storms.py")).ready()
    with tool.record("--pid", target.pid, file=file) as recorder:
        writes = Writes(file)
        facts = {"file": file, "gaps": {}, "counts": {}, "held": recorder.held() | recorder.held("prog")}
        for order in STORMS:
            began = time.monotonic()
            truth = target.ask(order, limit_s=60)
            facts["gaps"][order] = writes.longest_s(began)
            facts["counts"][order.split()[0]] = truth["count"]
            note(f"{order}: {truth['count']:,} in {truth['took_s']:.1f} s, longest without a write {facts['gaps'][order]:.1f} s, "
                 f"peak {peak_kib(recorder.process.pid) / 1024:.1f} MiB")
        writes.ended.set()
        writes.join()
        facts["peak_kib"] = peak_kib(recorder.process.pid)
        facts["held"] |= recorder.held() | recorder.held("prog")
        facts["result"] = recorder.stop().succeeded()
    facts["counters"] = dict(measure.rows(file, "SELECT name, value FROM counter WHERE value > 0"))
    return facts


@test
def it_writes_each_second():
    facts = storm()
    for order, gap_s in facts["gaps"].items():
        ok(gap_s < GAP_S, f"{order}: {gap_s:.1f} s without a write")


@test
def its_memory_is_bounded():
    facts = storm()
    ok(facts["peak_kib"] < 80 << 10, f"{facts['peak_kib']} KiB", facts["result"])


@test
def the_budget_holds():
    facts = storm()
    # The program has an advance of its own; its workers and the one that execs share another, together. As much again is what each new
    # kind of storm costs until the governor's next step.
    for programs, which, advances in ("that execs", "", 2), ("and its workers", "NOT", 3.5):
        cost_ns, cpu_ns = measure.rows(facts["file"], "SELECT sum(cost_ns), sum(cpu_ns) FROM process "
                                                      f"WHERE command {which} LIKE '% -S %'")[0]
        note(f"the program {programs}: {cost_ns / 1e6:.0f} ms of {cpu_ns / 1e9:.1f} s: {100 * cost_ns / cpu_ns:.2f} %")
        ok(cost_ns <= BUDGET * cpu_ns + advances * ADVANCE_NS, f"{programs}: {cost_ns:,} ns of {cpu_ns:,}", facts["result"])
    is_(measure.rows(facts["file"], "SELECT tgid, cost_ns, cpu_ns FROM process WHERE cost_ns > cpu_ns / 2 AND cpu_ns > 0"), [],
        "processes that tracing took more than half of")


@test
def what_was_lost_is_said():
    facts = storm()
    counters, counts = facts["counters"], facts["counts"]
    note({name: value for name, value in counters.items() if name.startswith(("dropped.", "merged."))})
    items, told = measure.rows(facts["file"], "SELECT count(*), count(*) + sum(earlier) FROM process")[0]
    missed = sum(value for name, value in counters.items() if name.startswith("dropped."))
    # On a machine that forks 1,300 times a second one of 5,500 was neither told nor missed in one run of three; which is not known.
    ok(told + missed >= LEAST_TOLD * (counts["forks"] + counts["execs"]), f"{told} processes and {missed} missed of {counts}", counters)
    # Of each of two kinds 64 are told apart; and those that end between two settlings, 0.2 s, or later where the tracer has much to do.
    most = 2 * 64 + 0.7 * counts["forks"] / FORKS_S
    note(f"{items} items of {most:.0f}")
    ok(items < most, f"{items} items for processes that were alike, {counts['forks']} forks")
    if counters.get("merged.processes"):
        has(facts["result"].err, "processes that have ended are told together", "stderr")


@test
def nothing_is_left():
    tool.gone(storm()["held"])


main()
