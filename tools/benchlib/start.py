# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""From the exec of `pymemscope record` to the first sample, beside few and many Python processes; memory of the tracer.

The first sample is a run of the collector in a program that collects every millisecond: its record carries the kernel's
time. "recording" is the line that record prints once every process is attached.
"""
import time

from . import measure, table

CROWD_BYTES = 10 << 20  # what one idle Python process may take
STOP_LIMIT_S = 150
FIRST = "SELECT min(time_ns) + (SELECT value FROM meta WHERE key = 'begin_ns') FROM gc"


def available_bytes():
    with open("/proc/meminfo", encoding="utf-8") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))


def once():
    """One recording of the crowd, until its first second is written."""
    with measure.Record("--cgroup", measure.Group.PATH) as record:
        time.sleep(1.2)
        cost = record.stop()
        first_ns = record.rows(FIRST)[0][0]
        cost["processes"] = record.rows("SELECT count(*) FROM process")[0][0]
    cost["first_sample_s"] = first_ns and (first_ns - record.exec_ns) / 1e9
    return cost


def crowd_of(count, runs, python):
    if count * CROWD_BYTES > available_bytes():
        return {"skipped": "not enough memory"}
    with measure.Workload("crowd.py", python=python.path) as crowd:
        crowd.ready()
        with measure.Group(crowd.pid) as group:
            crowd.do(f"go {count}")
            done = [once() for _ in range(runs)]
            crowd.close()
            crowd.process.wait(60)
            group.empty()
    return done


def row(name, runs):
    def of(key):
        return measure.median([run[key] for run in runs if run[key] is not None])
    peak, maps, ring = of("peak_bytes"), of("map_bytes"), of("ring_rss_bytes")
    return [name, table.number(of("first_sample_s"), 2), table.number(of("start_s"), 2), table.number(of("stop_s"), 2),
            table.mib(peak), table.mib(maps), table.mib(peak + maps - ring)]


def measure_all(quick):
    python = measure.not_inlined() or measure.pythons(True)[0]
    results = {}
    notes = ["Bars: first sample < 1 s, <= 2 s beside 1,000 processes; tracer < 64 MiB (<= 96 MiB beside 1,000). All attached: "
             "until record says that it records. Together: the ring, "
             "mapped twice, counted once. Stop: from ^C to its end, all probes detached."]
    for count, runs in [(1, 2), (10, 1)] if quick else [(1, 3), (100, 1), (1000, 1)]:
        last = next(reversed(results.values()), None)
        if last and measure.median([run["stop_s"] for run in last]) * 10 > STOP_LIMIT_S and count > 100:
            notes.append(f"{count:,} processes: not tried, because {int(count / 10)} take too long to stop.")
            break
        results[str(count)] = crowd_of(count, runs, python)
    table.show(f"Start, a cgroup of idle processes ({python}, signals resident,heap,gc)",
               ["Python processes", "first sample s", "all attached s", "stop s", "tracer peak MiB", "BPF maps MiB",
                "together MiB"],
               [row(name, runs) for name, runs in results.items() if isinstance(runs, list)], notes)
    return results
