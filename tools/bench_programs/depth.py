# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Allocates on one line at the bottom of a stack of DEPTH frames: depth.py DEPTH. go SCALE: SCALE times 100,000 blocks."""
import itertools
import sys
import body

HEAD = b"h" * 30
TAIL = b"."
ABOVE = 6  # frames of body.py and this module above dig(), and allocate() below it


def allocate(count):
    for _ in itertools.repeat(None, count):
        HEAD + TAIL


def dig(left, count):
    return dig(left - 1, count) if left > 1 else allocate(count)


body.main(lambda scale: dig(int(sys.argv[1]) - ABOVE, int(100_000 * scale)))
