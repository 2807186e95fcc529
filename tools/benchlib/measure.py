# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Starting workloads and recorders, and reading what both cost. No verdicts: numbers only.

What a recorder costs is read from /proc while it lives: schedstat (CPU time in ns, without the final summary), VmHWM, and
the fdinfo of its BPF maps (memlock, kernel/bpf/syscall.c bpf_map_show_fdinfo). What each program of it costs is the
kernel's run-time statistics, which cost some 70 ns a run themselves: only where run_time_statistics() switches them on, and
with the signal exact, which the recorder measures by them.
"""
import contextlib
import glob
import json
import os
import re
import sqlite3
import statistics
import subprocess
import tempfile
import time

from lib import host, tap, target, tool

PROGRAMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench_programs")
LIMIT_S = 300  # for one order to a workload


def bench_cpus():
    """(CPU for the target, CPU for a neighbour): the recorder stays free to run anywhere."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[-1], cpus[0]


class Workload(target.Target):
    """A program of bench_programs, pinned to one CPU, waiting for orders. A context manager that ends it."""

    def __init__(self, script, *args, python=host.PYTHON, options=(), cpu=None, env=()):
        """options: between python and the script (-X ..., -m peer ...). env: more of the environment."""
        command = [python, *options, os.path.join(PROGRAMS, script), *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **dict(env)})
        super().__init__(self.process.pid, self.process.stdin, self.process.stdout, script)
        if cpu is not None:
            os.sched_setaffinity(self.pid, {cpu})

    def answer(self, limit_s=LIMIT_S):
        """The next line that is JSON: peers print lines of their own."""
        while True:
            text = self.line(limit_s)
            if text.startswith("{"):
                return json.loads(text)

    def ready(self, limit_s=60):
        while self.line(limit_s) != "ready":
            pass
        return self

    def do(self, order):
        self.send(order)
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fdinfo(pid):
    """The fdinfo of each file descriptor of a process, as a dict of strings."""
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            yield dict(re.findall(r"^(\w+):\s*(\S+)$", file.read(), re.M))


def map_bytes(pid):
    """What the BPF maps of a process take of the kernel's memory."""
    return sum({one["map_id"]: int(one["memlock"]) for one in fdinfo(pid) if "map_id" in one}.values())


@contextlib.contextmanager
def run_time_statistics():
    """Of BPF programs, on the whole host."""
    path = "/proc/sys/kernel/bpf_stats_enabled"
    before = _read(path)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("1")
        yield
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(before)


def program_stats(pid):
    """{program: {"run_cnt", "run_ns", "missed"}} of those that ran. missed: not run because one was running already."""
    ours = {int(one["prog_id"]) for one in fdinfo(pid) if "prog_type" in one}
    listing = subprocess.run([host.bpftool(), "--json", "prog", "show"], stdout=subprocess.PIPE, check=True).stdout
    return {one["name"]: {"run_cnt": one["run_cnt"], "run_ns": one["run_time_ns"],
                          "missed": one.get("recursion_misses", 0)}
            for one in json.loads(listing) if one["id"] in ours and one.get("run_cnt")}


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def cpu_ns(pid):
    return int(_read(f"/proc/{pid}/schedstat").split()[0])


def ring_rss_bytes(pid):
    """What of the resident set is the ring buffer, mapped twice in a row: its memory is among map_bytes() already."""
    maps = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", _read(f"/proc/{pid}/smaps"), flags=re.M)
    return sum(int(re.search(r"^Rss:\s+(\d+) kB", one, re.M)[1]) << 10 for one in maps if "anon_inode:bpf-map" in one)


def peak_bytes(pid):
    return int(re.search(r"VmHWM:\s+(\d+) kB", _read(f"/proc/{pid}/status"))[1]) << 10


def memory_cgroup_of_self():
    """The folder of the memory cgroup that we are in."""
    path = re.search(r"^\d+:(?:[\w,]*\bmemory\b[\w,]*|):(.*)$", _read("/proc/self/cgroup"), re.M)[1]
    return os.path.join(host.memory_cgroup_dir("/"), path.lstrip("/"))


class Group:
    """A memory cgroup of our own, to record a few processes and no others. A context manager that removes it."""

    PATH = "/pymemscope-bench"

    def __init__(self, *pids):
        folder = host.memory_cgroup_dir("/")
        self._home = memory_cgroup_of_self()
        self._folder = os.path.join(folder, self.PATH.lstrip("/"))
        self._pids = pids
        os.makedirs(self._folder, exist_ok=True)
        self._move(self._folder)

    def _move(self, folder):
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError), open(os.path.join(folder, "cgroup.procs"), "w",
                                                               encoding="ascii") as file:
                file.write(str(pid))

    def empty(self):
        """Waits until all that was in it has ended."""
        tool.wait_until(lambda: not _read(os.path.join(self._folder, "cgroup.procs")), "the cgroup is empty")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pids = _read(os.path.join(self._folder, "cgroup.procs")).split()
        self._move(self._home)
        os.rmdir(self._folder)


class Record:
    """`pymemscope record` on one process or on all, from "recording" to stop(). A context manager."""

    def __init__(self, *args):
        self._folder = tempfile.TemporaryDirectory(prefix="pymemscope-bench-")
        self.file = os.path.join(self._folder.name, "bench.pms")
        try:
            self.exec_ns = time.monotonic_ns()
            self._recorder = tool.record(*args, file=self.file)
            self.ready_ns = time.monotonic_ns()
            self.pid = self._recorder.process.pid
            self._cpu_ns = cpu_ns(self.pid)
            self._file_bytes = self._size()
        except BaseException:
            self._folder.cleanup()
            raise

    def _size(self):
        """The file and what SQLite has not moved into it yet."""
        return sum(os.path.getsize(path) for path in glob.glob(self.file + "*"))

    def stop(self):
        """Ends it; returns what it cost and what it saw."""
        cost = {"record_s": (time.monotonic_ns() - self.ready_ns) / 1e9,
                "start_s": (self.ready_ns - self.exec_ns) / 1e9,
                "tracer_cpu_s": (cpu_ns(self.pid) - self._cpu_ns) / 1e9,
                "peak_bytes": peak_bytes(self.pid), "map_bytes": map_bytes(self.pid),
                "ring_rss_bytes": ring_rss_bytes(self.pid),
                "programs": program_stats(self.pid)}
        stop_ns = time.monotonic_ns()
        self._recorder.stop(limit_s=LIMIT_S).succeeded()
        cost["stop_s"] = (time.monotonic_ns() - stop_ns) / 1e9
        cost["file_bytes"] = self._size()
        cost["grown_bytes"] = max(0, cost["file_bytes"] - self._file_bytes)
        counters = dict(self.rows("SELECT name, value FROM counter"))
        cost["events"] = counters["events"]
        cost["dropped"] = {name: value for name, value in counters.items() if name.startswith("dropped.") and value}
        cost["counters"] = {name: value for name, value in counters.items() if value}
        return cost

    def rows(self, sql, *values):
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as db:
            return db.execute(sql, values).fetchall()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._recorder.__exit__()
        self._folder.cleanup()


def median(values):
    return statistics.median(values) if values else None


def geometric_mean(values):
    return statistics.geometric_mean(values) if values else None


def pythons(quick):
    """The interpreters to measure: Debian's, and pyenv's 3.11 and 3.13 where present."""
    found = [one for one in host.interpreters() if one.kind == "debian" or one.release in ("3.11", "3.13")]
    tap.ok(found, "no Python 3 here")
    return [one for one in found if one.name in ("debian-3.11", "pyenv-3.11")] or found[:1] if quick else found


def not_inlined():
    """An interpreter that calls the allocator at each allocation, so that the exact signal sees all; None: none here."""
    for one in host.interpreters():
        if one.kind == "pyenv" and one.release in ("3.11", "3.13"):
            return one
    return None
