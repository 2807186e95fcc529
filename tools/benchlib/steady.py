# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the tracer itself takes while a service works: CPU, memory, events, drops, and bytes of recording a minute; and what
each of its programs costs the target by hit.
"""
import os

from . import measure, slowdown, table

# Signals, and the size of one turn: exact makes a turn many times longer.
MODES = {"default": ("resident,gc", 0.1), "exact": ("exact", 0.002)}
DEPTHS = [7, 15, 35, 65]


def once(script, args, signals, order, python):
    with measure.Workload(script, *args, python=python.path, cpu=measure.bench_cpus()[0]) as load:
        load.ready()
        with measure.Record("--signals", signals, "--pid", load.pid) as record:
            took = load.do(order)
            cost = record.stop()
    cost["target"] = took
    return cost


def cost_row(name, cost):
    seconds = cost["record_s"]
    ns = sum(program["run_ns"] for program in cost["programs"].values())
    return [*name, table.number(cost["events"] / seconds), table.dropped(cost["dropped"]),
            table.number(100 * cost["tracer_cpu_s"] / seconds, 1), table.number(100 * ns / 1e9 / seconds, 2),
            table.mib(cost["peak_bytes"]), table.mib(cost["map_bytes"]), table.mib(cost["grown_bytes"] * 60 / seconds, 2)]


def hit_table(results):
    sums = {}
    for cost in results.values():
        for name, program in cost["programs"].items():
            entry = sums.setdefault(name, {"run_cnt": 0, "run_ns": 0, "missed": 0})
            for key in entry:
                entry[key] += program[key]
    rows = [[name, table.number(one["run_cnt"]), table.number(one["run_ns"] / one["run_cnt"]), table.number(one["missed"])]
            for name, one in sorted(sums.items(), key=lambda item: -item[1]["run_ns"])]
    table.show("BPF programs, over all runs above", ["program", "runs", "ns/run", "missed"], rows,
               ["By the kernel's run-time statistics; the trap that leads to a uprobe's program comes on top. missed: not run "
                "because another program was running on that CPU."])


def measure_all(quick):
    with measure.run_time_statistics():
        return measure_workloads(quick)


def measure_workloads(quick):
    seconds = 2 if quick else 5
    python = measure.not_inlined() or measure.pythons(True)[0]
    results, rows = {}, []
    for workload, script in slowdown.WORKLOADS.items():
        if quick and script not in ("kept.py", "json_trips.py"):
            continue
        for mode, (signals, scale) in MODES.items():
            key = f"{os.path.splitext(script)[0]}, {mode}"
            results[key] = once(script, [], signals, f"loop {seconds} {scale}", python)
            rows.append(cost_row([workload, mode], results[key]))
    table.show(f"The tracer itself ({python}, {seconds} s each, workload in a loop)",
               ["workload", "mode", "events/s", "dropped", "tracer CPU %", "programs CPU %", "peak MiB", "maps MiB",
                "recording MiB/min"], rows,
               ["Bars: tracer < 64 MiB; recording <= 2 MiB a minute at default. CPU in percent of one core. Programs: all "
                "processes that hit them. Recording: what the file grew by, its empty tables not counted."])
    hit_table(results)
    return results


def measure_depth(_quick):
    """What a program costs by the depth of the Python stack."""
    python = measure.not_inlined() or measure.pythons(True)[0]
    with measure.run_time_statistics():
        results = {depth: once("depth.py", [depth], "exact", "go 0.5", python)["programs"] for depth in DEPTHS}
    names = [name for name, one in results[DEPTHS[0]].items() if one["run_cnt"] >= 50_000]
    rows = [[depth, *(table.number(one[name]["run_ns"] / one[name]["run_cnt"]) for name in names)]
            for depth, one in results.items()]
    first, last = (results[depth].get("exact_malloc", results[depth].get("exact_entry")) for depth in (DEPTHS[0], DEPTHS[-1]))
    slope = (last["run_ns"] / last["run_cnt"] - first["run_ns"] / first["run_cnt"]) / (DEPTHS[-1] - DEPTHS[0])
    table.show(f"BPF programs by depth of the stack ({python}), ns a run", ["frames", *names], rows,
               [f"the program at an allocation walks the stack: {slope:.0f} ns a frame."])
    return results
