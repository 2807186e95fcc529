#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The targets tell the truth: what they say against tracemalloc, the kernel's counters and each other."""
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host  # noqa: E402
from lib.tap import is_, main, near, ok, test  # noqa: E402
from lib.target import Process  # noqa: E402

# Runs the shop as leaky_service.py does and counts page faults inside the leaking function, as the kernel sees them.
COUNT_FAULTS = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from shop.catalog import Catalog
from shop.handlers import Handlers
from shop.sessions import SessionCache

class Counting(SessionCache):
    faults = 0
    def remember(self, *args):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        try:
            return super().remember(*args)
        finally:
            Counting.faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

cache = Counting()
handlers = Handlers(Catalog(500), cache)
for number in range(100):
    handlers.handle(number)
Counting.faults = 0
before = cache.payload_bytes
for number in range(100, 2000):
    handlers.handle(number)
print(cache.payload_bytes - before, Counting.faults * resource.getpagesize())
"""


def under_tracemalloc(*args):
    return Process("under_tracemalloc.py", *args)


@test
def lines_tells_what_tracemalloc_sees():
    with under_tracemalloc("lines.py") as target:
        target.ready()
        for order in ("go", "drop"):
            told = target.ask(order)
            is_(len(told["lines"]), 6, "number of lines")
            for line in told["lines"]:
                lives = [line["alloc_cnt"] - line["free_cnt"], line["alloc_bytes"] - line["free_bytes"]]
                is_(told["tracemalloc"].get(f"lines.py:{line['line']}", [0, 0]), lives, f"{order}: {line['function']}")


@test
def threads_tell_what_tracemalloc_sees():
    with under_tracemalloc("threads.py") as target:
        target.ready()
        target.ask("go 300")
        told = target.ask("go 200")
        for thread in told["threads"]:
            is_([thread["alloc_cnt"], thread["alloc_bytes"]], told["tracemalloc"][f"threads.py:{thread['line']}"],
                thread["function"])
        is_(len({thread["tid"] for thread in told["threads"]}), 4, "threads")


@test
def leak_at_line_leaks_at_that_line():
    for number in (0, 63):
        with under_tracemalloc("leak_at_line.py", number) as target:
            target.ready()
            told = target.ask("go 50 5000")
            is_([told["count"], told["bytes"]], [50, 250000], "told")
            count, size = told["tracemalloc"][f"generated_leaks.py:{told['line']}"]
            # The list that keeps them is enlarged on the same line.
            ok(50 <= count <= 51 and 250000 <= size < 251000, f"tracemalloc: {count} blocks, {size} bytes")


@test
def the_service_leaks_what_it_says():
    with under_tracemalloc("leaky_service.py", "--rate", 20, "--stop-at", 2) as target:
        target.ready()
        told = target.ask("truth")
        while told["payload_bytes"] < 2 << 20:
            told = target.ask("truth")
        is_([told["count"], told["payload_bytes"]], told["tracemalloc"][f"sessions.py:{told['line']}"], "payload")
        is_(told["count"], told["requests"], "one session a request")


@test
def the_services_leak_is_what_its_resident_set_grows_by():
    """The leaking line itself touches the pages it leaks, within 3 %: healthy churn does not fault for it."""
    for interpreter in host.interpreters():
        run = subprocess.run([interpreter.path, "-B", "-c", COUNT_FAULTS, host.TARGETS], stdout=subprocess.PIPE,
                             check=True, text=True)
        payload, faulted = map(int, run.stdout.split())
        near(faulted, payload, 3, str(interpreter))


@test
def workers_are_processes_of_their_own():
    with Process("fork_workers.py") as target:
        target.ready()
        pids = target.ask("fork")["workers"]
        target.ask("go 10 5000")
        told = target.ask("go 10 5000")
        is_([worker["pid"] for worker in told["workers"]], pids, "pids")
        is_([worker["bytes"] for worker in told["workers"]], [100000] * 4, "bytes")
        is_(len({worker["line"] for worker in told["workers"]}), 4, "lines")


@test
def the_collector_tells_of_each_collection():
    with Process("gc_loop.py") as target:
        target.ready()
        before = target.ask("collect 2 1")["stats"]
        told = target.ask("collect 2 3")
        is_([one["generation"] for one in told["collections"]], [2, 2, 2], "generations")
        is_([one["collected"] for one in told["collections"]], [1000] * 3, "collected")
        is_(told["stats"][2]["collections"] - before[2]["collections"], 3, "gc.get_stats")
        automatic = target.ask("auto 20000")
        ok(automatic["collections"], "no automatic collection")
        is_(sum(after["collections"] - before["collections"]
                for after, before in zip(automatic["stats"], told["stats"])), len(automatic["collections"]), "stats")


@test
def frames_print_the_stack_that_traceback_sees():
    with Process("frames.py") as target:
        target.ready()
        told = target.ask("go 3 5000")
        is_([told["count"], told["bytes"]], [3, 15000], "kept")
        names = [frame["function"].rpartition(".")[2] for frame in told["stack"]]
        for name in ("park", "größe_der_матрица", "method", "value", "inner_generator", "generator", "executed",
                     "called_from_c", "<lambda>", "Body", "<module>"):
            ok(name in names, f"no {name} in {names}")
        ok(any(frame["file"].endswith("naïve–файл.py") for frame in told["stack"]), "no file with other letters")


@test
def a_service_says_the_truth_when_it_is_terminated():
    with Process("leaky_service.py", "--rate", 4) as target:
        target.ready()
        first = target.ask("truth")
        target.process.terminate()
        last = json.loads(target.line())
        ok(last["payload_bytes"] >= first["payload_bytes"], last)
        is_(target.process.wait(10), 0, "exit")


main()
