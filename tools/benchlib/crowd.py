# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The tracer beside a crowd: a thousand idle Python processes in 200 cgroups, and ten that work."""
import contextlib
import os
import time

from lib import host

from . import measure, table

IDLE, GROUPS = 1000, 200
# Ten, as far as two CPUs let them.
BUSY = ["kept.py", "json_trips.py", "deep_copy.py", "cache.py", "touch.py"] * 2


class Groups:
    """Cgroups below one that is recorded, and processes spread over them. A context manager that removes them."""

    def __init__(self, count):
        self._top = os.path.join(host.memory_cgroup_dir("/"), measure.Group.PATH.lstrip("/"))
        self._folders = [os.path.join(self._top, f"group-{number:03}") for number in range(count)]
        for folder in self._folders:
            os.makedirs(folder, exist_ok=True)

    def put(self, number, pid):
        with open(os.path.join(self._folders[number % len(self._folders)], "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(pid))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for folder in [*self._folders, self._top]:
            with contextlib.suppress(FileNotFoundError):
                for _ in range(100):  # what was killed takes a moment to leave
                    with contextlib.suppress(OSError):
                        os.rmdir(folder)
                        break
                    time.sleep(0.05)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def measure_all(quick):
    python = measure.not_inlined() or measure.pythons(True)[0]
    seconds = 10 if quick else 60
    with contextlib.ExitStack() as stack:
        groups = stack.enter_context(Groups(GROUPS))
        crowd = stack.enter_context(measure.Workload("crowd.py", python=python.path)).ready()
        crowd.do(f"idle {IDLE}")
        for number, pid in enumerate([crowd.pid, *children_of(crowd.pid)]):
            groups.put(number, pid)
        loads = [stack.enter_context(measure.Workload(script, python=python.path)).ready() for script in BUSY]
        for number, load in enumerate(loads):
            groups.put(number, load.pid)
        record = stack.enter_context(measure.Record("--cgroup", measure.Group.PATH))
        for load in loads:
            load.send(f"loop {seconds} 0.05")
        for load in loads:
            load.answer()
        cost = record.stop()
        processes = record.rows("SELECT count(*) FROM process")[0][0]
    both = cost["peak_bytes"] + cost["map_bytes"] - cost["ring_rss_bytes"]
    counters = cost["counters"]
    table.show(f"The tracer beside {IDLE:,} idle and {len(BUSY)} busy processes in {GROUPS} cgroups ({python}, {seconds} s)",
               ["processes", "tracer CPU %", "tracer peak MiB", "BPF maps MiB", "together MiB", "recording MiB/min",
                "cost to the busy %"],
               [[processes, table.number(100 * cost["tracer_cpu_s"] / cost["record_s"], 1), table.mib(cost["peak_bytes"]),
                 table.mib(cost["map_bytes"]), table.mib(both), table.mib(cost["grown_bytes"] * 60 / cost["record_s"], 2),
                 table.number(100 * counters["cost.all_ns"] / counters["cost.target_cpu_ns"], 2)]],
               ["Bars (issue 4): tracer <= 2 % of a core, <= 96 MiB; cost <= 1 %. CPU in percent of one core."])
    return cost
