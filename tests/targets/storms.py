# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What a program can do to those who watch it. Each order is answered once it is over.

    forks SECONDS    workers that live for a moment, up to 16 at once
    execs SECONDS    a child that becomes this program again and again
    threads COUNT    threads at once, each touching memory of its own
    stacks SECONDS   another stack each time, some 100,000 a second, each allocating
    faults SECONDS   pages touched as fast as a loop can
"""
import gc
import mmap
import os
import sys
import threading
import time
import truth

LEVELS, WAYS = 5, 16
REGION = mmap.mmap(-1, 16 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
KEPT = []


def touch(pages):
    REGION.madvise(mmap.MADV_DONTNEED)
    for page in range(pages):
        REGION[page * mmap.PAGESIZE] = 1


def forks(seconds):
    end = time.monotonic() + seconds
    running = count = 0
    while time.monotonic() < end:
        if not os.fork():
            touch(16)
            os._exit(0)
        count += 1
        running += 1
        if running == 16:
            os.wait()
            running -= 1
    for _ in range(running):
        os.wait()
    return count


def become_again(write, end, count):
    os.execv(sys.executable, [sys.executable, "-S", __file__, str(write), str(end), str(count)])


def execs(seconds):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.set_inheritable(write, True)
        become_again(write, time.monotonic() + seconds, 1)
    os.close(write)
    _, status = os.waitpid(child, 0)
    assert not status, status
    with os.fdopen(read) as counted:
        return int(counted.read())


def threads(count):
    begin = threading.Barrier(count)

    def run():
        begin.wait()
        KEPT.append(bytearray(65536))
        begin.wait()

    all_threads = [threading.Thread(target=run) for _ in range(count)]
    threading.stack_size(1 << 17)
    for one in all_threads:
        one.start()
    for one in all_threads:
        one.join()
    KEPT.clear()
    return count


class Done(Exception):
    """Its time is over."""


def stacks(seconds):
    """Functions that call each other from sixteen lines each: a million ways to the one that allocates."""
    source = "def level_0(check):\n    KEPT.append(TEXT + '.')\n"
    for level in range(1, LEVELS + 1):
        source += f"def level_{level}(check):\n" + ("    check()\n" if level == 3 else "")
        source += f"    level_{level - 1}(check)\n" * WAYS
    end = time.monotonic() + seconds

    def check():
        if len(KEPT) > 200000:
            KEPT.clear()
        if time.monotonic() > end:
            raise Done
    names = {"KEPT": KEPT, "TEXT": "x" * 200}
    exec(compile(source, "generated.py", "exec"), names)  # pylint: disable=exec-used
    try:
        while True:
            names[f"level_{LEVELS}"](check)
    except Done:
        KEPT.clear()
    return 0


def faults(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        touch(4096)
        gc.collect(0)
    return 0


def main():
    if len(sys.argv) > 1:
        write, end, count = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
        touch(16)
        if time.monotonic() < end:
            become_again(write, end, count + 1)
        os.write(write, str(count).encode())
        return
    for name, number in truth.orders():
        began = time.monotonic()
        truth.tell({"count": globals()[name](int(number)), "took_s": time.monotonic() - began})


main()
