#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Interpreters that lie: debug offsets that make no sense, files whose notes, symbols and unwind tables lead elsewhere. No
probe where no instruction begins, a reason in words, and the target runs on."""
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import elf, host, measure, tool  # noqa: E402
from lib.pythons import test_each  # noqa: E402
from lib.tap import cleanup, has, is_, main, near, note, ok, once, skip, test  # noqa: E402
from lib.target import Process  # noqa: E402

PAGE = os.sysconf("SC_PAGESIZE")


@once
def folder():
    return cleanup.enter_context(tempfile.TemporaryDirectory())


def doctor(target):
    """What it says, whether it refuses or not; never a crash."""
    told = tool.run("doctor", "--pid", target.pid)
    ok(told.status in (0, 1), told)
    return told


ABSURD = (0, 1, 7, 12, 0x1000, 0xfff8, 0x10000, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 63, 2 ** 64 - 8, 2 ** 64 - 1)


def absurd_offsets(python):
    """Each fourth word behind the cookie and the version; of builds with a shared library others."""
    host.need_bpf()
    refused = 0
    with python.start("hostile.py") as target:
        target.ready()
        for number in range(5 if "shared" in python.name else 3, 60, 4):
            before = target.ask(f"offsets {number} {ABSURD[number % len(ABSURD)]}")["before"]
            told = doctor(target)
            refused += told.status
            ok(not told.status or "its debug offsets make no sense" in told.err or "can't read" in told.err, told)
            target.ask(f"offsets {number} {before}")
        is_(target.ask("honest"), {"honest": 16}, "the target afterwards")
    ok(refused >= 5, f"{refused} of 14 or 15 were refused")
    note(f"{python.name}: {refused} of 14 or 15 words made the tool refuse")


def plausible_offsets(python):
    """Within a struct, so that they cannot be told from true ones: frames, thread states and code objects are read
    elsewhere."""
    host.need_bpf()
    with python.start("hostile.py") as target:
        target.ready()
        for number, value in ((16, 8), (18, 40), (20, 16), (24, 16), (26, 8), (30, 40), (33, 16), (36, 24)):
            before = target.ask(f"offsets {number} {value}")["before"]
            if doctor(target).status == 0:
                record_honest(target, f"offset {number} = {value}")
            target.ask(f"offsets {number} {before}")


def record_honest(target, what):
    """The bytes are told, under whatever reason; the target runs on."""
    file = os.path.join(folder(), "offsets.pms")
    with tool.record("--pid", target.pid, "--signals", "resident", "--budget", "none", file=file) as recorder:
        target.ask("honest")
        target.ask("honest")
        recorder.stop().succeeded()
    stacks = measure.rows(file, "SELECT stack, sum(alloc_bytes) FROM stacks WHERE kind = 'resident_anon' GROUP BY stack")
    ok(sum(n for _, n in stacks) >= 16 * PAGE, what, stacks)


def patched(interpreter, name, old, new):
    """A copy of an interpreter in which some bytes are others."""
    with open(interpreter.path, "rb") as file:
        data = file.read()
    ok(old in data, "the bytes to patch are not in the file")
    path = os.path.join(folder(), name)
    with open(path, "wb") as file:
        file.write(data.replace(old, new))
    os.chmod(path, 0o755)
    return lambda script, *args: Process(script, *args, python=["env", f"PYTHONHOME={interpreter.prefix}", path])


def usdt_location(interpreter, name):
    """Where the note says that a probe is."""
    notes = subprocess.run(["readelf", "-n", interpreter.path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True, check=False).stdout
    found = re.search(rf"Name: {name}\s+Location: 0x([0-9a-f]+)", notes)
    return int(found[1], 16) if found else skip(f"{interpreter} has no USDT probes")


@test
def a_usdt_note_that_leads_into_an_instruction():
    """A breakpoint there would break the program."""
    host.need_bpf()
    interpreter = host.interpreter("debian")
    start, done = (usdt_location(interpreter, name) for name in ("gc__start", "gc__done"))
    for away in (1, 2, 7, 0x1000, -0x400000):
        run = patched(interpreter, "python3.usdt", start.to_bytes(8, "little"), (start + away).to_bytes(8, "little"))
        with run("gc_loop.py") as target:
            target.ready()
            told = doctor(target).succeeded()
            ok("USDT" not in told.out, told)
            file = os.path.join(folder(), "usdt.pms")
            with tool.record("--pid", target.pid, "--signals", "gc", file=file) as recorder:
                truth = target.ask("collect 2 20")["collections"]
                recorder.stop().succeeded()
            is_(len(truth), 20, "collections of a program that runs on")
            seen, = measure.rows(file, "SELECT count(*) FROM gc")[0]
            ok(seen in (0, 20), f"{seen} collections seen")
    ok(done, "gc__done")


@test
def a_symbol_table_that_lies():
    """The collector's symbol leads a byte into the function: no probe there."""
    host.need_bpf()
    interpreter = host.interpreter("pyenv", "3.12")
    library = os.path.realpath(os.path.join(interpreter.prefix, "lib", f"libpython{interpreter.release}.so"))
    with open(library, "rb") as file:
        data = file.read()
    address = elf.symbol(data, "gc_collect_main")
    path = os.path.join(folder(), os.path.basename(library))
    with open(path, "wb") as file:
        file.write(data.replace(address.to_bytes(8, "little"), (address + 1).to_bytes(8, "little")))
    with Process("gc_loop.py", python=["env", f"LD_PRELOAD={path}", interpreter.path]) as target:
        target.ready()
        told = doctor(target).succeeded()
        place = re.search(r"gc +collector +gc_collect_main\+\d+ \(file offset (0x[0-9a-f]+)\)", told.out)
        ok(not place or int(place[1], 16) != elf.file_offset(data, address) + 1, told)
        with tool.record("--pid", target.pid, "--signals", "gc", file=os.path.join(folder(), "lies.pms")) as recorder:
            is_(len(target.ask("collect 2 20")["collections"]), 20, "collections of a program that runs on")
            recorder.stop().succeeded()
        note(told.out[told.out.find("coverage"):])


@test
def code_that_cannot_be_decoded():
    """Where functions begin is not told: nothing is guessed, and doctor says so."""
    host.need_bpf()
    interpreter = host.interpreter("debian")
    with open(interpreter.path, "rb") as file:
        data = bytearray(file.read())
    for name in (".eh_frame", ".eh_frame_hdr"):
        at, size = elf.section(data, name)
        data[at:at + size] = bytes(size)
    path = os.path.join(folder(), "python3.blind")
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o755)

    def run(script, *args):
        return Process(script, *args, python=["env", f"PYTHONHOME={interpreter.prefix}", path])
    with run("gc_loop.py") as target:
        target.ready()
        told = doctor(target).succeeded()
        has(told.out, "sees only what calls the public functions")
        has(told.out, "sees nothing: the collector was not found in its code")
    result = measure.leak(run, 16, 1 << 20)
    near(result["seen"], result["truth"], 2, "bytes of a line, which needs no code to be decoded")


for PART in (absurd_offsets, plausible_offsets):
    test_each(PART, PART.__name__, where=lambda python: (3, 13) <= tuple(map(int, python.release.split("."))))

main()
