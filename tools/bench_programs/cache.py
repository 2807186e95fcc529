# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""d: four threads on a least-recently-used cache that evicts: values of 100 to 4,000 bytes."""
import collections
import random
import threading
import body

ENTRIES = 4_000
THREADS = 4


class Cache:
    def __init__(self):
        self.lock = threading.Lock()
        self.entries = collections.OrderedDict()

    def get(self, key, size):
        with self.lock:
            value = self.entries.get(key)
            if value is not None:
                self.entries.move_to_end(key)
                return value
            value = self.entries[key] = {"key": key, "value": b"v" * size}
            if len(self.entries) > ENTRIES:
                self.entries.popitem(last=False)
            return value


def client(cache, seed, count):
    numbers = random.Random(seed)
    for _ in range(count):
        key = int(numbers.random() * 3 * ENTRIES)
        cache.get(f"key {key}", 100 + key % 3_900)


def serve(count):
    cache = Cache()
    threads = [threading.Thread(target=client, args=(cache, seed, count // THREADS)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return cache


body.main(lambda scale: serve(int(150_000 * scale)))
