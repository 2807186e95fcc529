# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Calls of malloc and free from below a Python stack: malloc_pairs.py LIBRARY, which was made from malloc_pairs.c.

    pairs BYTES COUNT DEPTH   answers {"ns": CPU time of a pair}, the median of five runs, with so many frames of Python
"""
import ctypes
import json
import statistics
import sys

LIBRARY = ctypes.PyDLL(sys.argv[1])
LIBRARY.ns_per_pair.restype = ctypes.c_double
LIBRARY.ns_per_pair.argtypes = [ctypes.c_size_t, ctypes.c_long]


def below(depth, size, count):
    if depth > 1:
        return below(depth - 1, size, count)
    return LIBRARY.ns_per_pair(size, count)


def main():
    print("ready", flush=True)
    for line in sys.stdin:
        size, count, depth = map(int, line.split()[1:])
        print(json.dumps({"ns": statistics.median(below(depth, size, count) for _ in range(5))}), flush=True)


main()
