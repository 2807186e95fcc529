# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""c: a JSON document of about 1 MB, there and back ten times: 10 MB."""
import json
import body

DOCUMENT = {"orders": [{"id": i, "name": f"customer {i}", "items": [i, i + 1, i * 0.5], "open": i % 3 == 0, "note": None}
                       for i in range(11_000)]}


def trips(count):
    for _ in range(count):
        assert len(json.loads(json.dumps(DOCUMENT))["orders"]) == len(DOCUMENT["orders"])


body.main(lambda scale: trips(max(1, int(20 * scale))))
