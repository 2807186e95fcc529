# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Leaves its parent behind, as daemons do, or stays.

    leave N     forks N times; each time the parent ends at once, and the child answers the next order
    collect N   runs the collector so often
"""
import gc
import os
import truth


def leave(times):
    for _ in range(times):
        if os.fork():
            os._exit(0)


def collect(times):
    for _ in range(times):
        gc.collect()


for name, times in truth.orders():
    {"leave": leave, "collect": collect}[name](int(times))
    truth.tell({"pid": os.getpid(), name: int(times)})
