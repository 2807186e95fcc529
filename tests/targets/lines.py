# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Known lines allocate known numbers of bytes objects of known sizes: for the exact signal.

    go     every function below runs once; what is kept stays
    drop   half of what `small` and all of what `large` kept is freed

The truth of each line: blocks and bytes asked of the allocator and freed since the start. A bytes object is one block
of sys.getsizeof() bytes: `HEAD + TAIL` is one PyObject_Malloc and nothing else (bytes_concat in Objects/bytesobject.c),
`bytes(n)` one PyObject_Calloc beside an argument tuple that comes from the free list once it was warm. Loops stand on
lines of their own because their counters allocate too.
"""
import sys
import truth

LINES = truth.labels(__file__)
TAIL = b"."
KEPT = {}
TRUTH = {}


def head(block_bytes):
    """What HEAD must be for HEAD + TAIL to be a block of this many bytes."""
    return bytes(block_bytes - sys.getsizeof(b"") - len(TAIL))


def small(count):
    kept = KEPT["small"] = [None] * count
    first = head(64)
    for i in range(count):
        kept[i] = first + TAIL  # line: small


def top_of_pymalloc(count):
    kept = KEPT["top_of_pymalloc"] = [None] * count
    first = head(512)
    for i in range(count):
        kept[i] = first + TAIL  # line: top_of_pymalloc


def beyond_pymalloc(count):
    kept = KEPT["beyond_pymalloc"] = [None] * count
    first = head(513)
    for i in range(count):
        kept[i] = first + TAIL  # line: beyond_pymalloc


def large(count):
    kept = KEPT["large"] = [None] * count
    first = head(200000)
    for i in range(count):
        kept[i] = first + TAIL  # line: large


def zeroed(count):
    kept = KEPT["zeroed"] = [None] * count
    size = 1000 - sys.getsizeof(b"")
    bytes(size)
    for i in range(count):
        kept[i] = bytes(size)  # line: zeroed


def dropped_at_once(count):
    first = head(128)
    for _ in range(count):
        first + TAIL  # line: dropped_at_once


COUNTS = [(small, 5000, 64), (top_of_pymalloc, 700, 512), (beyond_pymalloc, 300, 513), (large, 20, 200000),
          (zeroed, 400, 1000), (dropped_at_once, 3000, 128)]


def add(name, count, block_bytes, freed=0):
    line = TRUTH.setdefault(name, {"function": name, "line": LINES[name], "block_bytes": block_bytes, "alloc_cnt": 0,
                                   "alloc_bytes": 0, "free_cnt": 0, "free_bytes": 0})
    line["alloc_cnt"] += count
    line["alloc_bytes"] += count * block_bytes
    line["free_cnt"] += freed
    line["free_bytes"] += freed * block_bytes


def go():
    for function, count, block_bytes in COUNTS:
        function(count)
        name = function.__name__
        if name in KEPT:
            assert {sys.getsizeof(block) for block in KEPT[name]} == {block_bytes}
        add(name, count, block_bytes, 0 if name in KEPT else count)


def drop():
    half = len(KEPT["small"]) // 2
    del KEPT["small"][:half]
    add("small", 0, 64, half)
    add("large", 0, 200000, len(KEPT["large"]))
    KEPT["large"].clear()


def main():
    go_done = False
    for order in truth.orders():
        if order == ["go"] and not go_done:
            go()
            go_done = True
        elif order == ["drop"] and go_done:
            drop()
        truth.tell({"file": __file__, "lines": list(TRUTH.values())})


main()
