# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A worker that shares its parent's many objects, and knows how much memory it has for itself alone.

    fork                forks the worker
    collect GENERATION  the worker runs gc.collect(GENERATION)

Answers {"pid", "before", "after"}: the worker's, and bytes of its own before and after. It ends when the parent does.
"""
import gc
import json
import os
import truth

OBJECTS = 300_000


def bytes_of_its_own():
    """Private pages that are clean are its own, too: copied, but not written to."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as lines:
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def work(orders, answers):
    for order in orders:
        told = {"pid": os.getpid(), "before": bytes_of_its_own()}
        if order.split()[0] == "collect":
            gc.collect(int(order.split()[1]))
        told["after"] = bytes_of_its_own()
        print(json.dumps(told), file=answers, flush=True)


def fork():
    order_read, order_write = os.pipe()
    answer_read, answer_write = os.pipe()
    if os.fork() == 0:
        os.close(order_write)
        os.close(answer_read)
        try:
            work(os.fdopen(order_read), os.fdopen(answer_write, "w"))
        finally:
            os._exit(0)
    os.close(order_read)
    os.close(answer_write)
    return os.fdopen(order_write, "w"), os.fdopen(answer_read)


def main():
    gc.disable()
    kept = [[] for _ in range(OBJECTS)]
    gc.collect()  # they are old from now on
    worker = None
    for order in truth.orders():
        if not worker:
            worker = fork()
        print(*order, file=worker[0], flush=True)
        truth.tell(json.loads(worker[1].readline()))
    worker[0].close()
    os.wait()
    del kept


main()
