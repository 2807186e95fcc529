# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""copy.deepcopy of nested lists, dicts and objects: fills and empties pools as fast as Python can."""
import copy
import body


class Node:
    def __init__(self, depth):
        self.name = f"node {depth}"
        self.values = list(range(10))
        self.children = {str(i): Node(depth - 1) for i in range(4)} if depth else {}


TREE = Node(4)


def copies(count):
    for _ in range(count):
        copy.deepcopy(TREE)


body.main(lambda scale: copies(max(1, int(240 * scale))))
