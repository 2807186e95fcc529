# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Programs that make their cgroup grow, each in another way, and keep what they made until they end.

    PROGRAM STEPS    runs it

STEPS: how much memory is made and dropped again beside, in steps of some 400 page faults, as services do it. What is kept does
not depend on it.
"""
import array
import ctypes
import mmap
import os
import re
import subprocess
import sys
import tempfile
import threading

import truth

MIB = 1 << 20
PAGE = mmap.PAGESIZE
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
SHARED = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
MADV_DONTNEED, MADV_HUGEPAGE = 4, 14
FILL = b"f" * (400 * PAGE)
KEPT = []
INHERITED = []  # bytes of files that each child had mapped from the first

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.mmap.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def region(size, flags=PRIVATE):
    return mmap.mmap(-1, size, flags)


def temporaries():
    memory = region(len(FILL))
    memory.write(FILL)
    memory.close()


def in_parts(steps, parts):
    """The numbers of the parts, with temporaries before each."""
    for part in range(parts):
        for _ in range(steps * part // parts, steps * (part + 1) // parts):
            temporaries()
        yield part


def wait_for(pipe):
    """Until nobody holds its other end."""
    os.read(pipe, 1)


def inheritable():
    """What a fork copies of this process's places of pages of files: those of mappings that have anonymous pages, too
    (vma_needs_copy, mm/memory.c). The others a child must fault in itself."""
    with open("/proc/self/smaps", encoding="ascii") as smaps:
        mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps.read(), flags=re.M)[1:]
    sizes = [{name: int(re.search(rf"^{name}: +(\d+) kB", one, re.M)[1]) << 10 for name in ("Rss", "Anonymous")} for one in mappings]
    return sum(size["Rss"] - size["Anonymous"] for size in sizes if size["Anonymous"])


def child(do):
    """Forks one that does something and lives until its parent ends; returns when that is done."""
    done, tell = os.pipe()
    end, keep_open = os.pipe()
    INHERITED.append(inheritable())
    if os.fork() == 0:
        os.close(keep_open)
        do()
        os.write(tell, b"x")
        wait_for(end)
        os._exit(0)
    os.close(end)
    os.read(done, 1)
    os.close(done)
    os.close(tell)
    KEPT.append(keep_open)


def objects(steps):
    """Dicts, tuples and strings, in a list that grows."""
    kept = []
    KEPT.append(kept)
    for part in in_parts(steps, 60):
        for i in range(part * 8_000, part * 8_000 + 8_000):
            kept.append({"id": i, "name": str(i)} if i % 4 == 0 else (i, str(i)))


def buffers(steps):
    """Arrays and bytearrays that grow, some of which go again."""
    growing = bytearray()
    KEPT.append(growing)
    for part in in_parts(steps, 60):
        KEPT.append(array.array("d", bytes(2 * MIB)))
        growing.extend(b"x" * (MIB // 2))
        if part % 3 == 2:
            KEPT.pop(1)


def native(steps):
    """Memory that Python does not know of: malloc of small and large blocks, and mmap, by ctypes."""
    for _ in in_parts(steps, 48):
        for size in [4_000] * 64 + [100_000] * 5:
            libc.memset(libc.malloc(size), 1, size)
        libc.memset(libc.mmap(None, MIB, 3, PRIVATE, -1, 0), 1, MIB)


def huge(steps):
    """Huge pages, where the kernel gives them."""
    memory = region(128 * MIB)
    memory.madvise(MADV_HUGEPAGE)
    KEPT.append(memory)
    for part in in_parts(steps, 128):
        memory[part * MIB:(part + 1) * MIB] = b"z" * MIB


def fork(steps):
    """A child writes a half of what it inherited, and makes something of its own."""
    memory = region(80 * MIB)
    KEPT.append(memory)
    for part in in_parts(steps // 2, 80):
        memory[part * MIB:(part + 1) * MIB] = b"p" * MIB

    def write():
        for part in in_parts(steps // 2, 40):
            for at in range(part * MIB, (part + 1) * MIB, PAGE):
                memory[at] = 1
        KEPT.append(b"c" * (24 * MIB))
    child(write)


def parent_writes(steps):
    """A child lives on with what it inherited, of which its parent writes a half."""
    memory = region(80 * MIB)
    KEPT.append(memory)
    for part in in_parts(steps // 2, 80):
        memory[part * MIB:(part + 1) * MIB] = b"p" * MIB
    child(lambda: None)
    for part in in_parts(steps // 2, 40):
        for at in range(part * MIB, (part + 1) * MIB, PAGE):
            memory[at] = 1


def workers(steps):
    """Four forked workers at a time, each with objects and a buffer of its own."""
    def work():
        mine = []
        KEPT.append(mine)
        for part in in_parts(steps // 4, 12):
            mine.append([(i, str(i)) for i in range(part * 5_000, part * 5_000 + 5_000)])
            mine.append(b"w" * MIB)
    for _ in range(4):
        child(work)


def file(steps):
    """A file that is written, then mapped and read, by a child, too."""
    with tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(sys.executable))) as out:
        for _ in range(64):
            out.write(os.urandom(MIB))
        out.flush()
        memory = mmap.mmap(out.fileno(), 48 * MIB, prot=mmap.PROT_READ)
    KEPT.append(memory)
    for part in in_parts(steps, 48):
        sum(memory[at] for at in range(part * MIB, (part + 1) * MIB, PAGE))
    child(lambda: sum(memory[at] for at in range(0, 16 * MIB, PAGE)))


def shared(steps):
    """Shared memory that a child uses, too; and a file of a tmpfs of which a part is mapped."""
    memory = region(64 * MIB, SHARED)
    with tempfile.TemporaryFile(dir="/dev/shm") as out:
        for _ in range(32):
            out.write(b"t" * MIB)
        out.flush()
        of_file = mmap.mmap(out.fileno(), 32 * MIB)
    KEPT.append((memory, of_file))
    for part in in_parts(steps, 48):
        memory[part * MIB:(part + 1) * MIB] = b"y" * MIB
    of_file[:16 * MIB] = b"u" * (16 * MIB)

    def use():
        sum(memory[at] for at in range(0, 16 * MIB, PAGE))
        memory[48 * MIB:] = b"v" * (16 * MIB)
    child(use)


def given_back(steps):
    """Two thirds of what malloc gave are freed and trimmed; a half of a mapping goes by madvise, another one whole."""
    blocks = []
    for _ in in_parts(steps, 100):
        for _ in range(15):
            blocks.append(libc.malloc(96 * 1024))
            libc.memset(blocks[-1], 1, 96 * 1024)
    for block in blocks[500:]:
        libc.free(block)
    libc.malloc_trim(0)
    kept, goes = region(32 * MIB), region(32 * MIB)
    for memory in (kept, goes):
        memory.write(b"m" * (32 * MIB))
    kept.madvise(MADV_DONTNEED, 0, 16 * MIB)
    goes.close()
    KEPT.append((blocks[:500], kept))


def threads(steps):
    """Four threads at a time."""
    def fill():
        mine = []
        KEPT.append(mine)
        for _ in in_parts(steps // 4, 20):
            mine.append(b"t" * MIB)
            mine.append([object() for _ in range(10_000)])
    them = [threading.Thread(target=fill) for _ in range(4)]
    for one in them:
        one.start()
    for one in them:
        one.join()


EXECUTED = """
import sys
kept = []
for i in range(24):
    kept.append(bytearray(b"e") * (1 << 20))
    kept.append([(j, str(j)) for j in range(i * 4000, i * 4000 + 4000)])
print(len(kept), flush=True)
sys.stdin.readline()
"""


def execs(steps):
    """Two Pythons that are started, a second after the other."""
    for _ in range(2):
        for _ in in_parts(steps // 2, 1):
            one = subprocess.Popen([sys.executable, "-c", EXECUTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        one.stdout.readline()
        KEPT.append(one)


def not_python(steps):
    """A program that is not Python, beside a buffer."""
    one = subprocess.Popen(["sort", "--parallel=1", "--buffer-size=64M"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    KEPT.append(one)
    for part in in_parts(steps, 24):
        KEPT.append(bytearray(b"b") * MIB)
        one.stdin.write(b"".join(b"%d of not very many lines to sort %d\n" % (i, part) for i in range(20_000)))
    one.stdin.flush()


PROGRAMS = {one.__name__: one for one in (objects, buffers, native, huge, fork, parent_writes, workers, file, shared, given_back,
                                          threads, execs, not_python)}


def main():
    for program, steps in truth.orders():
        PROGRAMS[program](int(steps))
        truth.tell({"program": program, "inherited": sum(INHERITED)})


main()
