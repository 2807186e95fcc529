# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Page faults as fast as a loop can make them, alone, beside a quiet process, and in workers that live for moments.

Orders: `churn CPU_SECONDS`, `beside CPU_SECONDS`, `workers COUNT`. Answers tell what was touched, and where.
"""
import json
import mmap
import os
import sys
import time

PAGE = mmap.PAGESIZE
REGION = 16 << 20
held = []


def touch(size):
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as region:
        for at in range(0, size, PAGE):
            region[at] = 1  # TOUCH
    return size


def churn(cpu_s):
    end = time.process_time() + cpu_s
    touched = 0
    while time.process_time() < end:
        touched += touch(REGION)
    return touched


def keep():
    held.append(b"x" * 65536)  # KEEP


def beside(cpu_s):
    """A child churns; its parent keeps a little now and then."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, str(churn(cpu_s)).encode())
        os._exit(0)
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        keep()
        time.sleep(0.01)
    touched = int(os.read(read, 64))
    os.waitpid(pid, 0)
    return {"pid": os.getpid(), "child": pid, "touched": touched, "kept": len(held) * 65536}


def workers(count):
    cpu = os.times().children_user + os.times().children_system
    for _ in range(count):
        pid = os.fork()
        if not pid:
            touch(1 << 20)
            os._exit(0)
        os.waitpid(pid, 0)
    return {"cpu_s": os.times().children_user + os.times().children_system - cpu}


def line_of(mark):
    with open(__file__, encoding="utf-8") as source:
        return next(number for number, line in enumerate(source, 1) if line.rstrip().endswith("# " + mark))


def main():
    print("ready", flush=True)
    for order in sys.stdin:
        what, number = order.split()
        if what == "churn":
            truth = {"touched": churn(float(number))}
        elif what == "beside":
            truth = beside(float(number))
        else:
            truth = workers(int(number))
        truth.update(file=os.path.abspath(__file__), touch=line_of("TOUCH"), keep=line_of("KEEP"))
        print(json.dumps(truth), flush=True)


main()
