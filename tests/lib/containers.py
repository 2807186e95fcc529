# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Real containers for tests: runc, with a root made from an interpreter of this machine or of another Debian suite.

A root is copied once to build/roots/NAME and shared, read-only, by every container that uses that interpreter: like
containers of one image they share the interpreter's inode, and never the host's. Scripts appear below /app.
Nothing of the host changes but cgroups below PARENT, which go when the last container does. Names carry the pid of the
test that owns them, so that tests of several clones can run at a time, and what one left that was killed is told by it.
"""
import contextlib
import functools
import glob
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile

from . import host, tap
from .target import Target

PREFIX = "pymemscope-test-"
PARENT = f"/{PREFIX}{os.getpid()}"
PYTHON_HOME = "/usr/local"  # where a pyenv interpreter stands in its root, as in the official images
NOT_NEEDED = shutil.ignore_patterns("test", "tests", "idlelib", "ensurepip", "lib2to3", "pydoc_data", "turtledemo",
                                    "tkinter", "config-*", "dist-packages", "site-packages", "*.opt-*.pyc", "*.a")


def _libraries(files):
    """The shared libraries, and the loader, that the files need: what ldd says."""
    listing = subprocess.run(["ldd", *files], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             check=False).stdout
    return sorted({os.path.normpath(file or name) for name, file in re.findall(r"^\s+(\S+)(?: => (\S+))? \(0x", listing, re.M)
                   if (file or name).startswith("/")})


def _copy_libraries(root, prefix, files):
    for path in _libraries(files):
        inside = PYTHON_HOME + path[len(prefix):] if path.startswith(prefix + "/lib/") and prefix != "/usr" else path
        # One flat layout: /lib and /lib64 are links into /usr, as on Debian.
        inside = re.sub(r"^/lib(64)?/", r"/usr/lib\1/", inside)
        os.makedirs(os.path.dirname(root + inside), exist_ok=True)
        shutil.copy(path, root + inside)


def _fill_root(root, interpreter):
    """With an interpreter of this machine, and the libraries that it needs."""
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "usr/local/bin"):
        os.makedirs(os.path.join(root, folder))
    _link_into_usr(root)
    prefix = interpreter.prefix
    home = prefix if interpreter.kind == "debian" else PYTHON_HOME
    python = f"python{interpreter.release}"
    shutil.copy(interpreter.path, f"{root}{home}/bin/{python}")
    os.symlink(python, f"{root}{home}/bin/python3")
    shutil.copytree(f"{prefix}/lib/{python}", f"{root}{home}/lib/{python}", symlinks=False, ignore=NOT_NEEDED,
                    ignore_dangling_symlinks=True)
    modules = f"{prefix}/lib/{python}/lib-dynload"
    extensions = [os.path.join(modules, name) for name in os.listdir(modules) if name.endswith(".so")]
    _copy_libraries(root, prefix, [interpreter.path] + extensions)


def _fill_root_unpacked(root, interpreter):
    """With the packages of another suite, its own libc among them, and what Debian's base-files would add."""
    shutil.copytree(interpreter.unpacked, root, symlinks=True, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("complete", "doc", "man"))
    _link_into_usr(root)
    os.symlink(f"python{interpreter.release}", f"{root}/usr/bin/python3")


def _link_into_usr(root):
    """Suites before trixie keep libc below /lib."""
    for link in ("bin", "lib", "lib64"):
        if not os.path.exists(os.path.join(root, link)):
            os.symlink("usr/" + link, os.path.join(root, link))


def _packages(interpreter):
    """Those that were unpacked, as tests/pythons.sh wrote them down."""
    unpacked = getattr(interpreter, "unpacked", None)
    if not unpacked:
        return ""
    with open(os.path.join(unpacked, "complete"), encoding="utf-8") as file:
        return file.read().strip()


def build_root(interpreter):
    """The folder of the container root for an interpreter; made when it is not there or the interpreter changed."""
    root = os.path.join(host.BUILD, "roots", interpreter.name.replace(" ", "-"))
    status = os.stat(interpreter.path)
    stamp = f"1 {interpreter.path} {status.st_size} {status.st_mtime_ns} {_packages(interpreter)}\n"
    with contextlib.suppress(OSError), open(root + ".stamp", encoding="utf-8") as file:
        if file.read() == stamp:
            return root
    os.makedirs(os.path.dirname(root), exist_ok=True)
    made = tempfile.mkdtemp(dir=os.path.dirname(root))
    try:
        if getattr(interpreter, "unpacked", None):
            _fill_root_unpacked(made, interpreter)
        else:
            _fill_root(made, interpreter)
        for folder in ("proc", "dev", "tmp", "app", "etc"):
            os.makedirs(os.path.join(made, folder), exist_ok=True)
        os.chmod(made, 0o755)
        shutil.rmtree(root, ignore_errors=True)
        os.rename(made, root)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    with open(root + ".stamp", "w", encoding="utf-8") as file:
        file.write(stamp)
    return root


def _config(root, app, args, cgroup_path, memory_limit):
    """The OCI runtime configuration: like docker's with --network host --read-only, without rlimits."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib", "LANG=C.UTF-8",
                    "PYTHONDONTWRITEBYTECODE=1"],
            "cwd": "/app",
            "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted")},
            "noNewPrivileges": True,
        },
        "root": {"path": root, "readonly": True},
        "hostname": "test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=16m"]},
            {"destination": "/app", "type": "bind", "source": app, "options": ["rbind", "ro", "nosuid", "nodev"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
            "cgroupsPath": cgroup_path,
            "resources": {"memory": {"limit": memory_limit}},
        },
    }


def full_name(name):
    return f"{PREFIX}{os.getpid()}-{name}"


def _is_dead(owner):
    return not os.path.exists(f"/proc/{owner}")


@functools.lru_cache
def _sweep():
    """Ends what tests left that were killed."""
    listed = subprocess.run(["runc", "list", "-q"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            check=False)
    for name in listed.stdout.split():
        owner = re.match(PREFIX + r"(\d+)-", name)
        if owner and _is_dead(owner[1]):
            subprocess.run(["runc", "delete", "--force", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           check=False)
    for _, mount, _ in host.cgroup_mounts():
        for path in glob.glob(f"{mount}/{PREFIX}*"):
            owner = re.fullmatch(PREFIX + r"(\d+)", os.path.basename(path))
            if owner and _is_dead(owner[1]):
                for folder in (*glob.glob(f"{path}/*/"), path):
                    with contextlib.suppress(OSError):
                        os.rmdir(folder)


class Container(Target):
    """A runc container running a script of tests/targets (or of `files`) with python3. A context manager.

    name: runc's id is full_name(name), or with plain_name the name itself; its cgroup lies below PARENT.
    files: {name: text}, more scripts for /app.
    overlay: the root is an overlay mount of its own over the shared folder, as docker and containerd make them.
    pid is the container's first process as the host sees it.
    """

    def __init__(self, name, script, *args, interpreter=None, memory_limit=256 << 20, files=None, python_args=(),
                 overlay=False, plain_name=False):
        _sweep()
        self.name = name if plain_name else full_name(name)
        self.cgroup_path = f"{PARENT}/{self.name}"
        self.memory_limit = memory_limit
        self._pidfd = -1
        self._ours = False
        self._overlay = None
        self._bundle = tempfile.mkdtemp(prefix="pymemscope-test-")
        try:
            interpreter = interpreter or host.interpreter("debian")
            app = os.path.join(self._bundle, "app")
            shutil.copytree(host.TARGETS, app, ignore=shutil.ignore_patterns("__pycache__"))
            for file, text in (files or {}).items():
                with open(os.path.join(app, file), "w", encoding="utf-8") as out:
                    out.write(text)
            root = build_root(interpreter)
            if overlay:
                root = self._mount_overlay(root)
            command = ["python3", *python_args, f"/app/{script}", *map(str, args)]
            with open(os.path.join(self._bundle, "config.json"), "w", encoding="utf-8") as out:
                json.dump(_config(root, app, command, self.cgroup_path, memory_limit), out)
            self._start()
        except BaseException:
            self.__exit__()
            raise

    def _mount_overlay(self, lower):
        """Two lower layers and no upper one: read-only, and possible on any file system."""
        empty, merged = os.path.join(self._bundle, "empty"), os.path.join(self._bundle, "rootfs")
        os.mkdir(empty)
        os.mkdir(merged)
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={empty}:{lower}", merged],
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            tap.skip(f"no overlay mount here: {done.stderr.strip()}")
        self._overlay = merged
        return merged

    def _start(self):
        """Detached, so that runc leaves and the container keeps the pipes."""
        known = subprocess.run(["runc", "state", self.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               check=False).returncode == 0
        tap.ok(not known, f"a runc container named {self.name} is there already: `runc delete -f {self.name}` ends it")
        self._ours = True
        pid_file = os.path.join(self._bundle, "pid")
        self.errors = os.path.join(self._bundle, "stderr")
        with open(self.errors, "w", encoding="utf-8") as err:
            runc = subprocess.Popen(["runc", "run", "--detach", "--pid-file", pid_file, "--bundle", self._bundle,
                                     self.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
        status = runc.wait()
        with open(self.errors, encoding="utf-8") as err:
            tap.ok(status == 0, f"runc run {self.name}: exit {status}", err.read())
        with open(pid_file, encoding="utf-8") as file:
            pid = int(file.read())
        self._pidfd = os.pidfd_open(pid)
        super().__init__(pid, runc.stdin, runc.stdout, f"container {self.name}")

    def signal(self, number):
        signal.pidfd_send_signal(self._pidfd, number)

    def wait(self, limit_s):
        """True once its first process ended."""
        return bool(select.select([self._pidfd], [], [], limit_s)[0])

    def usage_bytes(self):
        """What the memory controller charges it now."""
        folder = host.memory_cgroup_dir(self.cgroup_path)
        for file in ("memory.usage_in_bytes", "memory.current"):
            with contextlib.suppress(OSError), open(os.path.join(folder, file), encoding="utf-8") as usage:
                return int(usage.read())
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._pidfd >= 0:
            self.close()
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self.wait(10)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._ours:
            subprocess.run(["runc", "delete", "--force", self.name], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
        if self._overlay:
            subprocess.run(["umount", "--lazy", self._overlay], check=False)
            self._overlay = None
        shutil.rmtree(self._bundle, ignore_errors=True)
        for _, mount, _ in host.cgroup_mounts():
            for path in (self.cgroup_path, PARENT):
                with contextlib.suppress(OSError):
                    os.rmdir(mount + path)
