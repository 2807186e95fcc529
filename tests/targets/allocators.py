# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Replaces its allocators, one way after the other. CPython 3.8 and later, without site.

HOOKS in the environment: the library of allocator_hook.c; without it, no library stands before the allocator.
Protocol, on standard output: `state NAME`, then stands still until a byte comes on standard input; at last `done`.
"""
import ctypes
import os
import tracemalloc

OBJ = 2


class Table(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


def tell(name):
    os.write(1, b"state " + name + b"\n")
    os.read(0, 1) or os._exit(3)


def hook(library, symbol):
    hidden = Table.in_dll(library, "hidden_table")
    ctypes.pythonapi.PyMem_GetAllocator(OBJ, ctypes.byref(hidden))
    before = Table.from_buffer_copy(hidden)
    ctypes.pythonapi.PyMem_SetAllocator(OBJ, ctypes.byref(Table.in_dll(library, symbol)))
    tell(symbol.encode())
    ctypes.pythonapi.PyMem_SetAllocator(OBJ, ctypes.byref(before))


def main():
    tell(b"began")
    tracemalloc.start()
    tell(b"tracemalloc")
    tracemalloc.stop()
    tell(b"stopped")
    if "HOOKS" in os.environ:
        library = ctypes.CDLL(os.environ["HOOKS"])
        hook(library, "hooks")
        hook(library, "secret_hooks")
    os.write(1, b"done\n")


main()
