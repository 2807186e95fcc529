# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Programs that make the resident set grow in different ways, for the resident signal under a budget.

    PROGRAM STEPS ROUNDS    runs so many steps of it, keeps what is to be kept, and computes so long after each step

What each line holds is known from the same order recorded without a budget: everything is the same in each run. What is kept
is spread over all steps; what is not makes most of the page faults, as in services it does.
"""
import mmap
import truth

KEPT = {}
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
FILL = b"x" * (10 * mmap.PAGESIZE)


def compute(rounds):
    """Allocates nothing: numbers up to 256 are there already."""
    n = 1
    for _ in range(rounds // 250):
        for _ in range(250):
            n = n * 5 & 31
    return n


def leak(step, kept):
    """One line leaks, another makes two hundred times as much for a moment."""
    kept.append(bytearray(b"x" * 65536))
    return len([i for i in range(200000)])


def lines(step, kept):
    """Ten lines that leak memory mapped for it, the largest ten times as much as the smallest, and one that keeps nothing."""
    kept.append(mmap.mmap(-1, 10 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:10 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 9 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:9 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 8 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:8 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 7 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:7 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 6 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:6 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 5 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:5 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 4 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:4 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 3 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:3 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 2 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:2 * mmap.PAGESIZE])
    kept.append(mmap.mmap(-1, 1 * mmap.PAGESIZE, PRIVATE)), kept[-1].write(FILL[:1 * mmap.PAGESIZE])
    return len([i for i in range(200000)])


def moved(step, kept):
    """A list that grows, and is moved by realloc when it does, beside one that is made anew in each step."""
    if not kept:
        kept.append([])
    for _ in range(8000):
        kept[0].append(None)
    return len([i for i in range(200000)])


def cache(step, kept):
    """A thousand buffers, the oldest of which is replaced."""
    if len(kept) < 1000:
        kept.append(bytearray(b"x" * 100000))
    else:
        kept[step % 1000] = bytearray(b"y" * 100000)
    return len([i for i in range(100000)])


def objects(step, kept):
    """Small objects, in pymalloc's arenas."""
    for i in range(200):
        kept.append({"step": step, "i": i})
    return len([str(i) for i in range(60000)])


def buffers(step, kept):
    """Large memory for a moment, and sometimes a large one for good."""
    big = bytearray(b"x" * (4 << 20))
    if step % 50 == 49:
        kept.append(big)
    kept.append(bytearray(b"z" * 20000))
    return len(big)


PROGRAMS = {one.__name__: one for one in (leak, lines, moved, cache, objects, buffers)}


def run(program, steps, rounds):
    kept = KEPT.setdefault(program, [])
    one = PROGRAMS[program]
    for step in range(steps):
        one(step, kept)
        compute(rounds)


def main():
    for name, *numbers in truth.orders():
        run(name, *map(int, numbers))
        truth.tell({"program": name, "file": __file__})


main()
