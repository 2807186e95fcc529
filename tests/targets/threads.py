# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Four threads that allocate at the same time, each in a function and on a line of its own.

    go COUNT   each thread keeps COUNT more bytes objects of its own size; all threads begin together
"""
import sys
import threading
import truth

LINES = truth.labels(__file__)
TAIL = b"."


def first(kept, head):
    for i in range(len(kept)):
        kept[i] = head + TAIL  # line: first


def second(kept, head):
    for i in range(len(kept)):
        kept[i] = head + TAIL  # line: second


def third(kept, head):
    for i in range(len(kept)):
        kept[i] = head + TAIL  # line: third


def fourth(kept, head):
    for i in range(len(kept)):
        kept[i] = head + TAIL  # line: fourth


class Worker(threading.Thread):
    """Waits for a round, runs its function, says so."""

    def __init__(self, function, block_bytes, start_line, end_line):
        super().__init__(name=function.__name__, daemon=True)
        self.function = function
        self.head = bytes(block_bytes - sys.getsizeof(b"") - len(TAIL))
        self.start_line = start_line
        self.end_line = end_line
        self.count = 0
        self.kept = []
        self.truth = {"function": function.__name__, "line": LINES[function.__name__], "alloc_cnt": 0, "alloc_bytes": 0}

    def run(self):
        self.truth["tid"] = threading.get_native_id()
        while True:
            self.start_line.wait()
            room = [None] * self.count
            self.function(room, self.head)
            self.kept.append(room)
            self.truth["alloc_cnt"] += self.count
            self.truth["alloc_bytes"] += sum(map(sys.getsizeof, room))
            self.end_line.wait()


def main():
    functions = [first, second, third, fourth]
    start_line = threading.Barrier(len(functions) + 1)
    end_line = threading.Barrier(len(functions) + 1)
    workers = [Worker(function, 100 + 16 * number, start_line, end_line) for number, function in enumerate(functions)]
    for worker in workers:
        worker.start()
    for order in truth.orders():
        for worker in workers:
            worker.count = int(order[1])
        start_line.wait()
        end_line.wait()
        truth.tell({"file": __file__, "threads": [worker.truth for worker in workers]})


main()
