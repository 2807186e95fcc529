# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs another target under tracemalloc: under_tracemalloc.py SCRIPT [ARG...]. Each answer of the target gets a second
truth, `tracemalloc`: {"FILE:LINE": [blocks, bytes]} of what still lives and was allocated on that line, and a third of the
blocks over 512 bytes among them, `tracemalloc_large`.
"""
import os
import runpy
import sys
import tracemalloc
import truth

TELL = truth.tell


def tell(told):
    lives, large = {}, {}
    for trace in tracemalloc.take_snapshot().traces:
        line = f"{os.path.basename(trace.traceback[0].filename)}:{trace.traceback[0].lineno}"
        for of_line in [lives, large] if trace.size > 512 else [lives]:
            blocks, size = of_line.get(line, (0, 0))
            of_line[line] = [blocks + 1, size + trace.size]
    TELL(dict(told, tracemalloc=lives, tracemalloc_large=large))


tracemalloc.start()
truth.tell = tell
sys.argv = sys.argv[1:]
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[0]), run_name="__main__")
