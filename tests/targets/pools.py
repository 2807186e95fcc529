#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Fills and empties pools of the small-object allocator and tells the truth about it. CPython 3.8 and later, without site.

One order a line on standard input, each answered on standard output by a line that begins with "done", after what it says:
    make        objects of every size class, more of the small ones
    thin        frees a part of them, by another pattern in each class
    empty       frees all of every third class
    stop        prints the allocator's own statistics on standard error and stops itself (SIGSTOP): what they say is still true then
    sub         makes a sub-interpreter that has an allocator of its own, with objects, where this version can: "done 1"
    stop_sub    prints them of the main interpreter, then of the other one, and stops; only the latter are quite true then
    objects     "object KIND ROLE ADDRESS TYPE" for many kinds of objects
    change      changes those whose role is `changed`, replaces those that are `replaced`: "again KIND ADDRESS" for each
                replaced one at whose address there is now another
    fill MIB    makes small objects, so many bytes of them
    churn       allocates and frees in threads as fast as it can, until it ends
"""
import gc
import os
import random
import signal
import sys
import threading

CLASSES = 32
PER_KIND = 300
FIRST = 5000  # smaller ints are cached by the interpreter: nobody's own


def of_class(n):
    """An object in a block of 16 * (n + 1) bytes."""
    if n == 0:
        return object()
    if n == 1:
        return random.random()
    return bytes(16 * (n + 1) - 33)


def stop(stats=getattr(sys, "_debugmallocstats"), kill=os.kill, pid=os.getpid(), sig=int(signal.SIGSTOP)):
    stats()
    kill(pid, sig)  # allocates nothing: what the statistics say is what will be read


class Slots:
    __slots__ = ("a", "b", "c")

    def __init__(self, i):
        self.a, self.b, self.c = str(i), None, i


class Plain:
    def __init__(self, i):
        self.name, self.state, self.number = str(i), "new", i


class Node:
    def __init__(self, i):
        self.next = None
        self.value = i


def generator(i):
    yield i


def grow(a_list):
    a_list.extend(range(1000000, 1000040))


def set_attributes(o):
    o.state = "old"
    o.number += 1000


# How each kind is made, and how it changes while it lives (None: it can't).
KINDS = {
    "str": (lambda i: "a string that is number %d" % i, hash),
    "wide": (lambda i: "\u0161\u0148\u016f\u0159a %d" % i, lambda s: s.encode()),
    "bytes": (lambda i: b"some bytes %d" % i, hash),
    "int": (lambda i: 10 ** 20 + i, None),
    "float": (lambda i: i + 0.5, None),
    "complex": (lambda i: complex(i, 1), None),
    "tuple": (lambda i: (str(i), i), hash),
    "list": (lambda i: [str(i), i + 1000, None], grow),
    "dict": (lambda i: {"id": i + 1000, "name": str(i)}, lambda d: d.update(a=1, b=2, c=3, d=4, e=5, f=6)),
    "set": (lambda i: {i + 1000, str(i)}, lambda s: s.update(range(20000, 20010))),
    "slots": (Slots, lambda o: setattr(o, "b", str(o.c))),
    "plain": (Plain, set_attributes),
    "node": (Node, lambda o: setattr(o, "next", [])),
    "function": (lambda i: lambda: i, lambda f: setattr(f, "__doc__", str(f))),
    "generator": (generator, next),
    "bytearray": (lambda i: bytearray(b"%d" % i), lambda b: b.extend(b"12345678901234567890")),
    "method": (lambda i: str(i).join, None),
    "cell": (lambda i: (lambda: i).__closure__[0], lambda c: setattr(c, "cell_contents", str(c))),
}
ROLES = ("kept", "changed", "replaced")


class Target:
    def __init__(self):
        self.blocks = [[] for _ in range(CLASSES)]
        self.objects = {}
        self.sub = None

    def make(self):
        for n in range(CLASSES):
            self.blocks[n] += [of_class(n) for _ in range(20000 // (n + 1))]

    def thin(self):
        choose = random.Random(7)
        for n in range(CLASSES):
            if n % 2:
                self.blocks[n] = [o for o in self.blocks[n] if choose.random() < n / CLASSES]
            else:
                del self.blocks[n][n:len(self.blocks[n]) // 2]

    def empty(self):
        for n in range(0, CLASSES, 3):
            self.blocks[n] = []

    def make_objects(self):
        gc.collect()
        for kind, (make, _) in KINDS.items():
            for role in ROLES:
                self.objects[kind, role] = [make(FIRST + i) for i in range(PER_KIND)]
        gc.collect()
        for (kind, role), objects in self.objects.items():
            for o in objects:
                print("object", kind, role, hex(id(o)), type(o).__name__)

    def change(self):
        for kind, (make, change) in KINDS.items():
            for o in self.objects[kind, "changed"] if change else ():
                change(o)
            before = {id(o) for o in self.objects[kind, "replaced"]}
            self.objects[kind, "replaced"] = None
            self.objects[kind, "replaced"] = [make(2 * FIRST + i) for i in range(2 * PER_KIND)]
            for o in self.objects[kind, "replaced"]:
                if id(o) in before:
                    print("again", kind, hex(id(o)))

    def make_sub(self):
        try:
            try:
                import _interpreters as interpreters
                self.sub = interpreters.create("isolated")
            except ImportError:
                import _xxsubinterpreters as interpreters
                if sys.version_info < (3, 12):
                    return 0
                self.sub = interpreters.create(isolated=True)
        except ImportError:
            return 0
        self.interpreters = interpreters
        interpreters.run_string(self.sub, "kept = [[i, str(i), {i: i}] for i in range(20000)]\ndel kept[::3]")
        return 1

    def stop_sub(self):
        script = ("import sys, os\ndef stop(stats=sys._debugmallocstats, kill=os.kill, pid=os.getpid(), sig=%d):\n"
                  "    stats()\n    kill(pid, sig)\nstop()" % signal.SIGSTOP)
        getattr(sys, "_debugmallocstats")()
        self.interpreters.run_string(self.sub, script)

    def fill(self, mib):
        # Blocks of 64, 32 and 64 bytes.
        self.filled = [(float(i), str(i)) for i in range(int(mib) * (1 << 20) // 160)]

    def churn(self):
        def work(seed):
            choose = random.Random(seed)
            kept = []
            while True:
                kept += [of_class(choose.randrange(CLASSES)) for _ in range(200)]
                kept += [[i, str(i), {i: i}] for i in range(100)]
                if len(kept) > 20000:
                    choose.shuffle(kept)
                    del kept[choose.randrange(len(kept)):]

        for seed in range(4):
            threading.Thread(target=work, args=(seed,), daemon=True).start()


def main():
    target = Target()
    orders = {"make": target.make, "thin": target.thin, "empty": target.empty, "stop": stop, "sub": target.make_sub,
              "stop_sub": target.stop_sub, "objects": target.make_objects, "change": target.change, "churn": target.churn,
              "fill": target.fill}
    for line in sys.stdin:
        order, *arguments = line.split()
        answer = orders[order](*arguments)
        print("done", "" if answer is None else answer, flush=True)
    os._exit(0)


main()
