#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The containers that the other tests stand on: real, limited, and gone afterwards."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import containers, host  # noqa: E402
from lib.containers import Container  # noqa: E402
from lib.tap import is_, main, ok, test  # noqa: E402


def left():
    return [mount + containers.PARENT for _, mount, _ in host.cgroup_mounts()
            if os.path.exists(mount + containers.PARENT)]


@test
def every_interpreter_runs_in_a_container():
    host.need_runc()
    for interpreter in host.interpreters():
        with Container("any", "leak_at_line.py", 1, interpreter=interpreter) as one:
            is_(one.ready().ask("go 10 5000")["bytes"], 50000, str(interpreter))
            inode = os.stat(f"/proc/{one.pid}/exe")
            own = os.stat(interpreter.path)
            ok((inode.st_dev, inode.st_ino) != (own.st_dev, own.st_ino), "it shares the host's interpreter file")
    is_(left(), [], "cgroups left behind")


@test
def containers_share_the_interpreter_as_one_images_do():
    host.need_runc()
    with Container("one", "leak_at_line.py", 1) as one, \
            Container("two", "leak_at_line.py", 2) as two:
        one.ready()
        two.ready()
        is_(os.stat(f"/proc/{one.pid}/exe").st_ino, os.stat(f"/proc/{two.pid}/exe").st_ino, "inode")


@test
def the_limit_is_enforced_and_everything_goes():
    host.need_runc()
    if not host.memory_cgroup_dir("/"):
        host.tap.skip("no memory controller")
    with Container("limit", "leak_at_line.py", 3, memory_limit=32 << 20) as one:
        one.ready().ask("go 100 65536")
        ok(6 << 20 < one.usage_bytes() < 32 << 20, f"charged: {one.usage_bytes():,}")
        one.send("go 1000 65536")
        ok(one.wait(30), "still alive beyond its limit")
    is_(left(), [], "cgroups left behind")
    listed = subprocess.run(["runc", "list", "-q"], stdout=subprocess.PIPE, text=True, check=True).stdout
    ok(containers.full_name("limit") not in listed, listed)


@test
def a_containers_name_is_never_taken_from_somebody():
    host.need_runc()
    with Container("mine", "leak_at_line.py", 4) as one:
        one.ready()
        try:
            with Container("mine", "leak_at_line.py", 5):
                ok(False, "a second container of that name started")
        except host.tap.Failed as failure:
            ok("is there already" in str(failure), failure)
        is_(one.ask("go 1 5000")["count"], 1, "the first one lives")


main()
