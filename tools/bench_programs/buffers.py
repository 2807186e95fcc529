# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""e: buffers of 1 to 64 MB, every byte written, dropped."""
import body

SIZES_MB = [1, 2, 4, 8, 16, 32, 64]


def fill(turns):
    for _ in range(turns):
        for size in SIZES_MB:
            bytearray(b"x") * (size << 20)


body.main(lambda scale: fill(max(1, int(20 * scale))))
