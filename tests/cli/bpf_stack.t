#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The stacks of all functions on a way through a BPF program are 512 bytes at most, and the functions 8, on each kernel.

The verifier sums up what the functions use, rounded up to 32 before Linux 6.9 and to 16 from then on (kernel/bpf/verifier.c,
check_max_stack_depth_subprog), whichever way is ever gone. The kernels that the tests run on do not tell of those that they skip:
6.1 loads no program for many sites, and 6.13 and later give functions stacks of their own.
"""
import os
import struct
import sys
from collections import namedtuple

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib.host import BUILD  # noqa: E402
from lib.tap import main, ok, test  # noqa: E402

OBJECT = os.path.join(BUILD, "pymemscope.bpf.o")
MAX_STACK, MAX_FUNCTIONS = 512, 8
# Linux 6.13: loaded nowhere else.
SESSIONS = ("exact_session", "large_session")

# ELF: elf.h. BPF: include/uapi/linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst.
SHT_SYMTAB, SHT_REL, SHF_EXECINSTR, STT_FUNC, STT_SECTION = 2, 9, 4, 2, 3
CALL, LD_IMM64, MOV64_REG, ADD64_IMM = 0x85, 0x18, 0xbf, 0x07
PSEUDO_CALL, PSEUDO_FUNC, FRAME_REG = 1, 4, 10
LDX, ST, STX = 1, 2, 3

Section = namedtuple("Section", "name type flags data link info")
Symbol = namedtuple("Symbol", "name type section value size")
Insn = namedtuple("Insn", "code dst src off imm")


class Elf:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        at, = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, at + i * size) for i in range(count)]
        text = data[headers[names][4]:]
        self.sections = [Section(self.word(text, h[0]), h[1], h[2], data[h[4]:h[4] + h[5]], h[6], h[7]) for h in headers]
        table = next(one for one in self.sections if one.type == SHT_SYMTAB)
        text = self.sections[table.link].data
        self.symbols = [Symbol(self.word(text, name), info & 15, section, value, size)
                        for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", table.data)]

    @staticmethod
    def word(text, at):
        return text[at:text.index(b"\0", at)].decode()

    def relocations(self, section):
        """{offset: symbol}"""
        return {offset: self.symbols[info >> 32] for one in self.sections if one.type == SHT_REL and one.info == section
                for offset, info in struct.iter_unpack("<QQ", one.data)}


def insns_of(data):
    return [Insn(code, regs & 15, regs >> 4, off, imm) for code, regs, off, imm in struct.iter_unpack("<BBhi", data)]


class Function:
    def __init__(self, name):
        self.name = name
        self.stack = 0
        self.calls = set()


def stack_of(insns):
    """The lowest byte of its frame that a function reaches, or takes the address of."""
    lowest, copies = 0, set()
    for insn in insns:
        kind = insn.code & 7
        if (kind == LDX and insn.src == FRAME_REG) or (kind in (ST, STX) and insn.dst == FRAME_REG):
            lowest = min(lowest, insn.off)
        if insn.code == MOV64_REG and insn.src == FRAME_REG:
            copies.add(insn.dst)
        elif insn.code == ADD64_IMM and insn.dst in copies:
            lowest = min(lowest, insn.imm)
            copies.discard(insn.dst)
    return -lowest


def functions_of(elf):
    """{(section, first instruction): Function}"""
    found = {(one.section, one.value // 8): (Function(one.name), one.size // 8) for one in elf.symbols
             if one.type == STT_FUNC and one.section and elf.sections[one.section].flags & SHF_EXECINSTR}
    for (section, begin), (function, length) in found.items():
        insns = insns_of(elf.sections[section].data)[begin:begin + length]
        relocations = elf.relocations(section)
        function.stack = stack_of(insns)
        for i, insn in enumerate(insns):
            is_call = insn.code == CALL and insn.src == PSEUDO_CALL
            if not is_call and not (insn.code == LD_IMM64 and insn.src == PSEUDO_FUNC):
                continue
            symbol = relocations.get((begin + i) * 8)
            if not symbol:
                called = (section, begin + i + 1 + insn.imm)
            elif symbol.section == 0:
                continue  # a function of the kernel
            elif symbol.type == STT_SECTION:
                called = (symbol.section, insn.imm + 1 if is_call else insn.imm // 8)
            else:
                called = (symbol.section, symbol.value // 8)
            function.calls.add(found[called][0])
    return {key: function for key, (function, _) in found.items()}


def deepest(function, cost, known):
    """(sum, [functions]) of the way on which cost adds up to most."""
    if function not in known:
        ways = [deepest(called, cost, known) for called in function.calls]
        best = max(ways, key=lambda way: way[0], default=(0, []))
        known[function] = cost(function) + best[0], [function, *best[1]]
    return known[function]


def rounded(to):
    return lambda function: (max(function.stack, 1) + to - 1) // to * to


def programs():
    elf = Elf(OBJECT)
    functions = functions_of(elf)
    found = [one for (section, _), one in functions.items() if elf.sections[section].name != ".text"]
    ok(len(found) > 30, f"only {len(found)} programs in {OBJECT}")
    ok(any(one.stack > 100 and one.calls for one in functions.values()), "no function has a stack of its own")
    return found


def as_text(way):
    return " > ".join(f"{one.name} {one.stack}" for one in way)


def stays_within(names, to):
    known = {}
    for program in programs():
        if names(program.name):
            total, way = deepest(program, rounded(to), known)
            ok(total <= MAX_STACK, f"{total} bytes of stack: {as_text(way)}")


@test
def before_6_9_the_stack_of_each_way_is_512_bytes_at_most():
    stays_within(lambda name: name not in SESSIONS, 32)


@test
def from_6_9_on_sessions_too():
    stays_within(lambda name: name in SESSIONS, 16)


@test
def each_way_goes_through_8_functions_at_most():
    known = {}
    for program in programs():
        total, way = deepest(program, lambda _: 1, known)
        ok(total <= MAX_FUNCTIONS, f"{total} functions: {as_text(way)}")


main()
