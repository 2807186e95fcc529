# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""b: two million small dicts and tuples, kept."""
import body


def grow(count):
    kept = []
    for i in range(count // 2):
        kept.append({"id": i})
        kept.append((i, None))
    return kept


body.main(lambda scale: grow(int(2_000_000 * scale)))
