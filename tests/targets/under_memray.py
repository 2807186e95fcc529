# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs another target under memray, whose hook stands before Python's allocators then: under_memray.py FILE SCRIPT [ARG...]"""
import os
import runpy
import sys

import memray

FILE, SCRIPT, *ARGS = sys.argv[1:]
sys.argv = [SCRIPT, *ARGS]
with memray.Tracker(FILE, trace_python_allocators=True):
    runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), SCRIPT), run_name="__main__")
