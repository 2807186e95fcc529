# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What all targets share: the protocol on stdin and stdout, and finding labelled lines.

A target prints `ready`, answers each order (a line on stdin) with one line of JSON, and ends when stdin closes.
Runs on Python 3.8 and newer.
"""
import json
import re
import sys


def tell(truth):
    print(json.dumps(truth), flush=True)


def orders():
    """Says `ready`, then yields each order as a list of words until stdin closes."""
    print("ready", flush=True)
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        yield line.split()


def labels(path):
    """{label: line number} of the lines of a source file that end in `# line: LABEL`."""
    found = {}
    with open(path, encoding="utf-8") as source:
        for number, text in enumerate(source, 1):
            match = re.search(r"# line: (\w+)$", text)
            if match:
                found[match[1]] = number
    return found


def name_of(code):
    """The function's name as a tracer shows it: qualified where code objects know it (3.11+)."""
    return getattr(code, "co_qualname", code.co_name)
