# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A prefork server: workers forked from one parent, each allocating on a line of its own.

    fork           forks four workers; the truth names their pids (as this process sees them)
    go COUNT BYTES each worker keeps COUNT more bytes objects of BYTES each, every page written to

Workers end when the parent does.
"""
import json
import os
import sys
import truth

LINES = truth.labels(__file__)


def north(kept, size, count):
    for _ in range(count):
        kept.append(b"n" * size)  # line: north


def east(kept, size, count):
    for _ in range(count):
        kept.append(b"e" * size)  # line: east


def south(kept, size, count):
    for _ in range(count):
        kept.append(b"s" * size)  # line: south


def west(kept, size, count):
    for _ in range(count):
        kept.append(b"w" * size)  # line: west


def work(function, orders, answers):
    """A worker's life: orders from a pipe until it closes."""
    kept = []
    told = {"pid": os.getpid(), "function": function.__name__, "line": LINES[function.__name__], "count": 0, "bytes": 0}
    for order in orders:
        count, block_bytes = map(int, order.split())
        function(kept, block_bytes - sys.getsizeof(b""), count)
        told["count"] += count
        told["bytes"] += sum(map(sys.getsizeof, kept[-count:]))
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def fork(function, workers):
    """Forks one worker; the parent keeps a pipe each way."""
    order_read, order_write = os.pipe()
    answer_read, answer_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        # A sibling's pipe held open here would keep that sibling alive.
        for worker in workers:
            worker["orders"].close()
            worker["answers"].close()
        os.close(order_write)
        os.close(answer_read)
        try:
            work(function, os.fdopen(order_read), os.fdopen(answer_write, "w"))
        finally:
            os._exit(0)
    os.close(order_read)
    os.close(answer_write)
    return {"pid": pid, "orders": os.fdopen(order_write, "w"), "answers": os.fdopen(answer_read)}


def main():
    workers = []
    for order in truth.orders():
        if order == ["fork"]:
            for function in (north, east, south, west):
                workers.append(fork(function, workers))
            truth.tell({"file": __file__, "workers": [worker["pid"] for worker in workers]})
        elif order[:1] == ["go"]:
            for worker in workers:
                print(order[1], order[2], file=worker["orders"], flush=True)
            truth.tell({"file": __file__, "workers": [json.loads(worker["answers"].readline()) for worker in workers]})
    for worker in workers:
        worker["orders"].close()
        os.waitpid(worker["pid"], 0)


main()
