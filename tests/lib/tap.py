# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A small producer of TAP for tests/run.

    from lib.tap import test, ok, is_, near, skip, main

    @test
    def the_sky_is_blue():
        is_(sky.colour, "blue", "colour")

    main()

A test ends at its first wrong check. `once` makes a fixture that several tests share, `cleanup` is an ExitStack that
is closed at the end whatever happens (also on SIGTERM, which tests/run sends at the time limit).
"""
import contextlib
import functools
import signal
import sys
import traceback

cleanup = contextlib.ExitStack()
_tests = []


class Skip(Exception):
    """Raised by skip()."""


class Failed(Exception):
    """Raised by a check that did not hold; its text becomes the diagnostics."""


def skip(reason):
    raise Skip(reason)


def test(function):
    _tests.append(function)
    return function


def once_more(function):
    """For a test of what something costs, or of who is first: these machines are shared, and for seconds another's. What fails for once is
    noted and tried again; what fails twice has failed."""
    @functools.wraps(function)
    def twice(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Failed as error:
            note("once more, for the machine may have been disturbed: " + str(error).partition("\n")[0])
        return function(*args, **kwargs)
    return twice


def once(function):
    """The function runs once; later calls get the same result, or the same exception (skip, failure)."""
    done = []

    @functools.wraps(function)
    def wrapper():
        if not done:
            try:
                done.append((function(), None))
            except Exception as error:  # pylint: disable=broad-except
                done.append((None, error))
        result, error = done[0]
        if error:
            raise error
        return result
    return wrapper


def ok(condition, *diagnostics):
    if not condition:
        raise Failed("\n".join(str(text) for text in diagnostics) or "not true")


def is_(got, want, what="value"):
    ok(got == want, f"{what}:", f"  got  {got!r}", f"  want {want!r}")


def near(got, want, percent, what="value"):
    """got is within percent of want."""
    ok(abs(got - want) * 100 <= percent * abs(want),
       f"{what}: got {got:,}, want {want:,} within {percent} % "
       + (f"({(got - want) * 100 / want:+.1f} %)" if want else ""))


def has(text, part, what="output"):
    ok(part in text, f"{what} lacks {part!r}:", text)


def note(text):
    print("".join(f"# {line}\n" for line in str(text).splitlines()), end="", flush=True)


def _run(number, function):
    name = (function.__doc__ or function.__name__.replace("_", " ")).strip().splitlines()[0].rstrip(".")
    name = name.replace("#", "no. ")
    try:
        function()
        print(f"ok {number} - {name}", flush=True)
    except Skip as reason:
        print(f"ok {number} - {name} # SKIP {reason}", flush=True)
    except Failed as failure:
        print(f"not ok {number} - {name}", flush=True)
        note(failure)
        return False
    except Exception:  # pylint: disable=broad-except
        print(f"not ok {number} - {name}", flush=True)
        note(traceback.format_exc())
        return False
    return True


def main():
    """Runs every @test in order and exits."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"1..{len(_tests)}", flush=True)
    with cleanup:
        passed = [_run(number, function) for number, function in enumerate(_tests, 1)]
    sys.exit(0 if all(passed) else 1)
