# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Calls a library made from native_code.c: native_frames.py LIBRARY.

    NAME SIZES...   calls outer_NAME(SIZES...) on a line of its own; answers with that line
"""
import ctypes
import sys
import truth

LINES = truth.labels(__file__)


def touch(library, *sizes):
    library.outer_touch(*sizes)  # line: touch


def malloc(library, *sizes):
    library.outer_malloc(*sizes)  # line: malloc


def memset(library, *sizes):
    library.outer_memset(*sizes)  # line: memset


def misled(library, *sizes):
    library.outer_misled(*sizes)  # line: misled


def generated(library, *sizes):
    library.outer_generated(*sizes)  # line: generated


def deep(library, *sizes):
    library.outer_deep(*sizes)  # line: deep


def thread(library, *sizes):
    library.outer_thread(*sizes)  # line: thread


def main():
    library = ctypes.CDLL(sys.argv[1])
    calls = {f.__name__: f for f in (touch, malloc, memset, misled, generated, deep, thread)}
    for order in truth.orders():
        calls[order[0]](library, *map(ctypes.c_size_t, map(int, order[1:])))
        truth.tell({"file": __file__, "line": LINES[order[0]]})


main()
