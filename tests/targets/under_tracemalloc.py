# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs another target under tracemalloc: under_tracemalloc.py SCRIPT [ARG...]. Each answer of the target gets a second
truth, `tracemalloc`: {"FILE:LINE": [blocks, bytes]} of what still lives and was allocated on that line, and two more: of the
blocks over 512 bytes among them, `tracemalloc_large`, and of those that pymalloc serves, `tracemalloc_small`.
"""
import os
import runpy
import sys
import tracemalloc
import truth

TELL = truth.tell


def by_line(traces):
    lives = {}
    for trace in traces:
        frame = trace.traceback[0]
        blocks_bytes = lives.setdefault(f"{os.path.basename(frame.filename)}:{frame.lineno}", [0, 0])
        blocks_bytes[0] += 1
        blocks_bytes[1] += trace.size
    return lives


def tell(told):
    traces = list(tracemalloc.take_snapshot().traces)
    TELL(dict(told, tracemalloc=by_line(traces), tracemalloc_large=by_line(one for one in traces if one.size > 512),
             tracemalloc_small=by_line(one for one in traces if one.size <= 512)))


tracemalloc.start()
truth.tell = tell
sys.argv = sys.argv[1:]
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[0]), run_name="__main__")
