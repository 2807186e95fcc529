# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Leaks bytes on one line, in steps, and tells how many it holds: leak.py MEGABYTES_A_STEP SECONDS_A_STEP STEPS."""
import sys
import time

step_bytes = int(sys.argv[1]) << 20
step_s = float(sys.argv[2])
held = []


def leak():
    held.append(b"x" * step_bytes)  # LEAK


for step in range(int(sys.argv[3])):
    leak()
    print("held", len(held) * step_bytes, flush=True)
    time.sleep(step_s)
