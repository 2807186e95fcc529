# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What all workloads share: orders on stdin, times of the body alone as JSON on stdout. Python 3.8 and newer.

A workload prints `ready` and waits, so that a tracer can attach; interpreter start, imports and set-up are not timed.

    go SCALE        the body once, at SCALE of its full size
    loop SECONDS SCALE
                    the body again and again at SCALE of its full size

Each is answered with {"wall_s", "cpu_s", "queued_s", "turns"}: the body's own time; queued_s is how long the main thread stood
in the queue for a processor, as the kernel says. What a body returns is dropped after the clock has stopped. The program ends
when stdin closes.
"""
import builtins
import json
import sys
import time

# memory_profiler puts its decorator there; elsewhere it does nothing.
profile = getattr(builtins, "profile", lambda function: function)


def queued_s():
    with open("/proc/self/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9


def timed(function):
    queued, wall, cpu = queued_s(), time.perf_counter(), time.process_time()
    kept = function()
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "queued_s": queued_s() - queued,
            "turns": 1}
    del kept
    return took


def loop(function, seconds):
    sums = {"wall_s": 0.0, "cpu_s": 0.0, "queued_s": 0.0, "turns": 0}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        took = timed(function)
        for key in sums:
            sums[key] += took[key]
    return sums


def main(body):
    """body(scale): 1 is its full size."""
    print("ready", flush=True)
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        order, *values = line.split()
        scale = float(values[-1])
        took = timed(lambda: body(scale)) if order == "go" else loop(lambda: body(scale), float(values[0]))
        print(json.dumps(took), flush=True)
