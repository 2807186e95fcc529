# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Touches pages at the end of random paths through every kind of Python frame, and knows each stack.

    stack_truth.py [FOLDER...]   packages that may be used if they are there (greenlet)

Order `go SAMPLES SEED`: paths one after the other, in the main thread and in others, every other page by a thread that has
released the GIL; `crowd SAMPLES SEED`: in eight threads at once. Answers {"frames": [text], "stacks": [[pages, frame...]],
"passed": [[frame...]], "kinds": N, "without": [what]}; each frame as the recording's SQL view `stacks` prints it,
"function (file:line)", and each stack from the line that touches the page to the root, by numbers of frames; what the collector
calls stands on "[collector]", and that on the frame at which gc.callbacks say that it began. passed: stacks whose leaf went on
with the path from that line, where the interpreter may touch a page for a frame.
Runs on 3.8 and later.
"""
import collections
import functools
import gc
import itertools
import json
import mmap
import os
import random
import sys
import threading

sys.path += sys.argv[1:]

import frame_kinds  # noqa: E402

LONGEST_PATH = 6
CROWD = 8
CROWD_PAGES = 4  # a page may be charged to the fault of another thread at the same moment
PAGE = bytes(mmap.PAGESIZE)
ANY_FILE = os.open(__file__, os.O_RDONLY)


collecting = {}  # thread: the frame at which its collection began


def on_collection(phase, _):
    if phase == "start":
        collecting[threading.get_ident()] = sys._getframe().f_back
    else:
        collecting.pop(threading.get_ident(), None)


def fresh_pages(size):
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


class Samples:
    """Fresh private pages, each written once, by C code that a Python line calls."""

    def __init__(self, limit, crowd):
        self.limit, self.crowd = limit, crowd
        self.pages = pages = CROWD_PAGES if crowd else 1
        self.payload = PAGE * pages
        self.memory = fresh_pages((limit + 8192) * pages * mmap.PAGESIZE)
        self.other = fresh_pages(len(self.memory))
        self.places = iter(range(0, len(self.other), len(self.payload)))
        self.frames = collections.defaultdict(itertools.count().__next__)  # text: number
        self.stacks = []  # appended to by all threads
        self.passed = set()

    def enter(self, frame, rest):
        if rest:
            self.passed.add(self.stack_of(frame))
            return functools.partial(rest[0], rest[1:])
        self.stacks.append(self.stack_of(frame))
        if not self.crowd and len(self.stacks) % 2:
            at = next(self.places)
            return functools.partial(os.preadv, ANY_FILE, [memoryview(self.other)[at:at + len(self.payload)]], 0)
        return functools.partial(self.memory.write, self.payload)

    def stack_of(self, frame):
        numbers, began = [], collecting.get(threading.get_ident())
        while frame:
            if frame is began:
                numbers.append(self.frames["[collector]"])
            code = frame.f_code
            name = code.co_qualname if frame_kinds.QUALIFIED else code.co_name
            numbers.append(self.frames[f"{name} ({code.co_filename}:{frame.f_lineno})"])
            frame = frame.f_back
        return tuple(numbers)

    def truth(self):
        stacks = collections.Counter(self.stacks)
        return {"frames": sorted(self.frames, key=self.frames.get), "kinds": len(frame_kinds.KINDS),
                "stacks": [[n * self.pages, *stack] for stack, n in stacks.items()],
                "passed": list(self.passed - set(stacks)), "without": [] if frame_kinds.greenlet else ["greenlets"]}

    def enough(self):
        return len(self.stacks) >= self.limit


def paths(samples, chance, kinds):
    while not samples.enough():
        yield [chance.choice(kinds) for _ in range(chance.randrange(1, LONGEST_PATH + 1))]


def walk(path):
    path[0](path[1:])


def go(samples, chance):
    # Each kind once by itself, so that none is left out by chance.
    for path in [[one] for one in frame_kinds.KINDS] + [[]]:
        frame_kinds.plain(path)
    for number, path in enumerate(paths(samples, chance, frame_kinds.KINDS)):
        if number % 4:
            walk(path)
        else:
            frame_kinds.run_in_thread(walk, path)


def crowd(samples, chance):
    kinds = [one for one in frame_kinds.KINDS if one not in frame_kinds.ALONE]

    def member(seed):
        for path in paths(samples, random.Random(seed), kinds):
            walk(path)
    threads = [threading.Thread(target=member, args=(chance.random(),)) for _ in range(CROWD)]
    sys.setswitchinterval(0.0005)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    sys.setrecursionlimit(5000)
    gc.disable()
    gc.set_threshold(1)
    gc.callbacks.append(on_collection)
    print("ready", flush=True)
    kept = []  # given back at once, a page might be counted with what is given back
    for order in sys.stdin:
        how, limit, seed = order.split()
        samples = Samples(int(limit), how == "crowd")
        kept += samples.memory, samples.other
        frame_kinds.notes["enter"] = samples.enter
        {"go": go, "crowd": crowd}[how](samples, random.Random(int(seed)))
        gc.collect()  # what waits for it has its part in the truth
        samples.memory.write(PAGE)  # a page is charged when the next one is touched
        print(json.dumps(samples.truth()), flush=True)


main()
