# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What runs while the collector does: collector_frames.py LIBRARY, which is made from native_code.c.

    destructor   frees objects whose destructor is the library's outer_destroy
    finaliser    in a thread: an object's finaliser lets the main thread collect, too, and touches pages then

Each answers with the line that called gc.collect(), and the line that touches pages. Runs on 3.8 and later.
"""
import ctypes
import gc
import mmap
import sys
import threading
import truth

LINES = truth.labels(__file__)
PAGES = 5000
new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def destructor(library):
    cycle = [new_capsule(1, None, ctypes.cast(library.outer_destroy, ctypes.c_void_p)) for _ in range(5)]
    cycle.append(cycle)
    del cycle
    gc.collect()  # line: destructor
    return LINES["destructor"], None


class Slow:
    began, go_on = threading.Event(), threading.Event()
    pages = mmap.mmap(-1, PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def __del__(self):
        self.began.set()
        self.go_on.wait()
        for page in range(PAGES):
            self.pages[page * mmap.PAGESIZE] = 1  # line: pages


def collect_slowly():
    one = Slow()
    one.itself = one
    del one
    gc.collect()  # line: finaliser


def finaliser(_):
    thread = threading.Thread(target=collect_slowly)
    thread.start()
    Slow.began.wait()
    gc.collect()  # the other one runs: this returns at once
    Slow.go_on.set()
    thread.join()
    return LINES["finaliser"], LINES["pages"]


def main():
    gc.disable()
    library = ctypes.CDLL(sys.argv[1])
    for order in truth.orders():
        collects, touches = {"destructor": destructor, "finaliser": finaliser}[order[0]](library)
        truth.tell({"file": __file__, "collects": collects, "touches": touches, "bytes": PAGES * mmap.PAGESIZE})


main()
