# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Calls of an allocator itself, each kind on a line of its own: for the exact signal.

    calls.py [object|raw|raw_without_gil]   which one: PyObject_Malloc, or PyMem_RawMalloc and its like

    go COUNT        every function below runs, COUNT blocks each; what is left lives
    threads COUNT   four threads at once, COUNT blocks each
    inner COUNT     COUNT locks and COUNT compressors, for which the interpreter asks the raw domain itself
    drop            all of it is freed

The truth of each line: blocks and bytes that live. What ctypes needs for a call it gives back on the same line. Blocks are
resized on other lines than those that made them, and then live there. Some sizes are of pools, some beyond (512 bytes);
COUNT should be larger than a pool, so that pools are opened.
"""
import _thread
import array
import collections
import ctypes
import sys
import threading
import tracemalloc
import truth
import zlib

LINES = truth.labels(__file__)
TRUTH = {}
KEPT = {}
DOMAIN = sys.argv[1] if len(sys.argv) > 1 else "object"
API = ctypes.CDLL(None) if DOMAIN == "raw_without_gil" else ctypes.pythonapi
MALLOC, CALLOC, REALLOC, FREE = (getattr(API, ("PyObject_" if DOMAIN == "object" else "PyMem_Raw") + name)
                                 for name in ("Malloc", "Calloc", "Realloc", "Free"))
MALLOC.argtypes, MALLOC.restype = [ctypes.c_size_t], ctypes.c_void_p
CALLOC.argtypes, CALLOC.restype = [ctypes.c_size_t, ctypes.c_size_t], ctypes.c_void_p
REALLOC.argtypes, REALLOC.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p
FREE.argtypes, FREE.restype = [ctypes.c_void_p], None
TOO_MUCH = 1 << 62


def at(label, count, block_bytes):
    TRUTH[label] = {"label": label, "line": LINES[label], "count": count, "bytes": count * block_bytes}


def blocks(name, count):
    """Room for addresses; an int that is one lives no longer than its call."""
    kept = KEPT[name] = array.array("Q", bytes(8 * count))
    return kept


def made(count):
    kept = blocks("made", count)
    for i in range(count):
        kept[i] = MALLOC(208)  # line: made
    at("made", count, 208)


def made_large(count):
    kept = blocks("made_large", count)
    for i in range(count):
        kept[i] = MALLOC(5000)  # line: made_large
    at("made_large", count, 5000)


def made_empty(count):
    kept = blocks("made_empty", count)
    for i in range(count):
        kept[i] = MALLOC(0)  # line: made_empty
    at("made_empty", count, 0)


def zeroed(count):
    kept = blocks("zeroed", count)
    for i in range(count):
        kept[i] = CALLOC(3, 80)  # line: zeroed
    at("zeroed", count, 240)


def zeroed_large(count):
    kept = blocks("zeroed_large", count)
    for i in range(count):
        kept[i] = CALLOC(30, 200)  # line: zeroed_large
    at("zeroed_large", count, 6000)


def resized_from_nothing(count):
    kept = blocks("resized_from_nothing", count)
    for i in range(count):
        kept[i] = REALLOC(None, 144)  # line: resized_from_nothing
    at("resized_from_nothing", count, 144)


def resize(name, label, first_bytes, then_bytes, count):
    """One block after the other, so that the allocator's state changes in between. The loop's line is no line of the
    truth: the blocks that it makes are all resized."""
    kept = blocks(name, count)
    for i in range(count):
        kept[i] = MALLOC(first_bytes)
    RESIZE[label](kept, then_bytes)
    at(label, count, then_bytes)


def grown(kept, to_bytes):
    for i in range(len(kept)):
        kept[i] = REALLOC(kept[i], to_bytes)  # line: grown


def grown_out(kept, to_bytes):
    for i in range(len(kept)):
        kept[i] = REALLOC(kept[i], to_bytes)  # line: grown_out


def grown_large(kept, to_bytes):
    for i in range(len(kept)):
        kept[i] = REALLOC(kept[i], to_bytes)  # line: grown_large


def shrunk_in_place(kept, to_bytes):
    for i in range(len(kept)):
        kept[i] = REALLOC(kept[i], to_bytes)  # line: shrunk_in_place


def shrunk(kept, to_bytes):
    for i in range(len(kept)):
        kept[i] = REALLOC(kept[i], to_bytes)  # line: shrunk


def shrunk_large(kept, to_bytes):
    for i in range(len(kept)):
        kept[i] = REALLOC(kept[i], to_bytes)  # line: shrunk_large


RESIZE = {function.__name__: function for function in (grown, grown_out, grown_large, shrunk_in_place, shrunk,
                                                       shrunk_large)}


def failed(count):
    """A block that could not grow lives on where it was made."""
    kept = blocks("failed", count)
    for i in range(count):
        kept[i] = MALLOC(176)  # line: failed
    for i in range(count):
        assert REALLOC(kept[i], TOO_MUCH) is None
        assert MALLOC(TOO_MUCH) is None
        assert CALLOC(TOO_MUCH, 1) is None
    at("failed", count, 176)


def freed(count):
    kept = array.array("Q", bytes(8 * count))
    for i in range(count):
        kept[i] = MALLOC(112 if i % 2 else 1120)  # line: freed
    for address in kept:
        FREE(address)
        FREE(None)
    at("freed", 0, 0)


def dropped_at_once(count):
    for _ in range(count):
        FREE(MALLOC(96))  # line: dropped_at_once
    at("dropped_at_once", 0, 0)


def in_thread(kept, others, begin):
    """Blocks that move while other threads take and free some of the same size; and one that another thread frees."""
    begin.wait()
    for i in range(len(kept)):
        kept[i] = MALLOC(600)
        kept[i] = REALLOC(kept[i], 1200)
        assert REALLOC(kept[i], TOO_MUCH) is None
        kept[i] = REALLOC(kept[i], 700 + i % 3)  # line: in_threads
        others.append(MALLOC(700))
        FREE(others.popleft())


def threads(count):
    begin, others = threading.Barrier(4), collections.deque(MALLOC(700) for _ in range(8))
    all_of_them = [threading.Thread(target=in_thread, args=(blocks(f"thread {i}", count), others, begin)) for i in range(4)]
    for one in all_of_them:
        one.start()
    for one in all_of_them:
        one.join()
    for address in others:
        FREE(address)
    at("in_threads", 4 * count, 0)
    TRUTH["in_threads"]["bytes"] = 4 * sum(700 + i % 3 for i in range(count))


def cost_of_lock():
    """[blocks, bytes]: the interpreter's own words, before it is recorded. Some versions ask the raw domain for a semaphore."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    locks = [None] * 100
    for i in range(100):
        locks[i] = _thread.allocate_lock()  # line: probe_locks
    found = [one for one in tracemalloc.take_snapshot().statistics("lineno")
             if (one.traceback[0].filename, one.traceback[0].lineno) == (__file__, LINES["probe_locks"])]
    if not was_tracing:
        tracemalloc.stop()
    return found[0].count // 100, found[0].size // 100


LOCK_BLOCKS, LOCK_BYTES = cost_of_lock()


def inner(count):
    locks = KEPT["locks"] = [None] * count
    for i in range(count):
        locks[i] = _thread.allocate_lock()  # line: locks
    at("locks", count, LOCK_BYTES)
    TRUTH["locks"]["count"] *= LOCK_BLOCKS
    compressors = KEPT["compressors"] = [None] * count
    for i in range(count):
        compressors[i] = zlib.compressobj()  # line: compressors
    at("compressors", count, 4 * 65536)  # deflateInit: at least its window, two tables and a buffer


def go(count):
    for function in (made, made_large, made_empty, zeroed, zeroed_large, resized_from_nothing, failed, freed,
                     dropped_at_once):
        function(count)
    resize("grown", "grown", 64, 320, count)
    resize("grown_out", "grown_out", 400, 4000, count)
    resize("grown_large", "grown_large", 1000, 9000, count)
    resize("shrunk_in_place", "shrunk_in_place", 512, 480, count)
    resize("shrunk", "shrunk", 512, 48, count)
    resize("shrunk_large", "shrunk_large", 8000, 600, count)


def drop():
    for kept in KEPT.values():
        for address in kept if isinstance(kept, array.array) else ():
            FREE(address)
    KEPT.clear()
    for line in TRUTH.values():
        line["count"] = line["bytes"] = 0


def main():
    for order in truth.orders():
        if order[0] == "go":
            go(int(order[1]))
        elif order[0] == "threads":
            threads(int(order[1]))
        elif order[0] == "inner":
            inner(int(order[1]))
        elif order[0] == "drop":
            drop()
        truth.tell({"file": __file__, "lines": list(TRUTH.values())})


main()
