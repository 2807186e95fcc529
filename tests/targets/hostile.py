# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Writes into its own frames, its runtime structure and its code objects, touches pages meanwhile, and mends all again.

Order `frames` spoils the chain of frames, `codes` what a frame says of its code object, `thread` where the first frame is,
`key` the runtime's thread-state key; each is answered by {what was spoilt: pages}, all touched in spoilt(). `honest`
touches pages with nothing spoilt. `offsets NUMBER VALUE` writes a word of _PyRuntime's debug offsets (3.13+) and leaves it
there.
"""
import ctypes
import mmap
import sys
import truth

PAGES = 16
VERSION = sys.version_info[:2]
memory = mmap.mmap(-1, 4096 * PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
if hasattr(mmap, "MADV_NOHUGEPAGE"):
    memory.madvise(mmap.MADV_NOHUGEPAGE)
# Not of zeros: those come from calloc(), whose pages are only touched when they are read, which is while something is spoilt.
PAYLOAD = b"p" * (PAGES * mmap.PAGESIZE)
# What must live as long as somebody may walk through it.
kept = []


def word(address):
    """A word of this process's memory; .value reads and writes it."""
    return ctypes.c_uint64.from_address(address)


def words(*values):
    array = (ctypes.c_uint64 * len(values))(*values)
    kept.append(array)
    return ctypes.addressof(array)


def frame_of(frame):
    """(address of the frame that the interpreter walks, offsets in it of: previous, code, instruction)"""
    if VERSION < (3, 11):  # PyFrameObject: PyObject_VAR_HEAD, f_back, f_code, ...
        return id(frame), 24, 32, {8: 104, 9: 104, 10: 96}[VERSION[1]]
    inner = word(id(frame) + 24).value  # struct _frame: PyObject_HEAD, f_back, f_frame
    return (inner, 48, 32, 56) if VERSION == (3, 11) else (inner, 8, 0, 56)


def endless(address, length, previous):
    """Copies of a frame, each the previous one of the next, without an end."""
    size = 128
    block = ctypes.create_string_buffer(length * size)
    kept.append(block)
    start = ctypes.addressof(block)
    for i in range(length):
        ctypes.memmove(start + i * size, address, size)
        word(start + i * size + previous).value = start + (i + 1) % length * size
    return start


def spoilt(one, value):
    """Pages touched while a word has another value. No other code of Python runs meanwhile."""
    write, payload, before = memory.write, PAYLOAD, one.value
    one.value = value; write(payload); one.value = before  # noqa: E702  # line: spoilt


def nowhere():
    """An address that is mapped to nothing."""
    gone = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(gone))
    del gone
    return address


def pointers():
    return {"null": 0, "one": 1, "unmapped": 0x10, "gone": nowhere(), "kernel": 0xffffffff81000000,
            "not canonical": 0x4141414141414141, "all ones": 2 ** 64 - 1, "text": id("text"), "zeros": words(*[0] * 64),
            "ones": words(*[2 ** 64 - 1] * 64)}


def frames():
    mine, previous, code, instr = frame_of(sys._getframe())
    told = {}
    for label, value in {**pointers(), "itself": mine, "endless": endless(mine, 100_000, previous),
                         "a circle of two": endless(mine, 2, previous)}.items():
        spoilt(word(mine + previous), value)
        told["previous " + label] = PAGES
    for label, value in pointers().items():
        spoilt(word(mine + instr), value)
        told["instruction " + label] = PAGES
    return told


def code_with(name, file):
    """A copy of a code object that tells other things of itself."""
    code = frames.__code__
    copy = ctypes.create_string_buffer(512)
    kept.append(copy)
    ctypes.memmove(copy, id(code), 256)
    at = ctypes.addressof(copy)
    for i in range(0, 256, 8):
        one = word(at + i)
        if one.value in (id(code.co_name), id(getattr(code, "co_qualname", code.co_name))):
            one.value = name
        elif one.value == id(code.co_filename):
            one.value = file
    return at


def text_with(length=None, state=None):
    """A str that says it is longer, or of another kind."""
    copy = ctypes.create_string_buffer(256)
    kept.append(copy)
    ctypes.memmove(copy, id("HONEST"), 64)
    at = ctypes.addressof(copy)
    if length is not None:
        word(at + 16).value = length
    if state is not None:
        ctypes.c_uint32.from_address(at + 32).value = state
    return at


def codes():
    mine, _, code, _ = frame_of(sys._getframe())
    honest = text_with()
    told = {}
    values = {"name too long": code_with(text_with(2 ** 60), honest),
              "name of no kind": code_with(text_with(state=0), honest),
              "name nowhere": code_with(nowhere(), honest),
              "file too long": code_with(honest, text_with(2 ** 63)),
              "all nowhere": code_with(0x4141414141414141, 0x4141414141414141)}
    for label, value in {**pointers(), **values}.items():
        spoilt(word(mine + code), value)
        told["code " + label] = PAGES
    return told


def first_frame():
    """The word that tells the frame which runs: of PyThreadState, or of the _PyCFrame that it points to (3.11, 3.12)."""
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_void_p
    state, mine = get(), frame_of(sys._getframe())[0]
    if VERSION in ((3, 11), (3, 12)):
        start = word(state + 56).value
        ends = start + 16
    else:
        start, ends = state, state + 256
    at = start
    while ctypes.c_uint64.from_address(at).value != mine:
        at += 8
        assert at < ends, "no such word"
    return word(at)


def thread():
    told = {}
    for label, value in pointers().items():
        spoilt(first_frame(), value)
        told["first frame " + label] = PAGES
    return told


def offsets(number, value):
    base = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    before = word(base + 8 * number).value
    word(base + 8 * number).value = value
    return {"before": before}


def honest():
    memory.write(PAYLOAD)  # line: honest
    return {"honest": PAGES}


def main():
    for name, *args in truth.orders():
        truth.tell(globals()[name](*(int(arg, 0) for arg in args)))
        memory.write(PAYLOAD)  # a page is charged when the next one is touched


main()
