# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Threads of C that allocate at once: malloc_threads.py LIBRARY, which was made from malloc_threads.c.

    go THREADS TURNS   answers with blocks over 512 bytes: allocated, and left
"""
import ctypes
import sys
import truth


class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("alloc_cnt", "alloc_bytes", "live_cnt", "live_bytes")]


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.stress.argtypes = [ctypes.c_uint, ctypes.c_uint64, ctypes.POINTER(Told)]
    library.stress.restype = None
    for order in truth.orders():
        told = Told()
        library.stress(int(order[1]), int(order[2]), ctypes.byref(told))
        truth.tell({name: getattr(told, name) for name, _ in Told._fields_})


main()
