# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""How long it is stopped: the longest times in which a loop does not come round, less those in which it waited for a processor.

The loop allocates, and brings a page in, each time: what blocks either blocks it. Waiting for a processor is what the kernel
says in the second number of /proc/thread-self/schedstat, asked only around a gap. A gap in which the thread did not give its
processor up is the kernel's own work in it, or a virtual machine's that had no processor: it has those without a tracer, too.

    run SECONDS    answered with {"gaps_us": the ten longest, "blocked_us": the ten longest of those in which it gave its
                   processor up, "over_ms": how many of these are longer than 1 ms, "turns"}
"""
import json
import mmap
import os
import resource
import sys
import time

LOOK_NS = 200_000  # a gap: below, nobody asks
PAGES = 4096


def waited_ns(schedstat):
    return int(os.pread(schedstat, 100, 0).split()[1])


def given_up():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def longest(gaps):
    return [round(gap / 1000) for gap in sorted(gaps, reverse=True)[:10]]


def run(seconds):
    schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    region = mmap.mmap(-1, PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    clock, gaps, blocked, turns, kept = time.monotonic_ns, [], [], 0, []
    waited, switches, last = waited_ns(schedstat), given_up(), clock()
    end = last + int(seconds * 1e9)
    while last < end:
        turns += 1
        region[turns % PAGES * mmap.PAGESIZE] = 1
        kept = [{"turn": turns}, object(), bytes(600)]
        if turns % PAGES == 0:
            region.madvise(mmap.MADV_DONTNEED)
            last = clock()
        now = clock()
        if now - last > LOOK_NS:
            before, waited = (waited, switches), waited_ns(schedstat)
            switches = given_up()
            gaps.append(now - last - (waited - before[0]))
            if switches > before[1]:
                blocked.append(gaps[-1])
            now = clock()
        last = now
    os.close(schedstat)
    del kept
    return {"gaps_us": longest(gaps), "blocked_us": longest(blocked), "over_ms": sum(gap > 1_000_000 for gap in blocked),
            "turns": turns}


def main():
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(float(line.split()[1]))), flush=True)


main()
