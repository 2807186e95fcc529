# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""How many events and how many new stacks a second, and whether the totals stay right when stacks are dropped.

Events are counted in the kernel, and only a stack not seen before goes through the ring buffer. So two cases: one line
that allocates and frees as fast as it can, and a program whose stack is another at each allocation.
"""
import contextlib

from . import measure, table

EXACT = "SELECT sum(alloc_cnt), sum(alloc_bytes) FROM delta JOIN cell ON cell.id = delta.cell WHERE cell.kind = 3"
AT_NODE = EXACT + (" AND cell.node IN (SELECT node.id FROM node JOIN frame ON frame.id = node.frame"
                   " WHERE frame.file = ? AND frame.function = ?)")
CELLS = "SELECT count(*) FROM cell WHERE kind = 3"


def run(script, order, processes, python):
    """One recording of as many processes, by turns on the CPUs. Events, drops, and both truths."""
    cpus = measure.bench_cpus()
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(measure.Workload(script, python=python.path, cpu=cpus[i % 2])).ready()
                 for i in range(processes)]
        stack.enter_context(measure.Group(*(load.pid for load in loads)))
        record = stack.enter_context(measure.Record("--signals", "exact", "--cgroup", measure.Group.PATH))
        for load in loads:
            load.send(order)
        truths = [load.answer() for load in loads]
        cost = record.stop()
        all_cnt, all_bytes = record.rows(EXACT)[0]
        line_cnt, line_bytes = record.rows(AT_NODE, truths[0]["file"], truths[0]["function"])[0]
        cost["cells"] = record.rows(CELLS)[0][0]
    cost.update({f"truth_{key}": sum(truth[key] for truth in truths) for key in ("count", "bytes", "cpu_s")})
    cost.update(wall_s=max(truth["wall_s"] for truth in truths), recorded_cnt=all_cnt or 0, recorded_bytes=all_bytes or 0,
                line_cnt=line_cnt or 0, line_bytes=line_bytes or 0, kernel_bytes=cost["counters"].get("exact_bytes", 0))
    return cost


def row(name, cost):
    truth = cost["truth_bytes"]
    return [name, table.number(cost["events"] / cost["wall_s"]), table.number(cost["events"] / cost["truth_cpu_s"]),
            table.number(cost["truth_count"] / cost["wall_s"]), table.dropped(cost["dropped"]),
            *(f"{cost[key] / truth:.4f}" for key in ("kernel_bytes", "recorded_bytes", "line_bytes")),
            table.number(100 * cost["tracer_cpu_s"] / cost["record_s"], 1),
            table.mib(cost["peak_bytes"]), table.mib(cost["map_bytes"])]


def measure_all(quick):
    python = measure.not_inlined()
    if not python:
        return {"skipped": "no pyenv Python 3.11 or 3.13: in the others the allocator is inlined"}
    seconds = 2 if quick else 10
    cases = {
        "one line, 1 process": ("allocate.py", f"go {seconds}", 1),
        "one line, 2 processes": ("allocate.py", f"go {seconds}", 2),
        "new stacks, 5,000/s": ("many_stacks.py", f"go {seconds} 5000", 1),
        "new stacks, 50,000/s": ("many_stacks.py", f"go {seconds} 50000", 1),
        "new stacks, no pace, 2 processes": ("many_stacks.py", f"go {seconds} 0", 2),
    }
    results = {name: run(*case, python) for name, case in cases.items()}
    table.show(f"Ring buffer ({python}, signal exact, {seconds} s)",
               ["case", "events/s", "events/CPU s", "allocations/s", "dropped", "kernel/truth", "recorded/truth",
                "on its line/truth", "tracer CPU %", "peak MiB", "maps MiB"],
               [row(name, cost) for name, cost in results.items()],
               ["Bar: 200,000 events/s for 10 s without a drop, or every drop counted and the totals right. An allocation "
                "and its free are two events; each allocation of the lower rows has a stack of its own, which goes through "
                "the ring. events/CPU s: by the targets' CPU time, for when the machine has other work. Bytes over the "
                "targets' own truth: kernel = the programs' own sum, recorded = all rows of the recording, on its line = "
                "rows that name the function that allocates; what the loop around it allocates comes on top."])
    return results
