# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs another target under tracemalloc: under_tracemalloc.py SCRIPT [ARG...]. Each answer of the target gets a second
truth, `tracemalloc`: {"FILE:LINE": [blocks, bytes]} of what still lives and was allocated on that line.
"""
import os
import runpy
import sys
import tracemalloc
import truth

TELL = truth.tell


def tell(told):
    lives = {}
    for one in tracemalloc.take_snapshot().statistics("lineno"):
        lives[f"{os.path.basename(one.traceback[0].filename)}:{one.traceback[0].lineno}"] = [one.count, one.size]
    TELL(dict(told, tracemalloc=lives))


tracemalloc.start()
truth.tell = tell
sys.argv = sys.argv[1:]
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[0]), run_name="__main__")
