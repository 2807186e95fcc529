# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""f: a function of ten lines, called again and again."""
import body


@body.profile
def ten_lines(number):
    text = str(number)
    pair = (number, text)
    values = [number, number + 1, number + 2]
    total = sum(values)
    values.append(total)
    names = {"text": text, "total": total}
    joined = text + "-" + str(total)
    names["joined"] = joined
    pair = (pair, names)
    return len(joined) + len(pair)


def call(count):
    for number in range(count):
        ten_lines(number)


body.main(lambda scale: call(int(800_000 * scale)))
