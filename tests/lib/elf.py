# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Changing bytes behind a symbol of a 64-bit little-endian ELF file: interpreters that lie, for tests."""
import struct


def _sections(data):
    offset, = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    for number in range(count):
        # name, type, flags, address, offset, size, link, info, align, entry size
        yield struct.unpack_from("<IIQQQQIIQQ", data, offset + number * size)


def section(data, name):
    """(file offset, bytes) of a section."""
    names, = struct.unpack_from("<H", data, 0x3E)
    sections = list(_sections(data))
    strings = sections[names][4]
    for one in sections:
        at = strings + one[0]
        if data[at:at + len(name) + 1] == name.encode() + b"\0":
            return one[4], one[5]
    raise KeyError(name)


def symbol(data, name):
    """The address of a symbol in .dynsym or .symtab."""
    sections = list(_sections(data))
    for section in sections:
        if section[1] not in (2, 11):  # SHT_SYMTAB, SHT_DYNSYM
            continue
        strings = sections[section[6]][4]
        for offset in range(section[4], section[4] + section[5], 24):
            name_offset, _, _, _, address, _ = struct.unpack_from("<IBBHQQ", data, offset)
            start = strings + name_offset
            if data[start:start + len(name) + 1] == name.encode() + b"\0":
                return address
    raise KeyError(name)


def file_offset(data, address):
    offset, = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for number in range(count):
        kind, _, start, virtual, _, length, _, _ = struct.unpack_from("<IIQQQQQQ", data, offset + number * size)
        if kind == 1 and virtual <= address < virtual + length:  # PT_LOAD
            return start + address - virtual
    raise KeyError(hex(address))


def poke(path, name, at, value):
    """Writes value `at` bytes behind a symbol."""
    with open(path, "rb") as file:
        data = file.read()
    where = file_offset(data, symbol(data, name) + at)
    with open(path, "r+b") as file:
        file.seek(where)
        file.write(value)
