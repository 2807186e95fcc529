# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Whether the resident signal's lines sum up to what their cgroup has grown by, with and without a budget.

The programs of tests/targets/growth_programs.py begin in a cgroup of their own, so that all they have is charged there. What
the cgroup has grown by is what its memory controller tells of pages that are mapped, anonymous ones and those of files. Beside
that stand page cache that nobody maps and the kernel's own memory (page tables, stacks, slab): both are shown, and no line's.

The other way round, a resident set has pages that its cgroup does not count: those that another cgroup has read first (the C
library), and, of files and shared memory that several processes map, all but one of each. The second witness, the processes'
own page tables, tells how many these are, and what the rest of their resident sets comes to.
"""
import array
import contextlib
import os
import re
import statistics
import time

from lib import host, target, tool

from . import measure, table

# What each grows by, and what the lines of it should come to, are in the programs' own words.
PROGRAMS = ("objects", "buffers", "native", "huge", "fork", "parent_writes", "workers", "file", "shared", "given_back", "threads",
            "execs", "not_python")
STEPS = 150
BUDGETS = ("none", "1%")
MIB = 1 << 20
PAGE = 4096
# The kernel brings the sums of a memory cgroup up to date every 2 s (FLUSH_TIME, mm/memcontrol.c).
FLUSH_S = 2.5
PRESENT, OF_FILE, FRAME = 1 << 63, 1 << 61, (1 << 55) - 1  # Documentation/admin-guide/mm/pagemap.rst
BEFORE, GIVEN_BACK = "[there before tracing began]", "[given back]"
SUMS = """
    SELECT process.tgid, process.id, total.kind,
           CASE frame.kind WHEN 0 THEN 'line' WHEN 1 THEN 'native' ELSE frame.function END, sum(alloc_bytes - free_bytes)
    FROM total JOIN process ON process.id = total.process JOIN leaf ON leaf.node = total.node JOIN frame ON frame.id = leaf.frame
    WHERE total.kind LIKE 'resident%' GROUP BY 1, 2, 3, 4"""


# ---- the cgroup ----

def _read(*path):
    with open(os.path.join(*path), encoding="ascii") as file:
        return file.read()


def removed(folder):
    """Processes that have ended take a moment to leave."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)
        return True
    return False


@contextlib.contextmanager
def cgroup():
    """(its path, its folder); it goes at the end."""
    path = f"{measure.Group.PATH}-{os.getpid()}"
    folder = host.memory_cgroup_dir(path)
    os.mkdir(folder)
    try:
        yield path, folder
    finally:
        tool.wait_until(lambda: removed(folder), f"{folder} is empty and goes")


def pids_of(folder):
    return [int(pid) for pid in _read(folder, "cgroup.procs").split()]


def charged(folder):
    """What the memory controller counts, in bytes: anonymous pages (huge ones, too), mapped ones of files and shared memory, page
    cache that is not mapped, the kernel's own."""
    stat = dict(line.split() for line in _read(folder, "memory.stat").splitlines())

    def first(*names):
        return next(int(stat[name]) for name in names if name in stat)
    v1 = "rss" in stat
    mapped = first("mapped_file", "file_mapped")
    # v1: rss has huge pages in it, and cache has shared memory (memcg1_stats, mm/memcontrol-v1.c).
    return {"anon": first("rss", "anon"), "mapped": mapped, "cache": first("cache", "file") - mapped,
            "kernel": int(_read(folder, "memory.kmem.usage_in_bytes")) if v1 else first("kernel", "slab"),
            "huge": first("rss_huge", "anon_thp")}


# ---- the processes' page tables ----

def file_frames(pid):
    """The page frames of files and shared memory that a process has mapped, one for each place."""
    frames = []
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for begin, end in re.findall(r"^(\w+)-(\w+) ", _read(f"/proc/{pid}/maps"), re.M):
            pages = array.array("Q", os.pread(pagemap.fileno(), (int(end, 16) - int(begin, 16)) // PAGE * 8,
                                              int(begin, 16) // PAGE * 8) if int(begin, 16) < 1 << 63 else b"")
            frames += [page & FRAME for page in pages if page & PRESENT and page & OF_FILE]
    return frames


def mapped(folder, pids):
    """Of the resident sets of all processes together, in bytes: anonymous pages once each, pages of files that the cgroup is charged
    with once each, those that stand there again, and those that another cgroup is charged with."""
    frames = [frame for pid in pids for frame in file_frames(pid)]
    group = os.stat(folder).st_ino
    with open("/proc/kpagecgroup", "rb", buffering=0) as groups:
        ours = {frame for frame in set(frames) if int.from_bytes(os.pread(groups.fileno(), 8, 8 * frame), "little") == group}
    of_ours = sum(frame in ours for frame in frames)
    anon = sum(int(size) for pid in pids for size in re.findall(r"^Pss_Anon: +(\d+) kB", _read(f"/proc/{pid}/smaps_rollup"), re.M))
    rss = sum(int(size) for pid in pids for size in re.findall(r"^Rss: +(\d+) kB", _read(f"/proc/{pid}/smaps_rollup"), re.M))
    return {"pss_anon": anon << 10, "own": len(ours) * PAGE, "again": (of_ours - len(ours)) * PAGE,
            "elsewhere": (len(frames) - of_ours) * PAGE, "rss": rss << 10}


# ---- what is told ----

def told(record, tgid):
    """
    {"all", "lines", ...}: what all rows gained, less what was given back; of that what Python lines, native functions and rows
    without a line have.

    What a process that was there at first had before is no growth; of one that came since, it is. What a forked child gives
    back and none of its lines is relieved of is what it inherited, its parent's still: no loss of the cgroup's.
    """
    rows = record.rows(SUMS)
    executed = {process for pid, process, _, row, _ in rows if row == BEFORE and pid != tgid}
    sums = dict.fromkeys(("all", "all_of_files", "lines", "lines_of_files", "native", "unknown", "before", "given_back", "copied"), 0)
    for pid, process, kind, row, gained in rows:
        if row == BEFORE and pid == tgid:
            continue
        if row == GIVEN_BACK and kind == "resident_anon" and pid != tgid and process not in executed:
            sums["copied"] -= min(gained, 0)
            gained = max(gained, 0)
        name = {"line": "lines", "native": "native", BEFORE: "before", GIVEN_BACK: "given_back"}.get(row, "unknown")
        sums["all"] += gained
        sums[name] += gained
        if kind != "resident_anon":
            sums["all_of_files"] += gained
            sums["lines_of_files"] += gained * (name == "lines")
    return sums


def difference(after, before):
    return {key: after[key] - before[key] for key in after}


def run(copy, program, budget):
    path, environment = copy
    with cgroup() as (group, folder):
        begin = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', os.path.join(folder, "cgroup.procs"), path]
        with target.Process("growth_programs.py", python=begin, environment=environment) as process:
            process.ready()
            with measure.Record("--cgroup", group, "--signals", "resident", "--budget", budget) as record:
                time.sleep(FLUSH_S)
                before = charged(folder), mapped(folder, pids_of(folder))
                inherited = process.ask(f"{program} {STEPS}", measure.LIMIT_S)["inherited"]
                time.sleep(FLUSH_S)
                after = charged(folder), mapped(folder, pids_of(folder))
                record.stop()
                sums = told(record, process.pid)
                cost = tool.report(record.file, "line")["cost"]
    return summary(sums, difference(after[0], before[0]), difference(after[1], before[1]), inherited, cost)


def summary(sums, grown, pages, inherited, cost):
    """inherited: of the pages that the cgroup does not count, those that forked children had from the first: no row has them."""
    whole = grown["anon"] + grown["mapped"]
    not_counted = pages["again"] + pages["elsewhere"] - inherited
    of_lines = not_counted * sums["lines_of_files"] / sums["all_of_files"] if sums["all_of_files"] else 0
    return {"told": sums, "grown": grown, "pages": pages, "inherited": inherited, "cost": cost, "whole": whole,
            "not_counted": not_counted, "all_error": (sums["all"] - not_counted) / whole - 1,
            "lines_error": (sums["lines"] - of_lines) / whole - 1,
            "pages_error": (pages["pss_anon"] + pages["own"]) / whole - 1}


def middle(runs, path):
    def value(one):
        for key in path.split():
            one = one[key]
        return one
    return statistics.median(map(value, runs))


def percent(value):
    return f"{100 * value:+.2f}"


def show(python, results, count):
    def mibs(runs, *names):
        return [table.mib(middle(runs, name)) for name in names]
    table.show(f"Resident by line against the cgroup's growth ({python}, medians of {count} runs)",
               ["program", "budget", "cgroup: anonymous", "mapped", "page tables, %", "all rows, %", "lines, %", "faults seen, %"],
               [[program, budget, *mibs(runs, "grown anon", "grown mapped"), percent(middle(runs, "pages_error")),
                 percent(middle(runs, "all_error")), percent(middle(runs, "lines_error")),
                 f"{100 * middle(runs, 'cost faults_seen') / middle(runs, 'cost faults'):.0f}"]
                for (program, budget), runs in results.items()],
               ["MiB that the cgroup has grown by while the program ran; in percent the difference to that of what the processes' page "
                "tables tell, of the sum of all rows, and of the sum of Python lines.", "Bar: 2 % on six programs, huge pages and fork "
                "among them."])
    table.show("What of it is where, MiB",
               ["program", "budget", "lines", "native", "unknown", "before", "no line's", "copied", "mapped again", "of others",
                "beside: cache", "kernel"],
               [[program, budget, *mibs(runs, "told lines", "told native", "told unknown", "told before", "told given_back",
                                        "told copied", "pages again", "pages elsewhere", "grown cache", "grown kernel")]
                for (program, budget), runs in results.items()],
               ["before: of processes that came since, until the first of their faults was looked at. no line's: what came while nobody "
                "looked, less what was given back. copied: what forked children wrote of what they had inherited. mapped again, of "
                "others: pages of files and shared memory that another process of the cgroup has mapped, too, or that another cgroup is "
                "charged with: they are taken from the rows before they are compared. beside: page cache that nobody maps, and the "
                "kernel's own memory: no row's."])


def measure_all(quick):
    python = measure.pythons(True)[0]
    count = 1 if quick else 3
    results = {(program, budget): [] for program in PROGRAMS for budget in BUDGETS}
    with host.private_copy(python) as copy:
        for _ in range(count):
            for (program, budget), runs in results.items():
                runs.append(run(copy, program, budget))
    show(python, results, count)
    return {f"{program} {budget}": runs for (program, budget), runs in results.items()}
