# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Known lines allocate blocks over 512 bytes: as objects, as what lists, dicts and arrays keep inside, and by calling malloc
and its kin themselves.

    grow     every function below that keeps something runs once
    drop     half of `strings`, all of `buffers` and of `arrays` are freed; what was grown in place shrinks
    threads  two threads allocate and free at once, each on a line of its own
    calls    malloc, calloc, realloc, ... through ctypes, also those that fail

The truth of each line in `lines`: blocks allocated and freed since the start, where the line knows. What the interpreter
allocates within lists, dicts and bytearrays is for tracemalloc to tell (under_tracemalloc.py).
"""
import array
import sys
import threading
import truth

LINES = truth.labels(__file__)
TAIL = b"."
HEAD = sys.getsizeof(b"")
KEPT = {}
TRUTH = {}


def add(name, alloc_cnt, block_bytes, free_cnt=0):
    line = TRUTH.setdefault(name, {"line": LINES[name], "alloc_cnt": 0, "alloc_bytes": 0, "free_cnt": 0, "free_bytes": 0})
    line["alloc_cnt"] += alloc_cnt
    line["alloc_bytes"] += alloc_cnt * block_bytes
    line["free_cnt"] += free_cnt
    line["free_bytes"] += free_cnt * block_bytes


def strings(count):
    kept = KEPT["strings"] = [None] * count
    first = bytes(1000 - HEAD - len(TAIL))
    for i in range(count):
        kept[i] = first + TAIL  # line: strings
    add("strings", count, 1000)


def smallest(count):
    kept = KEPT["smallest"] = [None] * count
    first = bytes(513 - HEAD - len(TAIL))
    for i in range(count):
        kept[i] = first + TAIL  # line: smallest
    add("smallest", count, 513)


def too_small(count):
    kept = KEPT["too_small"] = [None] * count
    first = bytes(512 - HEAD - len(TAIL))
    for i in range(count):
        kept[i] = first + TAIL  # line: too_small
    add("too_small", 0, 512)


def buffers(count):
    kept = KEPT["buffers"] = [None] * count
    size = 300000 - HEAD
    for i in range(count):
        kept[i] = bytes(size)  # line: buffers
    add("buffers", count, 300000)


def arrays(count):
    kept = KEPT["arrays"] = [None] * count
    words = array.array("d", [0.0])
    for i in range(count):
        kept[i] = words * 10000  # line: arrays
    add("arrays", count, 80000)


def dropped_at_once(count):
    first = bytes(2000 - HEAD - len(TAIL))
    for _ in range(count):
        first + TAIL  # line: dropped_at_once
    add("dropped_at_once", count, 2000, count)


def grow_list(count):
    kept = KEPT["list"] = []
    for _ in range(count):
        kept.append(None)  # line: list


def grow_dict(count):
    kept = KEPT["dict"] = {}
    for i in range(count):
        kept[i] = None  # line: dict


def grow_bytearray(count):
    kept = KEPT["bytearray"] = bytearray()
    more = bytes(100)
    for _ in range(count):
        kept.extend(more)  # line: bytearray


def grow_set(count):
    kept = KEPT["set"] = set()
    for i in range(count):
        kept.add(i)  # line: set


def grow():
    strings(3000)
    smallest(700)
    too_small(700)
    buffers(40)
    arrays(50)
    dropped_at_once(5000)
    grow_list(200000)
    grow_dict(20000)
    grow_bytearray(20000)
    grow_set(10000)


def drop():
    half = len(KEPT["strings"]) // 2
    del KEPT["strings"][:half]
    add("strings", 0, 1000, half)
    add("buffers", 0, 300000, len(KEPT["buffers"]))
    KEPT["buffers"].clear()
    add("arrays", 0, 80000, len(KEPT["arrays"]))
    KEPT["arrays"].clear()
    del KEPT["list"][1000:]  # line: shrunk_list
    del KEPT["bytearray"][100:]  # line: shrunk_bytearray


def one_thread(count):
    first = bytes(1500 - HEAD - len(TAIL))
    for _ in range(count):
        first + TAIL  # line: one_thread


def other_thread(count):
    first = bytes(700 - HEAD - len(TAIL))
    kept = [None] * count
    for i in range(count):
        kept[i] = first + TAIL  # line: other_thread
    KEPT["threads"] = kept


def threads(count=5000):
    both = [threading.Thread(target=function, args=(count,)) for function in (one_thread, other_thread)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    add("one_thread", count, 1500, count)
    add("other_thread", count, 700)


class Calls:
    """Malloc and its kin, each call on a line of its own."""

    def __init__(self):
        import ctypes
        libc = ctypes.PyDLL(None)  # one that keeps the GIL: 3.15 forgets who a thread is that has let it go
        self.word, self.size, self.reference = ctypes.c_void_p, ctypes.c_size_t, ctypes.byref
        for name, count in (("malloc", 1), ("calloc", 2), ("aligned_alloc", 2), ("memalign", 2), ("valloc", 1)):
            setattr(self, name, self.function(libc, name, [self.size] * count))
        self.realloc = self.function(libc, "realloc", [self.word, self.size])
        self.reallocarray = self.function(libc, "reallocarray", [self.word, self.size, self.size])
        self.posix_memalign = self.function(libc, "posix_memalign", [ctypes.POINTER(self.word), self.size, self.size],
                                            ctypes.c_int)
        self.free = self.function(libc, "free", [self.word], None)

    def function(self, libc, name, arguments, result=False):
        function = libc[name]
        function.argtypes, function.restype = arguments, self.word if result is False else result
        return function

    def keep(self):
        """Blocks that stay."""
        self.malloc(4000)  # line: malloc
        self.calloc(70, 100)  # line: calloc
        self.aligned_alloc(4096, 8192)  # line: aligned_alloc
        self.memalign(64, 6000)  # line: memalign
        self.valloc(5000)  # line: valloc
        out = self.word()
        self.posix_memalign(self.reference(out), 128, 3000)  # line: posix_memalign
        self.realloc(None, 2500)  # line: realloc_of_null
        self.reallocarray(None, 30, 100)  # line: reallocarray
        for name, size in (("malloc", 4000), ("calloc", 7000), ("aligned_alloc", 8192), ("memalign", 6000),
                           ("valloc", 5000), ("posix_memalign", 3000), ("realloc_of_null", 2500), ("reallocarray", 3000)):
            add(name, 1, size)

    def resize(self):
        """Each block is resized on another line than it was allocated on."""
        block = self.malloc(600)  # line: before_growing
        block = self.realloc(block, 900000)  # line: grown
        add("before_growing", 1, 600, 1)
        add("grown", 1, 900000)
        block = self.malloc(70000)  # line: before_shrinking
        self.realloc(block, 520)  # line: shrunk
        add("before_shrinking", 1, 70000, 1)
        add("shrunk", 1, 520)
        block = self.malloc(5200)  # line: before_getting_small
        self.realloc(block, 100)  # line: got_small
        add("before_getting_small", 1, 5200, 1)
        add("got_small", 0, 100)
        block = self.malloc(100)
        self.realloc(block, 5300)  # line: got_large
        add("got_large", 1, 5300)
        block = self.malloc(5400)  # line: before_array
        self.reallocarray(block, 60, 100)  # line: array
        add("before_array", 1, 5400, 1)
        add("array", 1, 6000)
        block = self.malloc(5500)  # line: freed_by_realloc
        self.realloc(block, 0)
        add("freed_by_realloc", 1, 5500, 1)

    def fail(self):
        """No block comes of it, and what was there stays."""
        most = (1 << 63) - 1
        self.malloc(most)  # line: malloc_fails
        self.calloc(1 << 40, 1 << 40)  # line: calloc_overflows
        self.calloc(1 << 33, 1 << 31)  # line: calloc_overflows_to_nothing
        self.calloc(1 << 20, 1 << 42)  # line: calloc_fails
        block = self.malloc(7700)  # line: realloc_failed
        self.realloc(block, most)  # line: realloc_fails
        self.reallocarray(block, 1 << 40, 1 << 40)  # line: reallocarray_overflows
        out = self.word()
        self.posix_memalign(self.reference(out), 3, 5000)  # line: posix_memalign_fails
        self.free(None)
        for name in ("malloc_fails", "calloc_overflows", "calloc_overflows_to_nothing", "calloc_fails", "realloc_fails",
                     "reallocarray_overflows", "posix_memalign_fails"):
            add(name, 0, 0)
        add("realloc_failed", 1, 7700)

    def many(self, count):
        for _ in range(count):
            block = self.malloc(1 << 20)  # line: mapped
            self.free(block)
        add("mapped", count, 1 << 20, count)


def main():
    for order in truth.orders():
        if order == ["grow"]:
            grow()
        elif order == ["drop"]:
            drop()
        elif order == ["threads"]:
            threads()
        elif order == ["calls"]:
            calls = Calls()
            calls.keep()
            calls.resize()
            calls.fail()
            calls.many(300)
        truth.tell({"file": __file__, "labels": LINES, "lines": TRUTH})


main()
