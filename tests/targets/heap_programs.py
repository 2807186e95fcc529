# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Programs that fill the heap in different ways, for the heap signal.

    PROGRAM STEPS ROUNDS    runs so many steps of it, keeps what is to be kept, and computes so long after each step
    pymalloc                the bytes in live blocks of pymalloc, as it says itself

What each line holds is known by running the same order under under_tracemalloc.py. Everything is the same in each run.
What is kept is no object that CPython keeps for use again (tuples, of a burst that was freed): tracemalloc has such a block
where it was used last, the allocator where it was asked for it.
Computing allocates next to nothing; 10,000 rounds take a good half of a millisecond.
"""
import array
import json
import os
import random
import re
import sys
import tempfile
import truth

KEPT = {}
THOUSAND = (None,) * 1000


def compute(rounds):
    """Numbers up to 256 are not allocated. An iterator in a thousand rounds is."""
    n = 1
    for _ in range(rounds // 1000):
        for _ in THOUSAND:
            n = n * 5 & 31
    return n


def dicts(step, kept):
    for i in range(20):
        kept.append({"id": i, "step": step})
    for i in range(10):
        kept.append({"name": (i, step), "tags": [i, step, i]})
    kept.append(dict.fromkeys(range(20), step))


def strings(step, kept):
    for i in range(40):
        kept.append("item %d of step %d" % (i, step))
    for i in range(20):
        kept.append("x" * (60 + i) + str(step))
    for i in range(10):
        kept.append(("%08d" % step).encode() + b"." * (8 * i))


class Point:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Node:
    __slots__ = ("a", "b", "c", "d", "e", "f")


class Plain:
    def __init__(self, value):
        self.value = value
        self.name = "plain"


def slots(step, kept):
    for i in range(40):
        kept.append(Point(i, step))
    for _ in range(20):
        kept.append(Node())
    for i in range(10):
        kept.append(Plain(step * 1000 + i))


def buffers(step, kept):
    kept.append(bytearray(3000 + step % 7 * 100))
    kept.append(array.array("d", range(step % 50, step % 50 + 200)))
    for _ in range(20):
        kept.append(array.array("b", b"0123456789" * 4))
    for _ in range(20):
        kept.append(bytes(100))


def cache(step, kept):
    """Bounded: as many go as come, the oldest from one half, any from the other."""
    if not kept:
        kept.append({})
        kept.append({})
        kept.append(random.Random(1))
    fifo, anyone, chance = kept
    for i in range(20):
        fifo[step * 20 + i] = ("fifo", step, [i, step])
    while len(fifo) > 20000:
        del fifo[next(iter(fifo))]
    for i in range(20):
        anyone[chance.randrange(20000)] = "value %d of step %d" % (i, step)


def parser(step, kept):
    text = json.dumps([{"id": step, "items": [step, step + 0.5, str(step)], "flags": {"a": None, "b": [1] * 5}}] * 4)
    kept.append(json.loads(text))
    kept.append(text.split(","))
    json.loads(text)


def in_turn(step, kept):
    """Two lines that allocate blocks of the same size in turn, at every block size of pymalloc."""
    for size in range(1, 33):
        blocks = size * 16 - 33 - 8
        if blocks < 0:
            continue
        first = bytes(blocks)
        kept.append(first + b"abcdefgh")
        kept.append(first + b"ABCDEFGH")


def bursts(step, kept):
    """Many blocks for a while, one of a hundred for good."""
    burst = []
    for i in range(300):
        burst.append((step, i, str(i)))
    kept.extend(burst[::100])
    kept.append("x" * 400 + str(step))
    for i in range(10):
        kept.append("%d of burst %d" % (i, step))
    burst.clear()


def phases(step, kept):
    """One line allocates fast for a while, now and then, another slowly all the time."""
    if step % 200 == 100:
        for i in range(200000):
            block = bytes(60)
            if i % 10 == 0:
                kept.append(block)
    for _ in range(100):
        kept.append(bytes(61))


def holes(step, kept):
    """Of 300,000 blocks a tenth live on, all over the pools."""
    kept.extend([bytes(100) for _ in range(300000)][::10])


PROGRAMS = {one.__name__: one for one in (dicts, strings, slots, buffers, cache, parser, in_turn, bursts, phases, holes)}


def pymalloc_stats():
    """What sys._debugmallocstats prints, which is on descriptor 2: bytes that live, and {size: [blocks that live, that are free]}."""
    with tempfile.TemporaryFile("w+") as text:
        kept = os.dup(2)
        os.dup2(text.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(kept, 2)
        os.close(kept)
        text.seek(0)
        told = text.read()
        classes = re.findall(r"^ *\d+ +(\d+) +\d+ +(\d+) +(\d+)$", told, re.MULTILINE)
        return {"bytes": int(re.search(r"# bytes in allocated blocks += +([0-9,]+)", told)[1].replace(",", "")),
                "classes": {size: [int(live), int(free)] for size, live, free in classes}}


def run(program, steps, rounds):
    kept = KEPT.setdefault(program, [])
    one = PROGRAMS[program]
    for step in range(steps):
        one(step, kept)
        compute(rounds)


def main():
    for name, *numbers in truth.orders():
        if name == "pymalloc":
            truth.tell(pymalloc_stats())
            continue
        run(name, *map(int, numbers))
        truth.tell({"program": name, "file": __file__})


main()
