# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What following blocks over 512 bytes costs: a call that passes through, a block, and whole programs."""
import os
import subprocess
import tempfile

from . import measure, slowdown, table

DEPTHS = (1, 5, 20)
SMALL, LARGE = 100, 2000
NO_BUDGET = slowdown.Mode("heap, no budget", signals="heap", recorder_options=["--budget", "none"])
BUDGET = slowdown.Mode("heap, budget 1 %", signals="heap")


def library(folder):
    path = os.path.join(folder, "malloc_pairs.so")
    source = os.path.join(measure.PROGRAMS, "malloc_pairs.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", path, source], check=True)
    return path


def measure_pairs(python, count):
    """[(what, plain ns, followed ns)], each of a malloc and its free."""
    with tempfile.TemporaryDirectory(prefix="pymemscope-bench-") as folder, \
            measure.Workload("malloc_pairs.py", library(folder), python=python.path, cpu=measure.bench_cpus()[0]) as load:
        load.ready()

        def ask(size, depth, times):
            return load.do(f"pairs {size} {times} {depth}")["ns"]
        plain = {size: ask(size, 1, 10 * count) for size in (SMALL, LARGE)}
        with measure.Record("--signals", "heap", "--budget", "none", "--pid", load.pid) as record:
            rows = [(f"{SMALL} bytes, passed over", plain[SMALL], ask(SMALL, 1, count))]
            rows += [(f"{LARGE} bytes, {depth} frames", plain[LARGE], ask(LARGE, depth, count)) for depth in DEPTHS]
            programs = record.stop()["programs"]
    return rows, programs


def show_pairs(python, rows):
    table.show(f"malloc and free, CPU time of a pair, ns ({python})", ["block", "plain", "followed"],
               [[what, table.number(plain), table.number(followed)] for what, plain, followed in rows])


def counters_of(runs):
    """Sums over the recorded runs."""
    names = ("large.hits", "large.blocks", "large.followed_ns", "large.all_ns")
    sums = {name: sum(run["mode"]["record"]["counters"].get(name, 0) for run in runs) for name in names}
    sums["cpu_s"] = sum(run["plain"]["cpu_s"] for run in runs)
    return sums


def measure_programs(quick, python):
    results, rows = {}, []
    for workload, script in slowdown.WORKLOADS.items():
        if quick and script not in slowdown.QUICK:
            continue
        results[workload] = {}
        cells = [workload]
        for mode in (NO_BUDGET, BUDGET):
            runs = slowdown.pairs(script, mode, python, 1 if quick else 3)
            one = results[workload][mode.name] = slowdown.summary(runs)
            sums = counters_of(runs)
            share = sums["large.followed_ns"] / sums["large.all_ns"] if sums["large.all_ns"] else 0
            if mode is NO_BUDGET:
                cells += [table.number(sums["large.hits"] / sums["cpu_s"]), table.number(sums["large.blocks"] / sums["cpu_s"])]
            cells += [table.ratio(one["wall_ratio"]), table.ratio(one["cpu_ratio"])]
            if mode is BUDGET:
                cells.append(f"{100 * share:.0f} %")
        rows.append(cells)
    table.show(f"Slowdown while large blocks are followed ({python})",
               ["workload", "hits/s", "blocks/s", "no budget: wall", "CPU", "budget 1 %: wall", "CPU", "followed"], rows,
               ["hits: calls of malloc and its kin, by CPU time of the plain run; blocks: those for more than 512 bytes, or that "
                "resize such a block. followed: share of the time."])
    return results


def measure_all(quick):
    python = measure.pythons(True)[0]
    pairs, programs = measure_pairs(python, 10_000 if quick else 50_000)
    show_pairs(python, pairs)
    return {"pairs": pairs, "programs": programs, "workloads": measure_programs(quick, python)}
