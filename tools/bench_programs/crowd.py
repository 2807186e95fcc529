# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""For the start: a crowd of idle Python processes, forked from this one, which calls gc.collect() every millisecond so that
there is a first sample.

    go COUNT      there are COUNT processes now, this one included; answered with {"count"}
    idle COUNT    the same, and this one is idle, too

All end when stdin closes.
"""
import gc
import json
import os
import select
import signal
import sys


def main():
    children = []
    print("ready", flush=True)
    order, count = sys.stdin.readline().split()
    count = int(count)
    try:
        while len(children) < count - 1:
            child = os.fork()
            if not child:
                while True:
                    signal.pause()
            children.append(child)
        print(json.dumps({"count": count}), flush=True)
        while not select.select([0], [], [], 0.001 if order == "go" else None)[0]:
            gc.collect(0)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


main()
