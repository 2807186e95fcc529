# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Allocates large blocks hotly: so much that following each would cost more than it is worth.

    keep COUNT [BYTES]   keeps COUNT blocks
    spin SECONDS         makes and drops blocks until so much CPU time is used
    climb SECONDS BYTES  spins, and keeps up to 20 blocks of BYTES that it drops then; waits from SIGUSR1 to SIGUSR2
    leak SECONDS         the same, and keeps two buffers of 4 KiB now and then: of five, four are one line's
    grow COUNT           a list grows by COUNT items on one line, then by as many on another: by itself, nothing else is allocated
    drop                 frees what was kept
"""
import itertools
import signal
import sys
import time
import truth

LINES = truth.labels(__file__)
SIZE = 2000 - sys.getsizeof(b"")
TOLD = {"file": __file__, "lines": LINES, "kept": 0, "made": 0}
KEPT = []
GROWN = []


def keep(count, size=2000):
    size -= sys.getsizeof(b"")
    for _ in range(count):
        KEPT.append(bytes(size))  # line: keep
    TOLD["kept"] += count


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        for _ in range(1000):
            bytes(SIZE)  # line: spin
        TOLD["made"] += 1000


def climb(seconds, size):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.signal(signal.SIGUSR1, lambda *_: signal.sigwait([signal.SIGUSR2]))
    end = time.process_time() + seconds
    while time.process_time() < end:
        for _ in range(50):
            bytes(SIZE)
        KEPT.append(bytes(size))
        if len(KEPT) == 20:
            KEPT.clear()


def leak(seconds):
    """Few a second, and each among many that are dropped: nothing that is followed only now and then sees much of them."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        for i in range(200):
            bytes(SIZE)  # line: temporary
            if i % 64 == 0:
                KEPT.append(bytearray(4096))  # line: leak
        KEPT.append(bytearray(4096))  # line: other_leak
        n = 1
        for _ in range(20000):
            n = n * 5 & 31
        TOLD["leaked"] = TOLD.get("leaked", 0) + 4
        TOLD["other_leaked"] = TOLD.get("other_leaked", 0) + 1


def grow(count):
    for _ in itertools.repeat(None, count):
        GROWN.append(None)  # line: grow
    for _ in itertools.repeat(None, count):
        GROWN.append(None)  # line: grow_last


def drop():
    KEPT.clear()
    TOLD["kept"] = 0


def main():
    for order in truth.orders():
        if order[0] == "keep":
            keep(*map(int, order[1:]))
        elif order[0] == "spin":
            spin(float(order[1]))
        elif order[0] == "climb":
            climb(float(order[1]), int(order[2]))
        elif order[0] == "leak":
            leak(float(order[1]))
        elif order[0] == "grow":
            grow(int(order[1]))
        elif order[0] == "drop":
            drop()
        truth.tell(TOLD)


main()
