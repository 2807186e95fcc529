# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Sets the collector as asked; the truth is what module gc says of it then.

    disable, enable     gc.disable(), gc.enable()
    freeze COUNT        makes COUNT lists, then gc.freeze()
    fork COUNT          forks COUNT workers, of which the first calls gc.unfreeze(); the truth is their pids

Workers end when this process does.
"""
import gc
import os
import truth

KEPT = []


def state():
    return {"enabled": gc.isenabled(), "thresholds": list(gc.get_threshold()), "counts": list(gc.get_count()),
            "frozen": gc.get_freeze_count(), "stats": gc.get_stats()}


def work(number, life, ready):
    if number == 0:
        gc.unfreeze()
    os.write(ready, b"x")
    os.read(life, 1)
    os._exit(0)


def fork(count):
    life, mine = os.pipe()
    told, ready = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if not pid:
            os.close(mine)
            work(number, life, ready)
        pids.append(pid)
        os.read(told, 1)
    KEPT.append((mine, life))
    return {"pids": pids}


def main():
    for order in truth.orders():
        if order[0] == "fork":
            truth.tell(fork(int(order[1])))
            continue
        if order[0] == "disable":
            gc.disable()
        elif order[0] == "enable":
            gc.enable()
        elif order[0] == "freeze":
            KEPT.extend([] for _ in range(int(order[1])))
            gc.freeze()
        truth.tell(state())


main()
