# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""a: five million object() made and dropped, five frames deep."""
import body


def make(count):
    for _ in range(count):
        object()


def third(count):
    make(count)


def second(count):
    third(count)


body.main(lambda scale: second(int(5_000_000 * scale)))
