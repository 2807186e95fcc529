# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Programs that make the resident set grow in different ways, for the resident signal under a budget.

    PROGRAM STEPS    runs so many steps of it, and keeps what is to be kept

Everything is the same in each run. What is kept is spread over all steps; what is not makes most of the page faults, as in
services it does. Each line that keeps something maps memory for it, so that it is nobody's who touched it first; so the answer
tells by line what is held.
"""
import ctypes
import mmap

import truth

PAGE = mmap.PAGESIZE
FILL = memoryview(b"x" * (1024 * PAGE))  # a part of it takes no memory, which would be the line's, too
KEPT = {}


def region(pages):
    return mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def temporaries():
    """Some 2,000 page faults, in memory that is given back at once."""
    return len([i for i in range(200000)])  # line: temporary


def keep(kept, pages):
    kept.append(region(pages))
    return kept[-1]


def leak(step, kept):
    """One line leaks, another makes a hundred times as much for a moment."""
    keep(kept, 16).write(FILL[:16 * PAGE])  # line: leak
    temporaries()


def lines(step, kept):
    """Ten lines that leak, the largest ten times as much as the smallest."""
    keep(kept, 10).write(FILL[:10 * PAGE])  # line: ten
    keep(kept, 9).write(FILL[:9 * PAGE])  # line: nine
    keep(kept, 8).write(FILL[:8 * PAGE])  # line: eight
    keep(kept, 7).write(FILL[:7 * PAGE])  # line: seven
    keep(kept, 6).write(FILL[:6 * PAGE])  # line: six
    keep(kept, 5).write(FILL[:5 * PAGE])  # line: five
    keep(kept, 4).write(FILL[:4 * PAGE])  # line: four
    keep(kept, 3).write(FILL[:3 * PAGE])  # line: three
    keep(kept, 2).write(FILL[:2 * PAGE])  # line: two
    keep(kept, 1).write(FILL[:PAGE])  # line: one
    temporaries()


def moved(step, kept):
    """A list that grows, and is moved by realloc when it does. Not where the temporaries' lists were: that would be theirs."""
    if not kept:
        ctypes.CDLL(None).mallopt(-3, 64 << 10)  # M_MMAP_THRESHOLD, and no more by itself
        kept.append([])
    for _ in range(8000):
        kept[0].append(None)  # line: list
    temporaries()


def cache(step, kept):
    """Two hundred buffers, the oldest of which is replaced, beside a line that leaks."""
    keep(kept, 2).write(FILL[:2 * PAGE])  # line: leak_beside
    buffers = KEPT.setdefault("buffers", {})
    if step % 200 in buffers:
        buffers.pop(step % 200).close()
    buffers[step % 200] = region(100)
    buffers[step % 200].write(FILL[:100 * PAGE])  # line: buffer
    temporaries()


def phases(step, kept):
    """What leaks does so for a tenth of the time, a lot."""
    if step % 500 < 50:
        keep(kept, 40).write(FILL[:40 * PAGE])  # line: burst
    else:
        keep(kept, 2).write(FILL[:2 * PAGE])  # line: steady
    temporaries()


def large(step, kept):
    """Large memory for a moment, and sometimes for good."""
    big = region(1024)
    big.write(FILL)  # line: big
    if step % 50 == 49:
        kept.append(big)
    else:
        big.close()
    keep(kept, 4).write(FILL[:4 * PAGE])  # line: small


PROGRAMS = {one.__name__: one for one in (leak, lines, moved, cache, phases, large)}


def held(program):
    """{line: bytes}"""
    label = truth.labels(__file__)
    kept = [len(one) for one in KEPT[program]]
    if program == "moved":
        return {label["list"]: 8 * kept[0]}  # touched; more is allocated
    if program == "cache":
        return {label["leak_beside"]: sum(kept), label["buffer"]: sum(map(len, KEPT["buffers"].values()))}
    if program == "lines":
        names = ("ten", "nine", "eight", "seven", "six", "five", "four", "three", "two", "one")
        return {label[name]: sum(kept[i::10]) for i, name in enumerate(names)}
    by_size = {16: "leak", 40: "burst", 2: "steady", 1024: "big", 4: "small"}
    return {label[by_size[pages]]: size * kept.count(size) for pages in by_size for size in [pages * PAGE] if size in kept}


def main():
    for name, steps in truth.orders():
        kept = KEPT.setdefault(name, [])
        for step in range(int(steps)):
            PROGRAMS[name](step, kept)
        truth.tell({"program": name, "file": __file__, "held": held(name)})


main()
