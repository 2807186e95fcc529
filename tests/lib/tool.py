# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Running ./pymemscope: commands that end, recordings that are stopped, and what they leave."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time

from . import host, tap

TOOL = os.path.join(host.ROOT, "pymemscope")


class Result:
    """What a command that ended printed; `what` is the command, for diagnostics."""

    def __init__(self, what, status, out, err):
        self.what = what
        self.status = status
        self.out = out
        self.err = err

    def __str__(self):
        return f"$ {self.what}\nexit {self.status}\nstdout:\n{self.out}\nstderr:\n{self.err}"

    def succeeded(self):
        tap.ok(self.status == 0, self)
        return self


def run(*args, limit_s=60, cwd=None, **more):
    """Runs a command to its end."""
    command = [TOOL, *map(str, args)]
    what = " ".join(["./pymemscope", *command[1:]])
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=limit_s, check=False, cwd=cwd, **more)
    except subprocess.TimeoutExpired as late:
        raise tap.Failed(f"$ {what}\nstill running after {limit_s} s\n{(late.stderr or b'').decode()}") from late
    return Result(what, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Recorder:
    """`pymemscope record` in the background. A context manager: started, and stopped if nobody did."""

    def __init__(self, *args, file=None, limit_s=30, prefix=()):
        """Returns once it records. prefix: a command that runs it."""
        args = ["record", *(["-o", file] if file else []), *map(str, args)]
        self.what = " ".join(["./pymemscope", *args])
        self.file = file
        self._text = {"out": b"", "err": b""}
        self._news = threading.Condition()
        self.process = subprocess.Popen([*prefix, TOOL, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self._readers = [threading.Thread(target=self._read, args=("out", self.process.stdout), daemon=True),
                         threading.Thread(target=self._read, args=("err", self.process.stderr), daemon=True)]
        self._ended = 0
        for reader in self._readers:
            reader.start()
        try:
            self.wait_for(r"\brecording\b", limit_s)
        except BaseException:
            self.__exit__()
            raise

    def _read(self, name, pipe):
        while True:
            data = os.read(pipe.fileno(), 65536)
            with self._news:
                self._text[name] += data
                self._ended += not data
                self._news.notify_all()
            if not data:
                return

    def stderr(self):
        return self._text["err"].decode(errors="replace")

    def wait_for(self, pattern, limit_s=30):
        """Waits until stderr has a line that matches; the recorder's end or the limit fails the test."""
        def seen():
            return re.search(pattern, self.stderr(), re.I)
        with self._news:
            self._news.wait_for(lambda: seen() or self._ended == 2, limit_s)
            tap.ok(seen(), f"$ {self.what}\nno {pattern!r} on stderr within {limit_s} s (exit {self.process.poll()}):",
                   self.stderr(), self._text["out"].decode(errors="replace"))

    def fdinfo(self):
        """What the kernel tells of each file that it has open."""
        folder = f"/proc/{self.process.pid}/fdinfo"
        for number in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, number), encoding="ascii") as info:
                yield info.read()

    def held(self, kind="link"):
        """{(kind, id)} of what it holds in the kernel now; kind: "link" or "prog"."""
        return {(kind, int(number)) for info in self.fdinfo() for number in re.findall(rf"^{kind}_id:\s*(\d+)", info, re.M)}

    def links_of_type(self, name):
        """How many links of that type it holds, as bpftool names types."""
        return sum(bool(re.search(rf"^link_type:\s*{name}$", info, re.M)) for info in self.fdinfo())

    def verified(self):
        """{program's id: instructions that the verifier went through}; empty before Linux 5.16."""
        found = (re.search(r"^prog_id:\s*(\d+)$.*?^verified_insns:\s*(\d+)", info, re.M | re.S) for info in self.fdinfo())
        return {int(one[1]): int(one[2]) for one in found if one}

    def stop(self, number=signal.SIGINT, limit_s=30):
        """Ends it as ^C does and returns its Result."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(limit_s)

    def wait(self, limit_s=60):
        """Its Result once it ended by itself."""
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            self.process.wait()
            raise tap.Failed(f"$ {self.what}\ndid not end within {limit_s} s\n{self.stderr()}") from late
        for reader in self._readers:
            reader.join(5)
        return Result(self.what, self.process.returncode, self._text["out"].decode(errors="replace"), self.stderr())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


def record(*args, file=None, limit_s=30):
    return Recorder(*args, file=file, limit_s=limit_s)


@contextlib.contextmanager
def environment(name, value):
    """Recorders that are started meanwhile see it."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def links(kind):
    """Recorders attach as they would on an older kernel: "single" or "many"."""
    return environment("PYMEMSCOPE_LINKS", kind)


def wait_until(condition, what, limit_s=15, every_s=0.05):
    """Looks again until the condition holds; fails the test at the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        tap.ok(time.monotonic() < deadline, f"not within {limit_s} s: {what}")
        time.sleep(every_s)


def report(file, by="line", *more):
    """The parsed `report FILE --by BY --json`."""
    result = run("report", file, "--by", by, "--json", *more).succeeded()
    try:
        return json.loads(result.out)
    except ValueError as error:
        raise tap.Failed(f"not JSON: {error}\n{result}") from error


def lines(file, *more):
    """All rows of the report by line, most bytes first; last what is of no line (there before, given back)."""
    told = report(file, "line", "--top", "100000", *more)
    return told["rows"] + told["other"]


def at(rows, file, line, container=None):
    """The row of a line (of one container), or one of zeros."""
    for row in rows:
        frame = row["frame"] or {}
        if (frame.get("file"), frame.get("line")) == (file, line) and container in (None, row["container"]):
            return row
    return {"bytes": 0, "count": 0, "allocated_bytes": 0, "container": container, "frame": None}


def show_rows(rows, top=10):
    """For diagnostics."""
    def one(row):
        frame = row["frame"] or {"file": "", "line": "", "function": "no stack"}
        return f"{row['bytes']:>14,} {row['container']} {frame['file']}:{frame['line']} {frame['function']}"
    return "\n".join(map(one, rows[:top])) or "no rows"


def in_kernel():
    """{("prog" or "link", id)} of what the kernel holds now and no living process of another tool's has open."""
    held = set()
    for kind in ("prog", "link"):
        listing = subprocess.run([host.bpftool(), "--json", kind, "show"], stdout=subprocess.PIPE, check=True).stdout
        held |= {(kind, one["id"]) for one in json.loads(listing or "[]")
                 if all(owner["comm"] == "pymemscope" for owner in one.get("pids", []))}
    return held


def gone(held, limit_s=10):
    """Fails unless what a recorder held is gone; others may trace meanwhile."""
    wait_until(lambda: not in_kernel() & held, f"gone from the kernel: {sorted(in_kernel() & held)}", limit_s)


def nothing_left(before, limit_s=10):
    """Fails unless what was loaded and attached since `before` (in_kernel()) is gone. The kernel frees programs a
    moment after their last user, so this looks again until the limit."""
    wait_until(lambda: not in_kernel() - before, f"gone from the kernel: {sorted(in_kernel() - before)}", limit_s)
