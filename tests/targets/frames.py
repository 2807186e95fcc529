# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Parks deep in frames of every kind and says which: class body, comprehension, generator, lambda, exec, a callback
called from C, a method, and names that are not ASCII. Python prints its own stack; a tracer must see the same.

    go COUNT BYTES   keeps COUNT more bytes objects of BYTES each, allocated in the leaf frame
"""
import functools
import os
import sys
import truth

LINES = truth.labels(__file__)
KEPT = []


def stack_of(frame):
    """Leaf first."""
    frames = []
    while frame:
        frames.append({"file": frame.f_code.co_filename, "function": truth.name_of(frame.f_code),
                       "line": frame.f_lineno})
        frame = frame.f_back
    return frames


def park():
    size = 0
    for order in truth.orders():
        count, size = int(order[1]), int(order[2]) - sys.getsizeof(b"")
        for _ in range(count):
            KEPT.append(b"x" * size)  # line: leaf
        frames = stack_of(sys._getframe())
        frames[0]["line"] = LINES["leaf"]
        truth.tell({"stack": frames, "count": len(KEPT), "bytes": sum(map(sys.getsizeof, KEPT))})


def größe_der_матрица():
    park()


class Deep:
    """A method, and a property."""

    def method(self):
        größe_der_матрица()

    @property
    def value(self):
        return self.method()


def generator():
    yield 1
    yield from inner_generator()


def inner_generator():
    yield Deep().value


def through_exec():
    source = "def executed():\n    list(generator())\n\n\nexecuted()\n"
    exec(compile(source, os.path.join(os.path.dirname(os.path.abspath(__file__)), "naïve–файл.py"), "exec"),
         {"generator": generator})


def called_from_c(one, other):
    through_exec()
    return one + other


def long_line():
    """More than 127 lines and columns away from its start: both need long forms in the line table."""
    here = (lambda:
            functools.reduce(called_from_c,
                             [1,
                              2]))
    return [here() for _ in range(1)]


def main():
    class Body:
        """A class body is a frame too."""
        attribute = {key: value for key, value in [("key", long_line())]}

    return Body


main()
