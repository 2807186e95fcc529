#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What goes wrong is said in one sentence, with exit status 1, leaves nothing attached and loses nothing recorded."""
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import elf, host, tool  # noqa: E402
from lib.tap import cleanup, has, is_, main, near, ok, once, test  # noqa: E402
from lib.target import Process  # noqa: E402

NOBODY = 65534


@once
def folder():
    path = cleanup.enter_context(tempfile.TemporaryDirectory())
    os.chmod(path, 0o755)
    return path


def new(name):
    return os.path.join(folder(), name)


def refused(result, *parts):
    """Exit 1 and one sentence that has the parts; nothing on stdout."""
    is_(result.status, 1, f"{result}\nexit")
    lines = [line for line in result.err.splitlines() if line.strip()]
    ok(len(lines) == 1 and len(lines[0].split()) >= 4, "not one sentence on stderr:", result)
    ok(not result.out, "something on stdout:", result)
    for part in parts:
        ok(part.lower() in lines[0].lower(), f"stderr lacks {part!r}:", result)


def refuses(*args, parts=(), **more):
    """The command is refused and leaves nothing in the kernel."""
    before = tool.in_kernel()
    refused(tool.run(*args, **more), *parts)
    tool.nothing_left(before)


@contextlib.contextmanager
def python(*args, interpreter=host.PYTHON, environment=None):
    """A Python that only waits."""
    with subprocess.Popen([interpreter, *args, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=dict(os.environ, **(environment or {}))) as process:
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@test
def without_root():
    host.need_bpf()
    # The repository may stand where nobody else may look.
    binary = shutil.copy(tool.TOOL, new("pymemscope"))
    os.chmod(binary, 0o755)
    with python() as target:
        done = subprocess.run([binary, "record", "--pid", str(target.pid), "-o", "out.pms"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, user=NOBODY, group=NOBODY,
                              extra_groups=[], cwd=folder(), check=False, timeout=30)
    refused(tool.Result("record as nobody", done.returncode, done.stdout, done.stderr), "root")


@test
def without_btf():
    host.need_bpf()
    with python() as target:
        # In a mount namespace of its own; the host keeps its BTF.
        done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "-",
                               tool.TOOL, "record", "--pid", str(target.pid), "-o", new("btf.pms")],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=30)
    refused(tool.Result("record without BTF", done.returncode, done.stdout, done.stderr), "BTF")


@test
def a_pid_that_is_not_there():
    host.need_bpf()
    with subprocess.Popen(["true"]) as gone:
        pass
    refuses("record", "--pid", gone.pid, "-o", new("gone.pms"), parts=[str(gone.pid)])


@test
def a_pid_that_has_ended_and_waits_for_its_parent():
    host.need_bpf()
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        refuses("record", "--pid", zombie.pid, "-o", new("zombie.pms"), parts=[str(zombie.pid)])


@test
def pids_that_end_while_being_attached():
    """Whatever moment it ends at: a sentence or an empty recording, no hang, nothing left."""
    host.need_bpf()
    before = tool.in_kernel()
    for life in (0, 0.01, 0.03, 0.06, 0.1, 0.2):
        with subprocess.Popen([host.PYTHON, "-c", f"import time; time.sleep({life})"]) as target:
            result = tool.run("record", "--pid", target.pid, "-o", new("ends.pms"), "--duration", "5s", limit_s=20)
        if result.status:
            refused(result)
    tool.nothing_left(before)


@test
def a_pid_that_is_not_python():
    host.need_bpf()
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            refuses("record", "--pid", other.pid, "-o", new("sleep.pms"), parts=[str(other.pid), "Python"])
        finally:
            other.kill()


@test
def a_container_that_does_not_exist():
    host.need_bpf()
    refuses("record", "--container", "pymemscope-test-nobody", "-o", new("none.pms"), parts=["pymemscope-test-nobody"])


@test
def a_cgroup_that_does_not_exist():
    host.need_bpf()
    refuses("record", "--cgroup", "/pymemscope-test/none", "-o", new("none.pms"), parts=["/pymemscope-test/none"])


@test
def an_output_that_cannot_be_written():
    host.need_bpf()
    with python() as target:
        for output in (new("no/such/folder.pms"), "/proc/pymemscope.pms", folder()):
            refuses("record", "--pid", target.pid, "-o", output, "--duration", "5s", parts=[output])


@test
def an_output_that_is_somebody_elses_file():
    host.need_bpf()
    with open(new("letter.txt"), "w", encoding="utf-8") as out:
        out.write("Dear all,\n")
    with python() as target:
        refuses("record", "--pid", target.pid, "-o", new("letter.txt"), "--duration", "5s", parts=["letter.txt"])
    with open(new("letter.txt"), encoding="utf-8") as text:
        is_(text.read(), "Dear all,\n", "the file")


def on_small_disk(*args):
    """Runs a command with a disk of 8 KiB on the folder `small`, in a mount namespace of its own."""
    os.makedirs(new("small"), exist_ok=True)
    done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=8k none "$1" && shift && exec "$@"',
                           "-", new("small"), tool.TOOL, *map(str, args)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    return tool.Result(f"on a full disk: {' '.join(map(str, args))}", done.returncode, done.stdout, done.stderr)


@test
def a_disk_that_is_full_from_the_start():
    host.need_bpf()
    before = tool.in_kernel()
    with python() as target:
        refused(on_small_disk("record", "--pid", target.pid, "--duration", "5s", "-o", new("small/out.pms")), "space")
    tool.nothing_left(before)


class SmallDisk(tool.Recorder):
    """A recorder with a disk of its own (a tmpfs in its own mount namespace) that the test can fill."""

    def __init__(self, pid):
        self.place = new("disk")
        os.makedirs(self.place, exist_ok=True)
        super().__init__("--pid", pid, "--signals", "resident", file=os.path.join(self.place, "out.pms"), prefix=[
            "unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=4m none "$1" && shift && exec "$@"', "-",
            self.place])
        # Also after the recorder has ended, and its namespace with it.
        self.folder = os.open(f"/proc/{self.process.pid}/root{self.place}", os.O_RDONLY | os.O_DIRECTORY)

    def lines(self):
        """What a reader beside the recorder sees at this moment."""
        done = subprocess.run(["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", tool.TOOL, "report", self.file,
                               "--by", "line", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["rows"]

    def fill(self):
        fill = os.open("fill", os.O_WRONLY | os.O_CREAT, dir_fd=self.folder)
        with contextlib.suppress(OSError):
            while True:
                os.write(fill, bytes(4096))
        os.close(fill)

    def copy(self, to):
        os.makedirs(to)
        for name in os.listdir(self.folder):
            if name.startswith("out.pms"):
                shutil.copy(f"/proc/self/fd/{self.folder}/{name}", to)
        return os.path.join(to, "out.pms")

    def __exit__(self, *_):
        super().__exit__()
        os.close(self.folder)


@test
def a_disk_that_fills_up_while_recording():
    host.need_bpf()
    before = tool.in_kernel()
    with Process("frames.py") as target:
        target.ready()
        with SmallDisk(target.pid) as recorder:
            truth = target.ask("go 300 65536")
            leaf = truth["stack"][0]
            tool.wait_until(lambda: tool.at(recorder.lines(), leaf["file"], leaf["line"])["bytes"] > truth["bytes"] * 0.9,
                            "what was allocated is in the file")
            recorder.fill()
            for number in range(40):
                target.ask(f"go {number + 1} 65536")
            result = recorder.stop()
            is_(result.status, 1, f"{result}\nexit")
            has(result.err.lower(), "space", "stderr")
            file = recorder.copy(new("rescued"))
        rows = tool.lines(file)
        got = tool.at(rows, leaf["file"], leaf["line"])["bytes"]
        ok(got > truth["bytes"] * 0.9, f"recorded before: {truth['bytes']:,} bytes, in the file: {got:,}",
           tool.show_rows(rows))
    tool.nothing_left(before)


@once
def recording():
    """A good recording, to be spoiled."""
    host.need_bpf()
    with Process("frames.py") as target:
        target.ready()
        with tool.record("--pid", target.pid, "--signals", "resident", file=new("good.pms")) as recorder:
            target.ask("go 100 65536")
            recorder.stop().succeeded()
    return new("good.pms")


@test
def a_recording_that_is_truncated():
    """Whatever length is left of it."""
    size = os.path.getsize(recording())
    for length in sorted({1, 15, 16, 99, 100, 512, 4096, 5000, 8192, size // 2, size * 3 // 4, size - 4096, size - 1}):
        if 0 < length < size:
            shutil.copy(recording(), new("cut.pms"))
            os.truncate(new("cut.pms"), length)
            for command in (["report", new("cut.pms")], ["flamegraph", new("cut.pms"), "-o", new("cut.svg")]):
                result = tool.run(*command)
                ok(result.status, f"{length} of {size} bytes are left:", result)
                refused(result, "cut.pms")
            ok(not os.path.exists(new("cut.svg")), f"a flame graph of {length} bytes of a recording")


@test
def a_recording_with_a_page_of_rubbish():
    size = os.path.getsize(recording())
    for page in range(0, size, 4096):
        shutil.copy(recording(), new("rubbish.pms"))
        with open(new("rubbish.pms"), "r+b") as file:
            file.seek(page)
            file.write(b"\xa5" * 4096)
        result = tool.run("report", new("rubbish.pms"))
        if result.status:
            refused(result, "rubbish.pms")


@test
def files_that_are_not_recordings():
    host.need_tool()
    for name, content in (("empty.pms", b""), ("text.pms", b"hello\n" * 1000), ("zeros.pms", bytes(8192))):
        with open(new(name), "wb") as out:
            out.write(content)
        refused(tool.run("report", new(name)), name)
    with contextlib.closing(sqlite3.connect(new("other.pms"))) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
        database.commit()
    refused(tool.run("report", new("other.pms")), "other.pms")
    refused(tool.run("report", new("missing.pms")), "missing.pms")
    refused(tool.run("report", folder()), folder())
    refused(tool.run("flamegraph", new("missing.pms"), "-o", new("missing.svg")), "missing.pms")


@test
def a_recording_of_a_newer_version():
    shutil.copy(recording(), new("newer.pms"))
    with contextlib.closing(sqlite3.connect(new("newer.pms"))) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f"PRAGMA user_version = {version + 1}")
    refused(tool.run("report", new("newer.pms")), "newer")


@test
def a_flame_graph_that_cannot_be_written():
    file = recording()
    os.makedirs(new("folder.svg"), exist_ok=True)
    for output in (new("no/such/folder.svg"), new("folder.svg")):
        refused(tool.run("flamegraph", file, "-o", output), output)
    done = on_small_disk("flamegraph", file, "-o", new("small/out.svg"))
    refused(done, "space")


@test
def a_report_to_a_full_disk():
    file = recording()
    with open("/dev/full", "wb") as full:
        done = subprocess.run([tool.TOOL, "report", file], stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    refused(tool.Result("report > /dev/full", done.returncode, "", done.stderr))


@test
def an_interpreter_that_is_too_old():
    host.need_bpf()
    pyenv = host.pyenv_root() or host.tap.skip("no pyenv")
    found = False
    for version in ("2.7.18", "3.6.15", "3.7.16"):
        path = os.path.join(pyenv, "versions", version, "bin", "python")
        if os.path.exists(path):
            found = True
            source = "import sys; sys.stdout.write('\\n'); sys.stdout.flush(); sys.stdin.readline()"
            with subprocess.Popen([path, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as target:
                target.stdout.readline()
                try:
                    refuses("record", "--pid", target.pid, "-o", new("old.pms"), "--duration", "5s",
                            parts=[str(target.pid), version.rpartition(".")[0]])
                finally:
                    target.kill()
    if not found:
        host.tap.skip("no old Python here")


@test
def an_interpreter_of_the_future():
    """3.13 that says it is 3.99: never a guessed probe."""
    host.need_bpf()
    interpreter = host.interpreter("pyenv", "3.13")
    library = os.path.join(interpreter.prefix, "lib", "libpython3.13.so.1.0")
    if not os.path.exists(library):
        host.tap.skip("pyenv's 3.13 has no shared library")
    future = shutil.copy(library, new("libpython3.13.so.1.0"))
    elf.poke(future, "Py_Version", 0, (0x036300F0).to_bytes(8, "little"))
    elf.poke(future, "_PyRuntime", 8, (0x036300F0).to_bytes(8, "little"))
    with python(interpreter=interpreter.path, environment={"LD_PRELOAD": future}) as target:
        before = tool.in_kernel()
        refused(tool.run("record", "--pid", target.pid, "-o", new("future.pms"), "--duration", "5s"), "3.99")
        tool.nothing_left(before)
        is_(target.poll(), None, "the target's exit")


main()
