# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""For the ring: allocates on one line for as long as it is told to, and tells how much.

    go SECONDS    answered with {"count", "bytes", "file", "function", "wall_s", "cpu_s"}

Each turn of the loop is one PyObject_Malloc of 64 bytes and one free, and nothing else: a range would make integers.
"""
import itertools
import json
import sys
import time

BLOCK_BYTES = 64
TURN = 5_000
HEAD = bytes(BLOCK_BYTES - sys.getsizeof(b"") - 1)
TAIL = b"."


def allocate(count):
    for _ in itertools.repeat(None, count):
        HEAD + TAIL


def main():
    print("ready", flush=True)
    for order in iter(sys.stdin.readline, ""):
        begin, cpu = time.monotonic(), time.process_time()
        end = begin + float(order.split()[1])
        count = 0
        while time.monotonic() < end:
            allocate(TURN)
            count += TURN
        print(json.dumps({"count": count, "bytes": count * BLOCK_BYTES, "file": __file__, "function": "allocate",
                          "wall_s": time.monotonic() - begin, "cpu_s": time.process_time() - cpu}), flush=True)


main()
