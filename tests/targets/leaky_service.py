# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A service with one leak, in shop/sessions.py, and much healthy churn around it. It knows exactly what it leaked.

    leaky_service.py [--rate MIB_PER_SECOND] [--stop-at MIB]

Serves made-up requests from its start on, whether somebody watches or not. Orders:
    truth    what was leaked so far
    stop     no more requests; the truth
    go       requests again; the truth
SIGTERM: prints the truth and ends. At --stop-at it only idles, so that the kernel need not kill it.

Truth: count and payload_bytes (sys.getsizeof of the leaked strings) on `line` of `function` in `file`; small_bytes:
the tuples and dicts around them, made elsewhere.
"""
import argparse
import os
import select
import signal
import sys
import time
import truth
from shop import sessions
from shop.catalog import Catalog
from shop.handlers import Handlers

TICK_S = 0.02


class Service:
    """The request loop."""

    def __init__(self, rate, stop_at):
        self.cache = sessions.SessionCache()
        self.handlers = Handlers(Catalog(500), self.cache)
        self.bytes_per_tick = rate * (1 << 20) * TICK_S
        self.stop_at = stop_at * (1 << 20)
        self.serving = True
        self.requests = 0
        self.allowance = 0.0
        self.line = truth.labels(sessions.__file__)["leak"]

    def truth(self):
        return {"file": sessions.__file__, "function": truth.name_of(sessions.SessionCache.remember.__code__),
                "line": self.line, "count": self.cache.count, "payload_bytes": self.cache.payload_bytes,
                "small_bytes": self.cache.small_bytes, "requests": self.requests}

    def tick(self):
        """As many requests as the rate allows since the last tick."""
        self.allowance += self.bytes_per_tick
        while self.allowance > 0 and self.cache.payload_bytes < self.stop_at:
            before = self.cache.payload_bytes
            self.handlers.handle(self.requests)
            self.requests += 1
            self.allowance -= self.cache.payload_bytes - before
        self.cache.expire(self.requests)

    def run(self):
        print("ready", flush=True)
        orders = b""
        next_tick = time.monotonic()
        while True:
            wait = max(0.0, next_tick - time.monotonic())
            if select.select([0], [], [], wait)[0]:
                data = os.read(0, 4096)
                if not data:
                    return
                orders += data
                while b"\n" in orders:
                    order, _, orders = orders.partition(b"\n")
                    self.serving = order == b"go" or (self.serving and order != b"stop")
                    truth.tell(self.truth())
            if time.monotonic() >= next_tick:
                next_tick = max(next_tick + TICK_S, time.monotonic())
                if self.serving:
                    self.tick()


def main():
    parser = argparse.ArgumentParser(description="A service that leaks.")
    parser.add_argument("--rate", type=float, default=8, metavar="MIB", help="MiB leaked per second (8)")
    parser.add_argument("--stop-at", type=float, default=176, metavar="MIB", help="MiB after which it idles (176)")
    args = parser.parse_args()
    service = Service(args.rate, args.stop_at)

    def end(*_):
        truth.tell(service.truth())
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    service.run()


main()
