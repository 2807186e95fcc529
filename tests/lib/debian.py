# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Debian packages unpacked below build/packages for a test; nothing is installed."""
import os
import subprocess

from . import host, tap


def unpacked(name, *packages, suite="bookworm"):
    """The folder with the packages in it, or SKIP where they cannot be had."""
    root = os.path.join(host.BUILD, "packages", name)
    mark = os.path.join(root, "complete")
    wanted = " ".join((suite, *packages))
    if os.path.exists(mark):
        with open(mark, encoding="utf-8") as file:
            if file.read() == wanted:
                return root
    if os.environ.get("OFFLINE"):
        tap.skip(f"{name} is not there, and nothing may be downloaded")
    run = subprocess.run([os.path.join(host.ROOT, "tools", "debian-fetch.sh"), suite, *packages, "-d", root],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode:
        tap.skip(f"{name} cannot be had: {run.stdout.strip().splitlines()[-1:]}")
    with open(mark, "w", encoding="utf-8") as file:
        file.write(wanted)
    return root


def library_path(root):
    """LD_LIBRARY_PATH for what is below the folder: all folders that have a library in them."""
    return ":".join(sorted(folder for folder, _, names in os.walk(os.path.join(root, "usr", "lib"))
                           if any(".so." in name for name in names)))
