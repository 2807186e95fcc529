# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Has its collector run thousands of times a second, and counts what it did; the truth comes from gc.get_stats().

    collect SECONDS RATE    calls gc.collect(0) RATE times a second of CPU time, of garbage made between
    auto SECONDS RATE       makes so much garbage that the collector runs by itself, about RATE times a second
    calm N                  N times gc.collect(0), each after 20 ms of work
    child                   forks a child, "child" is its number, that waits for:
    beside N SECONDS RATE   as calm, while the child does `collect`; its truth is "child"
    fork N                  forks children that wait for its end
    count                   only counts

Each order is answered with the CPU time and the collections that it took, by generation, and with the sums since the program
began.
"""
import gc
import json
import os
import time
import truth

LINES = truth.labels(__file__)


class Knot:
    """No object that is kept on a free list: each is one more to the collector."""


def spin(until):
    while time.process_time() < until:
        pass


def make_cycles(count):
    for _ in range(count):
        knot = Knot()
        knot.knot = knot


def collect(seconds, rate):
    begin = time.process_time()
    for number in range(int(seconds * rate)):
        make_cycles(3)
        gc.collect(0)  # line: collect
        spin(begin + number / rate)


def auto(seconds, rate):
    begin = time.process_time()
    gc.enable()
    for number in range(int(seconds * rate)):
        make_cycles(11)
        spin(begin + number / rate)
    gc.disable()


def calm(times):
    for _ in range(times):
        spin(time.process_time() + 0.02)
        make_cycles(3)
        gc.collect(0)


def measure(work, *args):
    before, begin = gc.get_stats(), time.process_time()
    work(*args)
    stats, cpu_s = gc.get_stats(), time.process_time() - begin
    return {"file": __file__, "lines": LINES, "cpu_s": cpu_s, "stats": stats, "pid": os.getpid(),
            "did": [{key: b[key] - a[key] for key in b} for a, b in zip(before, stats)]}


class Child:
    """Does `collect` once it is told to, and then waits for its parent's end."""

    def __init__(self):
        self.told, self.orders = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.orders[1])
            seconds, rate = json.loads(os.read(self.orders[0], 100))
            os.write(self.told[1], json.dumps(measure(collect, seconds, rate)).encode())
            os.read(self.orders[0], 1)
            os._exit(0)

    def beside(self, times, *order):
        os.write(self.orders[1], json.dumps(order).encode())
        return dict(measure(calm, times), child=json.loads(os.read(self.told[0], 1 << 16)))


def fork(count):
    wait, end = os.pipe()
    for _ in range(count):
        if not os.fork():
            os.close(end)
            os.read(wait, 1)
            os._exit(0)


def main():
    gc.disable()
    gc.set_threshold(10)
    for order in truth.orders():
        numbers = [float(word) if "." in word else int(word) for word in order[1:]]
        if order[0] == "child":
            child = Child()
            truth.tell({"child": child.pid})
            continue
        if order[0] == "beside":
            truth.tell(child.beside(*numbers))
            continue
        work = {"collect": collect, "auto": auto, "calm": calm, "fork": fork, "count": lambda: None}[order[0]]
        truth.tell(measure(work, *numbers))


main()
