# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Leaks on one line out of many: leak_at_line.py NUMBER, 0 to 63. The functions are generated, each on lines of its own,
and stand in a file that need not exist: generated_leaks.py beside this one.

    go COUNT BLOCK_BYTES   keeps COUNT more bytes objects of BLOCK_BYTES each, every page written to
"""
import os
import sys
import truth

FUNCTIONS = 64
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "generated_leaks.py")
SOURCE = "".join(f"def leak_{number:02}(kept, filler, times):\n"
                 "    for _ in range(times):\n"
                 "        kept.append(filler * SIZE)\n" for number in range(FUNCTIONS))


def main():
    number = int(sys.argv[1])
    names = {}
    exec(compile(SOURCE, FILE, "exec"), names)
    function = names[f"leak_{number:02}"]
    # Memory that was freed during the start and is resident yet would hold the first block, which then grows nothing.
    kept = [b"x" * (1 << 20) for _ in range(2)]
    leaked = {"file": FILE, "function": function.__name__, "line": 3 * number + 3, "count": 0, "bytes": 0}
    for order in truth.orders():
        if order[:1] == ["go"]:
            count, block_bytes = int(order[1]), int(order[2])
            names["SIZE"] = block_bytes - sys.getsizeof(b"")
            function(kept, b"x", count)
            assert sys.getsizeof(kept[-1]) == block_bytes
            leaked["count"] += count
            leaked["bytes"] += count * block_bytes
        truth.tell(leaked)


main()
