# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""One byte of each page of fresh memory: as many page faults a second as a Python loop can make."""
import mmap
import body

PAGES = 16_384  # 64 MiB


def touch(turns):
    for _ in range(turns):
        with mmap.mmap(-1, PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as region:
            for at in range(0, PAGES * mmap.PAGESIZE, mmap.PAGESIZE):
                region[at] = 1


body.main(lambda scale: touch(max(1, int(20 * scale))))
