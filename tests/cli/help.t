#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The command line: help that helps, and what it says to a mistake. Needs no root."""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.tap import has, is_, main, ok, test  # noqa: E402

COMMANDS = ["doctor", "record", "report", "flamegraph"]


def misused(*args, parts=()):
    """Usage: exit 2, says what is wrong on stderr and where help is, nothing on stdout."""
    host.need_tool()
    result = tool.run(*args)
    is_(result.status, 2, f"{result}\nexit")
    ok(not result.out, "something on stdout:", result)
    has(result.err, "--help", f"{result}\nstderr")
    for part in parts:
        has(result.err, part, f"{result}\nstderr")
    return result.err


@test
def help_lists_every_command():
    host.need_tool()
    for args in (["--help"], ["-h"], ["help"]):
        result = tool.run(*args).succeeded()
        for command in COMMANDS:
            ok(re.search(rf"^\s+(pymemscope )?{command}\b", result.out, re.M), f"{command} is not listed:", result)
        ok(not result.err, "something on stderr:", result)


@test
def every_command_has_help_with_an_example():
    host.need_tool()
    for command in COMMANDS:
        for option in ("--help", "-h"):
            result = tool.run(command, option).succeeded()
            has(result.out, f"pymemscope {command}", f"{result}\nhelp")
            ok(re.search(r"examples?:", result.out, re.I), "no example:", result)
            ok(not result.err, "something on stderr:", result)


@test
def help_names_the_options_of_the_contract():
    host.need_tool()
    for command, options in (("record", ["--container", "--cgroup", "--pid", "--signals", "--duration", "-o"]),
                             ("report", ["--by", "--json"]), ("flamegraph", ["-o"]), ("doctor", ["--pid"])):
        text = tool.run(command, "--help").succeeded().out
        for option in options:
            ok(re.search(rf"(^|[\s,\[(]){option}\b", text, re.M), f"{command} --help lacks {option}", text)


@test
def the_version_is_told():
    host.need_tool()
    ok(re.search(r"\d+\.\d+", tool.run("--version").succeeded().out), "no version")


@test
def no_command():
    misused()


@test
def an_unknown_command():
    misused("recrod", parts=["recrod"])


@test
def an_unknown_option():
    for command in COMMANDS:
        misused(command, "--no-such-option", parts=["no-such-option"])


@test
def an_option_without_its_value():
    for option in ("--pid", "--container", "--cgroup", "--duration", "--signals", "-o"):
        err = misused("record", option, parts=[f"'{option}' lacks its value"])
        is_(err.count("\n"), 2, f"lines, the last about --help:\n{err}")


@test
def values_that_mean_nothing():
    for args in (["--pid", "abc"], ["--pid", "-1"], ["--pid", "0"], ["--pid", "99999999999999999999"],
                 ["--duration", "soon"], ["--duration", "-5s"], ["--duration", "5 parsecs"], ["--duration", ""],
                 ["--signals", "heat"], ["--signals", ""], ["--signals", "exact,,gc"]):
        misused("record", *args, parts=[args[1]] if args[1] else [])
    for option, good in (("--duration", "30s"), ("--signals", "resident"), ("--budget", "none"), ("--fault-hook", "perf")):
        misused("record", option, "nonsense", parts=["nonsense", option, good])


@test
def two_targets():
    misused("record", "--pid", "1", "--container", "x")


@test
def a_report_without_a_file_and_by_nothing_known():
    misused("report")
    misused("flamegraph")
    misused("report", "x.pms", "y.pms")


@test
def a_wrong_value_is_answered_with_the_right_ones():
    misused("report", "x.pms", "--by", "colour", parts=["colour", "container", "process", "thread", "function", "line"])
    for command in ("report", "flamegraph"):
        misused(command, "x.pms", "--view", "blue", parts=["blue", "live", "alloc", "peak"])
        for signal in ("heat", "gc", "heap,gc"):  # the collector has no memory to show
            misused(command, "x.pms", "--signal", signal, parts=[f"'{signal}'", "resident", "heap", "exact"])
    for top in ("0", "-1", "many", "3x", ""):
        misused("report", "x.pms", "--top", top, parts=["--top", "number"])


@test
def a_recording_that_is_not_there():
    host.need_tool()
    for args in (["report", "nosuch.pms"], ["flamegraph", "nosuch.pms", "-o", "/dev/null/x.svg"]):
        result = tool.run(*args)
        is_(result.status, 1, f"{result}\nexit")
        has(result.err, "nosuch.pms: there is no such file", f"{result}\nstderr")


main()
