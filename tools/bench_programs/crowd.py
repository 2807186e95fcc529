# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""For the start: a crowd of idle Python processes, crowd.py COUNT, forked from this one, which calls gc.collect() every
millisecond so that there is a first sample. Prints `ready`; all end when stdin closes.
"""
import gc
import os
import select
import signal
import sys


def main():
    count = int(sys.argv[1])
    children = []
    try:
        for _ in range(count - 1):
            child = os.fork()
            if not child:
                # Ends with its parent: the other end of stdin is nobody else's.
                while os.read(0, 1):
                    pass
                os._exit(0)
            children.append(child)
        print("ready", flush=True)
        while not select.select([0], [], [], 0.001)[0]:
            gc.collect(0)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


main()
