# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Makes page faults under every kind of Python frame, and knows each stack.

Order `go ROUNDS`: answers {"stacks": {"stack": pages, ...}}, each stack as the recording's SQL view `stacks` prints it:
"function (file:line);..." from the root to the line that touches the pages. Runs on 3.8 and later.
"""
import collections
import json
import mmap
import sys
import threading

PAGES = 8
QUALIFIED = sys.version_info >= (3, 11)
truth = collections.Counter()
kept = []  # given back at once, a page might be counted with what is given back


def name_of(code):
    return code.co_qualname if QUALIFIED else code.co_name


def stack_above(frame):
    lines = []
    while frame:
        lines.append(f"{name_of(frame.f_code)} ({frame.f_code.co_filename}:{frame.f_lineno})")
        frame = frame.f_back
    return lines[::-1]


def touch(*_):
    """Fresh private pages, each written once, on one line."""
    memory = mmap.mmap(-1, PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    frame = sys._getframe()
    here = f"touch ({frame.f_code.co_filename}:{frame.f_lineno + 4})"
    truth[";".join(stack_above(frame.f_back) + [here])] += PAGES
    at = range(0, PAGES * mmap.PAGESIZE, mmap.PAGESIZE)
    frame = None
    for i in at: memory[i] = 1  # noqa: E701 one line, so that the truth is one line
    kept.append(memory)
    return 0


def in_generator():
    yield touch()
    yield from inner_generator()


def inner_generator():
    yield touch()


async def in_coroutine():
    return await deeper_coroutine()


async def deeper_coroutine():
    return touch()


def run_coroutine():
    try:
        in_coroutine().send(None)
    except StopIteration:
        pass


def in_class_body():
    class Body:
        value = touch()
        nested = [touch() for _ in range(2)]

    return Body


def in_comprehensions():
    [touch() for _ in range(2)]
    {touch() for _ in range(2)}
    {i: touch() for i in range(2)}
    list(touch() for _ in range(2))


def in_callbacks():
    sorted([3, 1, 2], key=touch)
    list(map(touch, range(2)))
    max([1, 2], key=lambda x: touch(x))


class Operators:
    def __init__(self):
        touch()

    def __add__(self, other):
        return touch()

    def __getattr__(self, name):
        return touch()

    @property
    def computed(self):
        return touch()

    def __del__(self):
        touch()


def in_operators():
    one = Operators()
    one + 1
    one.missing
    one.computed
    one = None


def in_exec(round_number):
    """Code objects that come and go at the same address, with names of their own."""
    for i in range(3):
        source = f"def made_{round_number}_{i}():\n" + "\n" * i + "    return touch()\n" + f"made_{round_number}_{i}()\n"
        exec(compile(source, f"<made {round_number} {i}>", "exec"), {"touch": touch})


def recursive(depth):
    return recursive(depth - 1) if depth else touch()


def über_naïve():
    touch()


def long_call():
    touch(
        1,
        recursive(
            2
        ),
    )
    try:
        raise ValueError
    except ValueError:
        touch()
    finally:
        touch()
    with memoryview(b"x"):
        touch()


def everything(round_number):
    list(in_generator())
    run_coroutine()
    in_class_body()
    in_comprehensions()
    in_callbacks()
    in_operators()
    in_exec(round_number)
    recursive(50)
    über_naïve()
    long_call()
    (lambda: touch())()


def go(rounds):
    truth.clear()
    for round_number in range(rounds):
        everything(round_number)
        thread = threading.Thread(target=everything, args=(round_number,))
        thread.start()
        thread.join()


def main():
    print("ready", flush=True)
    for order in sys.stdin:
        go(int(order.split()[1]))
        print(json.dumps({"stacks": dict(truth)}), flush=True)


main()
