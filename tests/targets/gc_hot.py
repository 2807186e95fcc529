# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Has its collector run thousands of times a second, and counts what it did; the truth comes from gc.get_stats().

    collect SECONDS RATE    calls gc.collect(0) RATE times a second of CPU time, which makes garbage between
    auto SECONDS RATE       makes so much garbage that the collector runs by itself, about RATE times a second
    calm N                  N times gc.collect(0), each after 20 ms of sleep
    count                   only counts

Each order is answered with the CPU time and the collections that this order took, by generation, and with the sums since
the program began.
"""
import gc
import time
import truth

LINES = truth.labels(__file__)


def spin(until):
    while time.process_time() < until:
        pass


def make_cycles(count):
    for _ in range(count):
        knot = []
        knot.append(knot)


def collect(seconds, rate):
    begin = time.process_time()
    for number in range(int(seconds * rate)):
        make_cycles(5)
        gc.collect(0)  # line: collect
        spin(begin + number / rate)


def auto(seconds, rate):
    begin = time.process_time()
    gc.enable()
    for number in range(int(seconds * rate)):
        make_cycles(12)  # one collection of the youngest generation
        spin(begin + number / rate)
    gc.disable()


def calm(times):
    for _ in range(times):
        time.sleep(0.02)
        make_cycles(5)
        gc.collect(0)


def main():
    gc.disable()
    gc.set_threshold(10)
    for order in truth.orders():
        before, begin = gc.get_stats(), time.process_time()
        if order[0] == "calm":
            calm(int(order[1]))
        elif order[0] != "count":
            {"collect": collect, "auto": auto}[order[0]](float(order[1]), int(order[2]))
        stats, cpu_s = gc.get_stats(), time.process_time() - begin
        truth.tell({"file": __file__, "lines": LINES, "cpu_s": cpu_s, "stats": stats,
                    "did": [{key: b[key] - a[key] for key in b} for a, b in zip(before, stats)]})


main()
