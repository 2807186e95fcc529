# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Parks in every kind of frame and tells the truth about it. Runs on CPython 3.8 and later, without site.

Protocol, on standard output, one fact a line, blanks between words, texts in hexadecimal:
    runtime ADDRESS                     of _PyRuntime
    gc ENABLED THRESHOLD*3 COUNT*2 FROZEN COLLECTIONS*3
    allocator WORD*15                   raw, mem, obj; each context, malloc, calloc, realloc, free (3.12+)
    scenario NAME
    thread IDENT NATIVE_ID
    frame CODE LINE FIRST_LINE ARGCOUNT FLAGS FILE FUNCTION     leaf first, of the thread before
    ready                               every thread told of stands still; a byte on standard input goes on
    done
"""
import ast
import ctypes
import functools
import gc
import importlib.abc
import importlib.util
import os
import sys
import threading
import types
import _thread

MAX_NAME_BYTES = 512
MAX_FILENAME_BYTES = 4096
READY = b"ready\n"

out = os.fdopen(os.dup(1), "w", encoding="ascii")
out_lock = _thread.allocate_lock()


def say(*words):
    out.write(" ".join(str(w) for w in words) + "\n")


def shown(text, limit):
    data = b""
    for c in str(text):
        one = ("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c).encode("utf-8")
        if len(data) + len(one) >= limit:
            break
        data += one
    return data.hex() or "-"


def tell(frame):
    with out_lock:
        say("thread", threading.get_ident(), threading.get_native_id())
        while frame:
            code = frame.f_code
            line = code.co_firstlineno if frame.f_lineno is None else frame.f_lineno
            say("frame", hex(id(code)), line, code.co_firstlineno, code.co_argcount, code.co_flags,
                shown(code.co_filename, MAX_FILENAME_BYTES),
                shown(getattr(code, "co_qualname", code.co_name), MAX_NAME_BYTES))
            frame = frame.f_back
        out.flush()


# In one line, so that telling and waiting are the same line, and out of C from the telling on: "ready" must not be
# said, nor the byte be waited for, in a Python function whose frame would come and go.
def park(*_):
    tell(sys._getframe()), os.write(1, READY), os.read(0, 1) or os._exit(3)
    return True


def nested():
    def inner(a, b=2, *args, c, **kw):
        def innermost():
            park()
        innermost()
    inner(1, c=3)


def recursion(n=60):
    return park() if n == 0 else recursion(n - 1)


def returned_into(n=1):
    # Up to 3.10 the last stop sees a code object that has kept the frame of a call that is over.
    park()
    if n:
        returned_into(n - 1)
        park()


def generator():
    def numbers():
        yield 1
        park()
        yield 2

    def delegate():
        yield from numbers()
        yield 3
    list(delegate())


def expression_generator():
    return sum(park() for _ in range(1))


def comprehensions():
    return [
        {
            x: park() for x in range(1)
        }
        for _ in range(1)
    ]


def class_body():
    class Outer:
        class Inner:
            here = park()


def metaclass():
    class Meta(type):
        def __new__(mcs, name, bases, namespace):
            park()
            return super().__new__(mcs, name, bases, namespace)

    class Made(metaclass=Meta):
        pass


def lambdas():
    f = lambda g: (  # noqa: E731
        g(
        )
    )
    f(lambda: park())


def executed():
    exec("\n\ndef f():\n    eval('(\\n park())')\n\nf()\n", {"park": park})


def compiled(filename, name="f", line=1):
    source = "\n" * (line - 1) + "def %s():\n    x = 1\n    park()\n" % name + "%s()\n" % name
    exec(compile(source, filename, "exec"), {"park": park})


def latin1():
    compiled("d\xe9j\xe0/vu.py", "caf\xe9")


def ucs2():
    compiled("\u6587\u4ef6/\u0444\u0430\u0439\u043b.py", "\u51fd\u6570")


def ucs4():
    compiled("\U0001f40d/\U0001f4a9.py", "\U00020000\U0001d4d0x".replace("\U0001d4d0", ""))


def surrogates():
    compiled(os.fsdecode(b"bad-\xff\xfe.py"))


def filename_of_a_subclass():
    class Name(str):
        pass
    compiled(Name("sub\u0444.py"))
    compiled(Name("ascii.py"))


def empty_filename():
    compiled("")


def long_texts():
    compiled("\u6587" * 3000, "n" * 2000)
    compiled("x" * 4095)
    compiled("x" * 4096)
    compiled("x" * 4094 + "\xe9", "f" * 511)


def renamed():
    code = nested.__code__.replace(co_name="nul\0and\U0001f40d")
    types.FunctionType(code, globals())()


def far_lines():
    compiled("far.py", "f", 100000)


def lines_backwards():
    tree = ast.parse("def f():\n    a = 1\n    b = 2\n    park()\n    c = 3\nf()\n")
    body = tree.body[0].body
    for statement, line in zip(body, (5000, 3, 2000000, 70)):
        for node in ast.walk(statement):
            if hasattr(node, "lineno"):
                node.lineno = node.end_lineno = line
    exec(compile(tree, "back.py", "exec"), {"park": park})


def large_function():
    lines = ["def f():", "    a = 0"]
    for i in range(3000):
        lines.append("    a = a + %d if a >= 0 else [%d, a, 'x%d']" % (i, i * 1000, i))
        if i == 2500:
            lines.append("    park()")
    exec(compile("\n".join(lines) + "\nf()\n", "large.py", "exec"), {"park": park})


def one_long_line():
    calls = " + ".join("a * %d" % i for i in range(600))
    exec(compile("def f(a):\n    a = 1\n    return [%s, park(), %s]\nf(2)\n" % (calls, calls), "long.py", "exec"),
         {"park": park})


def call_over_lines():
    def f(**kw):
        park(
            kw,
            len(
                "x"
            ),
        )
    f(
        a=1,
        b=[
            2,
        ],
    )


def exceptions():
    try:
        try:
            raise ValueError
        except ValueError:
            park()
        finally:
            park()
        raise KeyError(
            "x"
        )
    except KeyError as e:
        while e:
            park()
            e = None


def context_managers():
    class Manager:
        def __enter__(self):
            park()

        def __exit__(self, *exc):
            park()

    with Manager() as a, \
            Manager() as b:
        a = b


def out_of_c():
    class Key:
        def __init__(self, x):
            self.x = x

        def __lt__(self, other):
            return park()
    sorted([Key(1), Key(2)])
    max([1], key=functools.partial(park, 1))
    list(map(park, [1]))


def special_methods():
    class Special:
        @property
        def attribute(self):
            return park()

        def __getattr__(self, name):
            return park()

        def __getitem__(self, item):
            return park()

        def __call__(self):
            return park()

        def __init__(self):
            park()

        def __del__(self):
            park()
    s = Special()
    s.attribute
    s.other
    s[1]
    s()
    del s


def coroutines():
    async def leaf():
        async with Manager():
            pass

    class Manager:
        async def __aenter__(self):
            park()

        async def __aexit__(self, *exc):
            await Awaitable()

    class Awaitable:
        def __await__(self):
            yield
            park()

    async def numbers():
        yield 1
        park()

    async def main():
        await leaf()
        async for _ in numbers():
            pass
        [x async for x in numbers()]
    coroutine = main()
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


def hot():
    # Many turns first: the code is specialised, and where there is a JIT it may have run.
    def body(n, last):
        total = 0
        for i in range(n):
            total += i
            if i == last:
                park()
        return total

    def turns():
        for i in range(6000):
            yield body(3, 2 if i == 5999 else -1)
    for _ in turns():
        pass
    body(20000, 19999)


def importing():
    class Loader(importlib.abc.Loader):
        def exec_module(self, module):
            module.park = park
            exec(compile("import sys\npark()\n", "module.py", "exec"), module.__dict__)

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "parked_module":
                return importlib.util.spec_from_loader(name, Loader())
            return None
    sys.meta_path.insert(0, Finder())
    import parked_module  # noqa: F401
    sys.meta_path.pop(0)


def decorated():
    def decorator(f):
        @functools.wraps(f)
        def wrapper(*args):
            return f(
                *args)
        return wrapper

    @decorator
    @decorator
    def f(x):
        park()
    f(1)


def traced():
    def tracer(frame, event, arg):
        return tracer

    def f():
        a = 1
        park()
        return a
    sys.settrace(tracer)
    try:
        f()
    finally:
        sys.settrace(None)


def threads():
    gate, told, *left = (_thread.allocate_lock() for _ in range(6))
    for lock in (gate, told, *left):
        lock.acquire()

    # One line again: no Python frame comes or goes between the telling and the gate.
    def stand():
        tell(sys._getframe()), told.release(), gate.acquire(), gate.release()

    def worker(n):
        if n:
            worker(n - 1)
        else:
            [stand() for _ in range(1)]

    def start(n):
        worker(n)
        left[n].release()
    for n in range(4):
        _thread.start_new_thread(start, (n,))
        told.acquire()
    park()
    gate.release()
    for n in range(4):
        left[n].acquire()


def holding_the_gil():
    # ctypes.PyDLL keeps the GIL: this thread stays the current one while it waits.
    buffer = ctypes.create_string_buffer(1)
    read = ctypes.PyDLL(None).read
    read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    address = ctypes.addressof(buffer)
    tell(sys._getframe()), os.write(1, READY), read(0, address, 1)


def tell_runtime():
    say("runtime", hex(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))))
    gc.disable()
    for generation in (0, 1, 1, 2, 2, 2):
        gc.collect(generation)
    say("gc", int(gc.isenabled()), *gc.get_threshold(), *gc.get_count()[1:],
        gc.get_freeze_count(), *(s["collections"] for s in gc.get_stats()))
    if sys.version_info >= (3, 12):
        words = (ctypes.c_uint64 * 15)()
        for domain in range(3):
            ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(words, domain * 40))
        say("allocator", *words)


SCENARIOS = (
    park, nested, recursion, returned_into, generator, expression_generator, comprehensions, class_body, metaclass, lambdas, executed,
    latin1, ucs2, ucs4, surrogates, filename_of_a_subclass, empty_filename, long_texts, renamed, far_lines,
    lines_backwards, large_function, one_long_line, call_over_lines, exceptions, context_managers, out_of_c,
    special_methods, coroutines, hot, importing, decorated, traced, threads, holding_the_gil,
)


def main():
    tell_runtime()
    for scenario in SCENARIOS:
        say("scenario", scenario.__name__)
        scenario()
    say("done")
    out.flush()


main()
