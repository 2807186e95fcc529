# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Prints line tables and what the interpreter itself makes of them, for tests/unit/test_linetable.c.

One record per code object on standard output, little-endian: first line (i32), bytes of the table (u32), count of code
units (u32), the table, and the line of each code unit (i32, -1 for none). Sources: a part of the standard library, and
programs made to have what it lacks: large steps, steps back, large code, instructions without a line.
"""
import ast
import dis
import os
import random
import struct
import sys

MAX_CODES = 5000
FAR = 2 ** 30 if sys.version_info >= (3, 11) else 2 ** 15


def lines_of(code):
    units = len(code.co_code) // 2
    lines = [-1] * units
    if hasattr(code, "co_lines"):
        for start, end, line in code.co_lines():
            for unit in range(start // 2, end // 2):
                lines[unit] = -1 if line is None else line
    else:
        starts = dict(dis.findlinestarts(code))
        line = code.co_firstlineno
        for unit in range(units):
            line = lines[unit] = starts.get(unit * 2, line)
    return lines


def table_of(code):
    return code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab


def codes_in(code):
    yield code
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            yield from codes_in(const)


def library():
    folder = os.path.dirname(os.__file__)
    names = sorted(n for n in os.listdir(folder) if n.endswith(".py"))
    random.Random(8).shuffle(names)
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as f:
                yield compile(f.read(), name, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError):
            pass


def made():
    rng = random.Random(3)
    for size in (1, 10, 300):
        gaps = "".join("x%d = f(%d)\n%s" % (i, i, "\n" * rng.choice((0, 1, 100, 127, 128, 129, 300))) for i in range(size))
        yield compile(gaps, "gaps", "exec")
        yield compile("x = [" + ", ".join("f(a, %d)" % i for i in range(size)) + "]\n", "wide", "exec")
        tree = ast.parse("def f(a):\n" + "    a = f(a, a)\n" * size)
        for node in ast.walk(tree):
            if hasattr(node, "lineno"):
                # Up to 3.10 a step costs two bytes of table per 127 lines, and the compiler has its limits.
                node.lineno = node.end_lineno = rng.choice((1, 2, 1000, 30000, FAR))
        yield compile(tree, "jumps", "exec")
    yield compile("def f():\n  try:\n    with a as b:\n      return 1\n  finally:\n    g()\n"
                  "async def h():\n  async with x:\n    async for y in z:\n      await y\n  while 1:\n    pass\n",
                  "no line", "exec")


def main():
    out = sys.stdout.buffer
    count = 0
    for source in (made, library):
        for module in source():
            for code in codes_in(module):
                table, lines = table_of(code), lines_of(code)
                out.write(struct.pack("<iII", code.co_firstlineno, len(table), len(lines)))
                out.write(table)
                out.write(struct.pack("<%di" % len(lines), *lines))
                count += 1
            if count >= MAX_CODES:
                return


main()
