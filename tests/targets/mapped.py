# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Known lines have the kernel map memory, and give it back.

    grow   each line below maps something that stays
    drop   some of it is given back, by other lines
    storm  maps and unmaps as fast as it can for SECONDS (an argument of the order), then keeps one mapping

The truth of each line: by how much VmData of /proc/self/status (private memory that may be written) has changed at it, bytes; of
`shared` and `advised` what was asked for. `data`: VmData now.
"""
import ctypes
import mmap
import sys
import threading
import time
import truth

LINES = truth.labels(__file__)
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.sbrk.restype = LIBC.malloc.restype = LIBC.mmap.restype = ctypes.c_void_p
LIBC.sbrk.argtypes = [ctypes.c_ssize_t]
LIBC.malloc.argtypes = [ctypes.c_size_t]
LIBC.free.argtypes = [ctypes.c_void_p]
LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.mprotect.argtypes = LIBC.madvise.argtypes
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
MIB = 1 << 20
KEPT = {}
TRUTH = {}
STATUS = bytearray(8192)
FILE = open("/proc/self/status", "rb", buffering=0)


def data():
    """VmData, without taking memory for the answer that is not there already."""
    FILE.seek(0)
    FILE.readinto(STATUS)
    at = STATUS.index(b"VmData:") + 7
    return int(STATUS[at:STATUS.index(b"kB", at)]) * 1024


def note(name, before):
    TRUTH[name] = {"line": LINES[name], "bytes": data() - before}


def objects():
    before = data()
    KEPT["objects"] = [object() for _ in range(600000)]  # line: objects
    note("objects", before)


def buffer():
    before = data()
    KEPT["buffer"] = bytearray(40 * MIB)  # line: buffer
    note("buffer", before)


def dropped():
    before = data()
    KEPT["dropped"] = LIBC.malloc(48 * MIB)  # line: dropped
    note("dropped", before)


def private():
    before = data()
    KEPT["private"] = mmap.mmap(-1, 3 * MIB, flags=PRIVATE)  # line: private
    note("private", before)


def halved():
    before = data()
    KEPT["halved"] = LIBC.mmap(None, 6 * MIB, mmap.PROT_READ | mmap.PROT_WRITE, PRIVATE, -1, 0)  # line: halved
    note("halved", before)


def shared():
    KEPT["shared"] = mmap.mmap(-1, 5 * MIB)  # line: shared
    TRUTH["shared"] = {"line": LINES["shared"], "bytes": 5 * MIB}


def reserved():
    """Counts for the line that makes it writable."""
    KEPT["reserved"] = LIBC.mmap(None, 64 * MIB, 0, PRIVATE, -1, 0)
    before = data()
    LIBC.mprotect(KEPT["reserved"] + MIB, 2 * MIB, mmap.PROT_READ | mmap.PROT_WRITE)  # line: reserved
    note("reserved", before)


def heap():
    LIBC.sbrk(0)
    before = data()
    LIBC.sbrk(7 * MIB)  # line: heap
    note("heap", before)


def grown():
    """A list that realloc moves (mremap)."""
    kept, add = [], None
    before = data()
    for _ in range(2000000):
        kept.append(add)  # line: grown
    note("grown", before)
    KEPT["grown"] = kept


def failed():
    """Nothing: there is not so much."""
    before = data()
    LIBC.mmap(None, 1 << 60, mmap.PROT_READ | mmap.PROT_WRITE, PRIVATE, -1, 0)  # line: failed
    note("failed", before)


def thread():
    """Its stack: at a line of threading.py. What else is taken until it runs is others'."""
    threading.stack_size(4 * MIB)
    KEPT["event"] = threading.Event()
    KEPT["thread"] = threading.Thread(target=KEPT["event"].wait, daemon=True)
    KEPT["thread"].start()
    TRUTH["thread"] = {"function": truth.name_of(threading.Thread.start.__code__), "bytes": 4 * MIB}


def drop():
    LIBC.free(KEPT["dropped"])
    TRUTH["dropped"]["bytes"] = 0
    LIBC.munmap(KEPT["halved"] + 2 * MIB, 3 * MIB)
    TRUTH["halved"]["bytes"] = 3 * MIB
    LIBC.madvise(KEPT["halved"], 2 * MIB, 4)  # line: advised
    TRUTH["advised"] = {"line": LINES["advised"], "bytes": 2 * MIB}


def storm(seconds):
    end, cnt = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(100):
            LIBC.munmap(LIBC.mmap(None, 65536, mmap.PROT_READ | mmap.PROT_WRITE, PRIVATE, -1, 0), 65536)  # line: storm
        cnt += 100
    KEPT["after"] = LIBC.mmap(None, 9 * MIB, mmap.PROT_READ | mmap.PROT_WRITE, PRIVATE, -1, 0)
    TRUTH["storm"] = {"line": LINES["storm"], "bytes": 0}
    return cnt


def told(**more):
    return {"file": __file__, "lines": TRUTH, "data": data(), **more}


GROW = (objects, buffer, dropped, private, halved, shared, reserved, heap, grown, failed, thread)


def run():
    began = data()
    for order in truth.orders():
        if order[0] == "grow":
            for one in GROW:
                one()
            truth.tell(told(began=began))
        elif order[0] == "drop":
            drop()
            truth.tell(told(began=began))
        elif order[0] == "storm":
            truth.tell(told(began=began, calls=2 * storm(float(order[1]))))


if __name__ == "__main__":
    sys.setswitchinterval(1)
    run()
