# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""For the ring: allocates one block under each of a million different stacks, at a pace.

    go SECONDS PER_SECOND    answered with {"count", "bytes", "file", "function", "wall_s", "cpu_s"}; PER_SECOND 0: no pace

Five generated functions call each other from sixteen lines each: 16^5 ways down to the one line that allocates.
"""
import json
import os
import sys
import time

LEVELS = 5
WAYS = 16
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "generated_stacks.py")
BLOCK_BYTES = 64
HEAD = bytes(BLOCK_BYTES - sys.getsizeof(b"") - 1)
TAIL = b"."


class Done(Exception):
    """Its time is over."""


class Pace:
    """Called before each 256 blocks."""

    def __init__(self, seconds, per_second):
        self.begin = time.monotonic()
        self.end = self.begin + seconds
        self.per_second = per_second
        self.count = 0

    def __call__(self):
        now = time.monotonic()
        if now >= self.end:
            raise Done
        ahead = self.count / self.per_second - (now - self.begin) if self.per_second else 0
        if ahead > 0:
            time.sleep(ahead)
        self.count += WAYS * WAYS


def source():
    text = "def level_0(pace):\n    HEAD + TAIL\n"
    for level in range(1, LEVELS + 1):
        text += f"def level_{level}(pace):\n"
        text += "    pace()\n" if level == 2 else ""
        text += f"    level_{level - 1}(pace)\n" * WAYS
    return text


def main():
    names = {"HEAD": HEAD, "TAIL": TAIL}
    exec(compile(source(), FILE, "exec"), names)
    print("ready", flush=True)
    for order in iter(sys.stdin.readline, ""):
        _, seconds, per_second = order.split()
        pace = Pace(float(seconds), float(per_second))
        cpu = time.process_time()
        try:
            while True:
                names[f"level_{LEVELS}"](pace)
        except Done:
            pass
        print(json.dumps({"count": pace.count, "bytes": pace.count * BLOCK_BYTES, "file": FILE, "function": "level_0",
                          "wall_s": time.monotonic() - pace.begin, "cpu_s": time.process_time() - cpu}), flush=True)


main()
