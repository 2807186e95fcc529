# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Every interpreter that tests/pythons.sh lists, and how to run a target on it.

Those of this host run as processes. Those of other Debian suites run as containers with their own root and libc, which is
what a user has; where there is no runc, through their own loader.
"""
import functools
import glob
import os
import re
import shutil
import subprocess

from . import host, tap
from .containers import Container
from .target import Process

LIST = os.path.join(host.ROOT, "tests", "pythons.sh")


class Python:
    """One line of tests/pythons.sh."""

    def __init__(self, name, command):
        self.name = name  # "3.13 trixie"
        self.command = command  # words
        version, self.where = name.split()
        self.release = ".".join(version.split(".")[:2])
        self.unpacked = next((os.path.dirname(word.partition("=")[2]) for word in command
                              if word.startswith("PYTHONHOME=")), None)
        self.kind = self.where
        self.path = command[-1]

    @property
    def greenlet(self):
        """Folders to add to sys.path on this host, for greenlet: of any suite that has the same Python."""
        nodot = self.release.replace(".", "")
        found = glob.glob(os.path.join(host.BUILD, "pythons", "*", "usr/lib/python3/dist-packages", "**",
                                       f"*greenlet.cpython-{nodot}-*.so"), recursive=True)
        return [] if self.contained else [re.sub("(dist-packages)/.*", r"\1", path) for path in found]

    @property
    def contained(self):
        return bool(self.unpacked and shutil.which("runc") and host.cgroup_mode() != "none")

    def start(self, script, *args):
        """A target that runs the script; a context manager."""
        if not self.contained:
            return Process(script, *args, python=self.command)
        return Container(self.name.replace(' ', '-'), script, *args, interpreter=self)

    def __repr__(self):
        return self.name


@functools.lru_cache
def pythons(*more):
    """Those that each test of interpreters runs on; pythons("more"): all."""
    run = subprocess.run([LIST, *more], stdout=subprocess.PIPE, text=True, check=False)
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    return [Python(name, command.split()) for name, command in lines]


def test_each(check, name, *args, where=lambda python: True):
    """Makes check(python, *args) a test of each interpreter, or of those that `where` names: "NAME on 3.13 trixie"."""
    for python in filter(where, pythons()):
        def one(python=python):
            check(python, *args)
        one.__name__ = f"{name} on {python.name}"
        tap.test(one)
