# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Every way to get a Python frame onto the stack, each a function that runs the rest of a path on top of itself.

A path is a list of such functions. `enter(rest)()` goes on with it: enter() is a Python function that is gone again when
what it returned, a callable of C, runs. At the end of the path that callable touches a page, so the leaf is the very
frame of that kind, on that very line; and enter() has noted before which stack that is. Runs on 3.8 and later.
"""
import asyncio
import collections
import contextlib
import contextvars
import copy
import ctypes
import dataclasses
import functools
import gc
import importlib.machinery
import itertools
import json
import operator
import os
import pickle
import re
import signal
import string
import sys
import threading
import types
import weakref

KINDS = []
ALONE = set()  # kinds that must not run in two threads at once
QUALIFIED = sys.version_info >= (3, 11)
numbers = itertools.count()
notes = {"enter": None}  # set by who walks the path: called with the frame and whether the path ends there


def kind(function):
    KINDS.append(function)
    return function


def alone(function):
    ALONE.add(function)
    return kind(function)


def kind_of(since, source):
    """A kind in syntax that not every version has."""
    if sys.version_info >= since:
        made = {}
        exec(compile(source, f"<syntax of {since[0]}.{since[1]}>", "exec"), {"enter": enter, "nullcontext": contextlib.nullcontext},
             made)
        kind(made.popitem()[1])


def enter(rest):
    """What goes on with the path: a callable of C without arguments."""
    return notes["enter"](sys._getframe(1), rest)


def run_in_thread(function, *args):
    """join() returns before the thread has left the kernel, and its last page faults would be in the way."""
    one = threading.Thread(target=function, args=args)
    one.start()
    task = f"/proc/self/task/{one.native_id}"
    one.join()
    while os.path.exists(task):
        pass


# ---- functions and methods ----

@kind
def plain(rest):
    enter(rest)()


@kind
def multi_line_call(rest):
    def three(*_):
        return (
            enter(
                rest
            )
            ()
        )
    three(
        1,
        three(
            2
        ),
        [
            3,
        ],
    )


@kind
def multi_line_chain(rest):
    class Chain:
        def one(self):
            return self

        def two(self, *_):
            enter(rest)()
            return self
    (
        Chain()
        .one()
        .two(
            1)
        .one()
        .two()
    )


@kind
def multi_line_display(rest):
    def value():
        return enter(rest)()
    {
        "a": 1,
        "b": [
            value(),
            2], "c":
        value() or
        3,
    }


@kind
def multi_line_expression(rest):
    class Number:
        def __add__(self, other):
            enter(rest)()
            return self

        def __getitem__(self, key):
            enter(rest)()
            return self

        def __call__(self, *_):
            enter(rest)()
            return self
    one = Number()
    (one
            + one
            +
            one[
                1
            ])(
                2)


@kind
def statements(rest):
    try:
        raise ValueError(enter(rest)())
    except ValueError:
        enter(rest)()
    finally:
        if enter(rest)() is not None: pass  # noqa: E701
    assert True, \
        "x"


@kind
def loops(rest):
    for i in range(
            2):
        if i:
            continue
        enter(rest)()
    while not enter(rest)() is None and False:
        pass


@kind
def backslashes(rest):
    1, \
        enter(rest)(), \
        2


@kind
def formatted(rest):
    f"""
    {enter(rest)()!r}
    """


@kind
def recursive(rest, depth=20):
    if depth:
        return recursive(rest, depth - 1)
    return enter(rest)()


@kind
def recursive_beyond_the_limit(rest, depth=140):
    if depth:
        return recursive_beyond_the_limit(
            rest, depth - 1)
    return enter(rest)()


@kind
def über_naïve_функция_関数_𝕗𝕦𝕟𝕔(rest):
    enter(rest)()


@kind
def with_a_name_that_is_longer_than_what_the_kernel_side_captures_of_a_name(rest):
    made = {}
    name = "long_name_" * 40
    exec(compile(f"def {name}(enter, rest):\n    enter(rest)()\n", "<" + "long file name " * 30 + ">", "exec"), made)
    made[name](enter, rest)


@kind
def with_a_long_line_table(rest):
    """Over 2 KiB of table, in front of the line in question."""
    source = "def long(enter, rest, x=0):\n" + "    x = x + 1; x = x - 1\n\n" * 400 + "    enter(rest)()\n"
    made = {}
    exec(compile(source, "<long table>", "exec"), made)
    made["long"](enter, rest)


@kind
def with_far_lines(rest):
    """Deltas that need more than one entry, forwards and backwards."""
    source = "def far(enter, rest):\n" + "\n" * 700 + "    return (1," + "\n" * 300 + "enter(rest)(), \n" + "\n" * 40_000 + \
        "enter(rest)())\n"
    made = {}
    exec(compile(source, "<far lines>", "exec"), made)
    made["far"](enter, rest)


@kind
def replaced_code(rest):
    def function():
        enter(rest)()
    number = next(numbers)
    code = function.__code__.replace(co_name=f"renamed_{number}", co_filename=f"<moved {number}>",
                                     co_firstlineno=1000 + number % 100)
    types.FunctionType(code, globals(), None, None, function.__closure__)()


class Methods:
    def __init__(self, rest):
        self.rest = rest

    def method(self):
        enter(self.rest)()

    @classmethod
    def of_class(cls, rest):
        enter(rest)()

    @staticmethod
    def static(rest):
        enter(rest)()

    @property
    def computed(self):
        enter(self.rest)()
        return 1

    @computed.setter
    def computed(self, value):
        enter(self.rest)()

    class Nested:
        def method(self, rest):
            enter(rest)()


@kind
def methods(rest):
    one = Methods(rest)
    one.method()
    Methods.of_class(rest)


@kind
def static_method(rest):
    Methods.static(rest)


@kind
def nested_method(rest):
    Methods.Nested().method(rest)


@kind
def properties(rest):
    one = Methods(rest)
    one.computed = one.computed + 1


@kind
def super_method(rest):
    class Child(Methods):
        def method(self):
            super().method()
    Child(rest).method()


@kind
def bound_by_partial(rest):
    functools.partial(Methods.static, rest)()


@kind
def cached(rest):
    functools.lru_cache(Methods.Nested.method)(None, tuple(rest))


# ---- the special methods that C calls ----

class Special:
    """The name of the one method that goes on with the path; the others answer quietly."""

    def __init__(self, rest):
        self.rest = rest
        enter(rest)()


@kind
def initialiser(rest):
    Special(rest)


@kind
def inherited_initialiser(rest):
    class Child(Special):
        def __init__(self, *args):
            super().__init__(*args)
    Child(rest)


def special(name, answer, use):
    """A kind: the class's method `name` goes on with the path and gives the answer; use() makes C call it."""
    def run(rest):
        def method(self, *_):
            enter(rest)()
            return answer
        cls = type("Made", (), {name: method, **({"__hash__": object.__hash__} if name == "__eq__" else {})})
        use(cls())
    run.__name__ = run.__qualname__ = "use_" + name.strip("_")
    run.__code__ = run.__code__.replace(co_name=run.__name__)
    kind(run)


for made in (
        ("__call__", 0, lambda one: one()),
        ("__getattr__", 0, lambda one: one.missing),
        ("__setattr__", None, lambda one: setattr(one, "x", 1)),
        ("__delattr__", None, lambda one: delattr(one, "x")),
        ("__add__", 0, lambda one: one + 1),
        ("__radd__", 0, lambda one: 1 + one),
        ("__iadd__", 0, lambda one: operator.iadd(one, 1)),
        ("__neg__", 0, lambda one: -one),
        ("__getitem__", 0, lambda one: one[1]),
        ("__setitem__", None, lambda one: operator.setitem(one, 1, 2)),
        ("__contains__", True, lambda one: 1 in one),
        ("__eq__", True, lambda one: [one].index(1)),
        ("__lt__", True, lambda one: sorted([one, one])),
        ("__hash__", 1, lambda one: {one: 1}),
        ("__len__", 1, lambda one: bool(one)),
        ("__bool__", True, lambda one: 1 if one else 2),
        ("__iter__", iter(()), lambda one: list(one)),
        ("__repr__", "one", lambda one: f"{[one]!r:>10}"),
        ("__str__", "one", lambda one: " ".join([str(one)])),
        ("__format__", "one", lambda one: "{:x}".format(one)),
        ("__index__", 1, lambda one: [1, 2][one]),
        ("__int__", 1, lambda one: int(one)),
        ("__reduce__", "string", lambda one: copy.copy(one)),
        ("__sizeof__", 8, lambda one: sys.getsizeof(one)),
        ("__dir__", ["a"], lambda one: dir(one)),
        ("write", 0, lambda one: print("text", file=one)),
        ("__fspath__", "path", lambda one: os.fspath(one))):
    special(*made)


@kind
def iterator(rest):
    class Iterator:
        def __iter__(self):
            return self

        def __next__(self):
            enter(rest)()
            raise StopIteration
    for _ in Iterator():
        pass
    list(Iterator())


@kind
def descriptor(rest):
    class Descriptor:
        def __set_name__(self, owner, name):
            enter(rest)()

        def __get__(self, one, owner):
            enter(rest)()

    class Owner:
        value = Descriptor()
    Owner.value


@kind
def metaclass(rest):
    class Meta(type):
        @classmethod
        def __prepare__(mcs, *_):
            enter(rest)()
            return {}

        def __call__(cls):
            enter(rest)()

        def __instancecheck__(cls, one):
            enter(rest)()
            return False

    class Made(metaclass=Meta):
        def __init_subclass__(cls):
            enter(rest)()

    class Child(Made):
        pass
    isinstance(1, Child)
    Child()


@kind
def attribute_overridden(rest):
    class Overridden:
        def __getattribute__(self, name):
            return enter(rest)()
    Overridden().anything


@kind
def new_method(rest):
    class Made:
        def __new__(cls):
            enter(rest)()
            return object.__new__(cls)
    Made()


@kind
def missing_key(rest):
    class Missing(dict):
        def __missing__(self, key):
            return enter(rest)()
    Missing()[1], collections.defaultdict(lambda: enter(rest)())[1]


@kind
def data_class(rest):
    @dataclasses.dataclass
    class Data:
        rest: list

        def __post_init__(self):
            enter(self.rest)()
    Data(rest)


# ---- class bodies, decorators, lambdas, comprehensions ----

@kind
def class_body(rest):
    class Body:
        value = enter(rest)()

        class Inner:
            values = [enter(rest)() for _ in range(1)]


@kind
def decorators(rest):
    def decorate(function):
        enter(rest)()

        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)
        return wrapper

    @decorate
    @functools.partial(
        decorate,
    )
    def decorated():
        enter(rest)()
    decorated()

    @decorate
    class Decorated:
        pass
    Decorated()


@kind
def in_lambda(rest):
    (lambda: (
        0, enter(rest)()))()


@kind
def default_argument(rest):
    def function(value=enter(rest)()):
        return value
    function()


@kind
def annotation(rest):
    def function(value: enter(rest)()):
        return value
    function.__annotations__


@kind
def list_comprehension(rest):
    [enter(rest)() for _ in range(2)]


@kind
def set_comprehension(rest):
    {
        enter(rest)()
        for _ in range(1)}


@kind
def dict_comprehension(rest):
    {i: enter(rest)() for i in range(1)}


@kind
def nested_comprehension(rest):
    [[x for x in [enter(rest)()]] for y in (1,)
            if enter(rest)() or True]


@kind
def generator_expression(rest):
    any(enter(rest)() is None for _ in range(1)), sum(
        len(str(enter(rest)())) for _ in range(1))


# ---- generators and coroutines ----

@kind
def generator(rest):
    def inner():
        yield enter(rest)()

    def outer():
        yield from inner()
        enter(rest)()
    for _ in outer():
        pass


@kind
def generator_driven(rest):
    def driven():
        try:
            got = yield
            enter(rest)()
            yield got
        except ValueError:
            enter(rest)()
            yield
        finally:
            enter(rest)()
    one = driven()
    next(one)
    one.send(1)
    one.throw(ValueError())
    one.close()


@kind
def generator_abandoned(rest):
    def abandoned():
        try:
            yield
        finally:
            enter(rest)()
    next(abandoned())


@kind
def coroutine(rest):
    async def outer():
        return await inner()

    async def inner():
        return enter(rest)()
    with contextlib.suppress(StopIteration):
        outer().send(None)


@kind
def awaitable(rest):
    class Awaitable:
        def __await__(self):
            enter(rest)()
            yield

    async def waits():
        await Awaitable()
    one = waits()
    one.send(None)
    one.close()


@kind
def async_generator(rest):
    class Manager:
        async def __aenter__(self):
            enter(rest)()

        async def __aexit__(self, *_):
            enter(rest)()

    async def generates():
        async with Manager():
            yield enter(rest)()

    async def loops():
        async for _ in generates():
            pass
        return [x async for x in generates()]
    with contextlib.suppress(StopIteration):
        loops().send(None)


@kind
def tasks(rest):
    """An event loop; one a thread."""
    if asyncio._get_running_loop():
        return enter(rest)()

    async def child():
        await asyncio.sleep(0)
        enter(rest)()

    async def parent():
        asyncio.get_running_loop().call_soon(lambda: enter(rest)())
        await asyncio.gather(child(), asyncio.create_task(child()))
    asyncio.run(parent())


# ---- exec and import ----

@kind
def executed(rest):
    """Code objects that come and go at the same address, with names of their own."""
    number = next(numbers)
    for i in range(2):
        source = "\n" * (number % 7 + i) + f"def made_{number}_{i}():\n    enter(rest)()\nmade_{number}_{i}()\n"
        exec(compile(source, f"<made {number} {i}>", "exec"), {"enter": enter, "rest": rest})


@kind
def executed_line(rest):
    for source, mode in (("enter(rest)()", "exec"), ("enter(rest)()", "eval"), ("[\n\nenter(rest)()]", "eval")):
        eval(compile(source, "<executed line>", mode))


@kind
def code_reused(rest):
    """The same name and file, another line: the allocator gives the new code the old one's address."""
    for line in range(3):
        exec(compile("\n" * line + "enter(rest)()", "<reused>", "exec"))


class Finder:
    """Modules that are made as they are imported."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, cls) if name.startswith("truth_made_") else None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        source = "from frame_kinds import enter, handed_over\n\nenter(handed_over[__name__])()\n"
        exec(compile(source, f"<{module.__name__}>", "exec"), module.__dict__)


sys.meta_path.insert(0, Finder)
handed_over = {}


@kind
def module_made(rest):
    name = f"truth_made_{next(numbers)}"
    handed_over[name] = rest
    __import__(name)
    del sys.modules[name], handed_over[name]


@alone
def module_of_a_file(rest):
    before = handed_over.get("stack_truth_module")
    handed_over["stack_truth_module"] = rest
    sys.modules.pop("stack_truth_module", None)
    import stack_truth_module  # noqa: F401  pylint: disable=import-error,unused-import
    handed_over["stack_truth_module"] = before


# ---- functions that C calls back ----

@kind
def sort_key(rest):
    sorted([2, 1], key=lambda x: enter(rest)() and x or x)


@kind
def compare_key(rest):
    def compare(_, __):
        enter(rest)()
        return 0
    [1, 2].sort(key=functools.cmp_to_key(compare))


@kind
def mapped(rest):
    list(map(lambda _: enter(rest)(), range(1))), list(filter(lambda _: enter(rest)(), range(1)))


@kind
def largest(rest):
    max([1, 2],
               key=lambda _: enter(rest)() or 0)


@kind
def reduced(rest):
    functools.reduce(lambda one, other: enter(rest)(), [1, 2])


@kind
def substituted(rest):
    def replacement(_):
        enter(rest)()
        return "y"
    re.sub("x", replacement, "x")


@kind
def sentinel(rest):
    list(iter(lambda: enter(rest)() and 0 or 0, 0))


@kind
def grouped(rest):
    list(itertools.groupby([1], key=lambda _: enter(rest)())), list(
        itertools.accumulate([1, 2], lambda a, b: enter(rest)()))


@kind
def called_by_name(rest):
    operator.methodcaller("method")(Methods(rest))
    operator.attrgetter("computed")(Methods(rest))


@kind
def json_hook(rest):
    json.loads('{"a": {}}', object_hook=lambda _: enter(rest)())
    json.dumps({1: object()}, default=lambda _: enter(rest)() and 0)


class Reduced:
    rest = None

    def __reduce__(self):
        enter(self.rest)()
        return Reduced, ()


@kind
def pickled(rest):
    one = Reduced()
    one.rest = rest
    pickle.dumps([one])
    copy.deepcopy(one)


@kind
def template(rest):
    class Mapping:
        def __getitem__(self, name):
            return enter(rest)()
    string.Template("$x").substitute(Mapping())


COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
LIBC = ctypes.CDLL(None)


@kind
def called_by_native_code(rest):
    def compare(_, __):
        enter(rest)()
        return 0
    LIBC.qsort((ctypes.c_int * 2)(2, 1), 2, 4, COMPARE(compare))


@kind
def in_context(rest):
    contextvars.copy_context().run(lambda: enter(rest)())


@kind
def context_managers(rest):
    @contextlib.contextmanager
    def managed():
        enter(rest)()
        yield
        enter(rest)()
    with managed():
        pass
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: enter(rest)())
        stack.enter_context(managed())


@kind
def manager_class(rest):
    class Manager:
        def __enter__(self):
            enter(rest)()

        def __exit__(self, *_):
            enter(rest)()
            return True
    with Manager():
        raise ValueError


@kind
def handler_of_a_signal(rest):
    try:
        before = signal.signal(signal.SIGUSR1, lambda *_: enter(rest)())
    except ValueError:  # not in the interpreter's main thread
        return enter(rest)()
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before or signal.SIG_DFL)


@kind
def profiled(rest):
    def profile(frame, event, _):
        if event == "c_call":
            sys.setprofile(None)
            enter(rest)()
    sys.setprofile(profile)
    len(())
    sys.setprofile(None)


@kind
def thread(rest):
    run_in_thread(lambda: enter(rest)())


# ---- finalisers and the collector ----

class Finalised:
    def __init__(self, rest):
        self.rest = rest

    def __del__(self):
        enter(self.rest)()


@kind
def finaliser(rest):
    one = Finalised(rest)
    one = None
    [Finalised(rest)].clear()


@kind
def weak_callback(rest):
    one = Methods(rest)
    weak = weakref.ref(one, lambda _: enter(rest)())
    one = None


@kind
def weak_finaliser(rest):
    one = Methods(rest)
    weakref.finalize(one, lambda: enter(rest)())
    one = None


@alone
def collector_finaliser(rest):
    """Unless it runs in a collection already; then a later one does it."""
    one = Finalised(rest)
    one.itself = one
    one = None
    gc.collect()


@alone
def collector_weak_callback(rest):
    one = Methods(rest)
    one.itself = one
    kept = weakref.ref(one, lambda _: enter(rest)())
    one = None
    gc.collect(0)
    gc.collect()


@alone
def collector_callback(rest):
    def callback(phase, _):
        if callback in gc.callbacks:
            gc.callbacks.remove(callback)
            enter(rest)()
    gc.callbacks.append(callback)
    gc.collect(0)


@alone
def collector_of_its_own_accord(rest):
    """
    By allocation, in the middle of a list display. Only there: between a call and its first instruction Python's own
    tracebacks leave out the frame.
    """
    one = Finalised(rest)
    one.itself = one
    one = None
    gc.enable()
    kept = [[], [], [], [], [],
            [], [], [], [], []]
    gc.disable()


# ---- syntax of later versions ----

kind_of((3, 8), """
def walrus_and_positional(rest, /):
    if (x := enter(rest)()) is None:
        return x
""")
kind_of((3, 10), """
def matched(rest):
    class Point:
        __match_args__ = ("x",)
        @property
        def x(self):
            return enter(rest)()
    match Point():
        case Point(1):
            pass
        case _ if enter(rest)():
            pass
        case _:
            with (nullcontext() as one,
                  nullcontext() as two):
                enter(rest)()
""")
kind_of((3, 11), """
def exception_groups(rest):
    try:
        raise ExceptionGroup("x", [ValueError(), TypeError()])
    except* ValueError:
        enter(rest)()
    except* TypeError:
        enter(rest)()
""")
kind_of((3, 12), """
def type_parameters(rest):
    type Alias[T] = [
        enter(rest)(), T]
    class Generic[T: enter(rest)()]:
        def method[U](self, x: U) -> T:
            enter(rest)()
    Generic().method(1)
    Generic.__type_params__[0].__bound__
    Alias.__value__
""")

# ---- greenlets ----

try:
    import greenlet
except ImportError:
    greenlet = None
else:
    @kind
    def greenlets(rest):
        """The stack of a greenlet ends where it began."""
        parent = greenlet.getcurrent()

        def other():
            enter(rest)()
            parent.switch()
            enter(rest)()

        def inner():
            enter(rest)()
        one = greenlet.greenlet(other)
        one.switch()
        enter(rest)()
        two = greenlet.greenlet(inner)
        two.switch()
        one.switch()
