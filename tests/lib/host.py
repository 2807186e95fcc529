# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What is possible on this machine, and skipping what is not. Looks, changes nothing."""
import contextlib
import functools
import glob
import os
import platform
import re
import shutil
import subprocess
import tempfile

from . import tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGETS = os.path.join(ROOT, "tests", "targets")
BUILD = os.path.join(ROOT, "build")
PYTHON = "/usr/bin/python3"


class Interpreter:
    """One Python on this machine."""

    def __init__(self, path, kind):
        self.path = os.path.realpath(path)
        self.kind = kind  # "debian" or "pyenv"
        self.prefix = os.path.dirname(os.path.dirname(self.path))
        self.release = re.search(r"python(\d+\.\d+)$", self.path)[1]

    @property
    def name(self):
        return f"{self.kind}-{self.release}"

    def __repr__(self):
        return self.name


@functools.lru_cache
def interpreters():
    """Debian's first, then pyenv's 3.8 and newer, each by release."""
    found = [Interpreter(path, "debian") for path in glob.glob("/usr/bin/python3.*")
             if re.search(r"/python3\.\d+$", path)]
    pyenv = pyenv_root()
    for path in glob.glob(os.path.join(pyenv, "versions", "3.*", "bin", "python3.*")) if pyenv else []:
        match = re.search(r"/python3\.(\d+)$", path)
        if match and int(match[1]) >= 8:
            found.append(Interpreter(path, "pyenv"))
    return sorted(found, key=lambda i: (i.kind, [int(part) for part in i.release.split(".")]))


def pyenv_root():
    pyenv = shutil.which("pyenv")
    if not pyenv:
        return None
    run = subprocess.run([pyenv, "root"], stdout=subprocess.PIPE, text=True, check=False)
    return run.stdout.strip() or None


def interpreter(kind, release=None):
    """The interpreter asked for, or SKIP."""
    for one in interpreters():
        if one.kind == kind and release in (None, one.release):
            return one
    return tap.skip(f"no {kind} Python {release or ''}".rstrip())


@contextlib.contextmanager
def private_copy(one):
    """(path, environment) of a copy of an interpreter's file, in which nobody else's probes are, while the context lasts."""
    with tempfile.TemporaryDirectory(prefix="pymemscope-python-") as folder:
        yield shutil.copy(one.path, folder), {"PYTHONHOME": one.prefix}


def cgroup_mode():
    """"v2", "hybrid" (v1 controllers, and a v2 tree without them), "v1" or "none"."""
    kinds = {kind for kind, _, _ in cgroup_mounts()}
    return {frozenset(["cgroup2"]): "v2", frozenset(["cgroup", "cgroup2"]): "hybrid",
            frozenset(["cgroup"]): "v1"}.get(frozenset(kinds), "none")


@functools.lru_cache
def cgroup_mounts():
    """[(fstype, mount point, options)]"""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        fields = [line.split() for line in mounts]
    return [(field[2], field[1], field[3].split(",")) for field in fields if field[2] in ("cgroup", "cgroup2")]


def memory_cgroup_dir(path):
    """Where the memory controller keeps the cgroup `path` ("/a/b"), or None."""
    for kind, mount, options in cgroup_mounts():
        if kind == "cgroup" and "memory" in options:
            return mount + path
    for kind, mount, _ in cgroup_mounts():
        if kind == "cgroup2":
            with open(os.path.join(mount, "cgroup.controllers"), encoding="utf-8") as controllers:
                if "memory" in controllers.read().split():
                    return mount + path
    return None


def need_root():
    if os.geteuid() != 0:
        tap.skip("not root")


def need_bpf():
    """Root, BTF, and a kernel new enough for the ring buffer."""
    need_root()
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        tap.skip("this kernel has no BTF")
    major, minor = (int(part) for part in re.match(r"(\d+)\.(\d+)", platform.release()).groups())
    if (major, minor) < (5, 8):
        tap.skip(f"kernel {major}.{minor} has no BPF ring buffer")
    need_tool()


def need_tool():
    """The binary is built by `make` before any test runs, so its absence is a failure."""
    tap.ok(os.access(os.path.join(ROOT, "pymemscope"), os.X_OK), "./pymemscope is not there: run make")


def need_runc():
    need_root()
    if not shutil.which("runc"):
        tap.skip("no runc")
    if cgroup_mode() == "none":
        tap.skip("no cgroups are mounted")


def bpftool():
    path = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    return path or tap.skip("no bpftool")
