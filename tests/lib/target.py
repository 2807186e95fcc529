# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Talking to a program of tests/targets, in a container or not.

The protocol: the target prints `ready`; each line we send is an order (`go`, ...) that it answers with one line of JSON,
the truth about what it did; it ends when its stdin closes.
"""
import json
import os
import re
import select
import subprocess
import time

from . import host, tap


def opcode_at(pid, path, offset):
    """The byte of a file's code as a process has it mapped."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        for line in maps:
            match = re.match(r"(\w+)-(\w+) r-xp (\w+) \S+ \d+ +(\S+)", line)
            if not match or match[4] != path:
                continue
            start, end, file_offset = (int(match[i], 16) for i in (1, 2, 3))
            if file_offset <= offset < file_offset + end - start:
                with open(f"/proc/{pid}/mem", "rb") as memory:
                    memory.seek(start + offset - file_offset)
                    return memory.read(1)
    raise AssertionError(f"{path} is not mapped in {pid}")


class Target:
    """A running target. `stdin` and `stdout` are pipes; `pid` is the process as the host sees it."""

    def __init__(self, pid, stdin, stdout, what):
        self.pid = pid
        self.what = what
        self._in = stdin
        self._out = stdout
        self._buffer = b""  # what came after the last line

    def line(self, limit_s=60):
        """The next line it prints; fails the test when it ends or stays silent."""
        deadline = time.monotonic() + limit_s
        parts = [self._buffer]
        while b"\n" not in parts[-1]:
            left = deadline - time.monotonic()
            tap.ok(left > 0 and select.select([self._out], [], [], left)[0], f"{self.what}: silent for {limit_s} s")
            parts.append(os.read(self._out.fileno(), 1 << 20))
            tap.ok(parts[-1], f"{self.what}: ended", f"it had printed: {b''.join(parts)!r}")
        line, _, self._buffer = b"".join(parts).partition(b"\n")
        return line.decode()

    def ready(self, limit_s=60):
        tap.is_(self.line(limit_s), "ready", f"{self.what}: first line")
        return self

    def send(self, order):
        self._in.write(order.encode() + b"\n")
        self._in.flush()

    def ask(self, order, limit_s=60):
        """Sends an order, returns the truth."""
        self.send(order)
        return self.answer(limit_s)

    def answer(self, limit_s=60):
        """The truth about the oldest order that was sent and not answered yet."""
        return json.loads(self.line(limit_s))

    def close(self):
        """Tells it to end."""
        for pipe in (self._in, self._out):
            try:
                pipe.close()
            except BrokenPipeError:
                pass


class Process(Target):
    """A target as a plain process of the host. A context manager that always ends it."""

    def __init__(self, script, *args, python=host.PYTHON, environment=None):
        path = script if os.path.isabs(script) else os.path.join(host.TARGETS, script)
        command = python if isinstance(python, list) else [python]
        self.process = subprocess.Popen([*command, path, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **(environment or {})))
        super().__init__(self.process.pid, self.process.stdin, self.process.stdout, os.path.basename(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def native_library(path, *flags):
    """tests/targets/native_code.c as a shared library at that path."""
    subprocess.run(["gcc", "-shared", "-fPIC", *flags, "-fno-optimize-sibling-calls", "-o", path,
                    os.path.join(host.TARGETS, "native_code.c"), "-pthread"], check=True)
    return path
