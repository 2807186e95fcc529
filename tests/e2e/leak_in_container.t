#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The claim of the demonstration: a service leaks in a container, and the report names the place and the bytes."""
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import host, tool  # noqa: E402
from lib.containers import Container, full_name  # noqa: E402
from lib.tap import cleanup, has, is_, main, near, ok, once, test  # noqa: E402

NAME = full_name("leaky")
SAMPLED = 30  # percent: under the default budget, in six seconds; without one it is within 2 (resident.t)
LIMIT = 256 << 20


@once
def recorded():
    """(file, truth of the recorded span, usage at its end)"""
    host.need_bpf()
    host.need_runc()
    folder = cleanup.enter_context(tempfile.TemporaryDirectory())
    file = os.path.join(folder, "leak.pms")
    before = tool.in_kernel()
    with Container("leaky", "leaky_service.py", "--rate", 8, memory_limit=LIMIT) as service:
        service.ready()
        with tool.record("--container", NAME, file=file) as recorder:
            begin = service.ask("truth")
            end = service.ask("truth")
            while end["payload_bytes"] - begin["payload_bytes"] < 48 << 20:
                service.wait(0.2)
                end = service.ask("truth")
            end = service.ask("stop")
            usage = service.usage_bytes()
            result = recorder.stop().succeeded()
    truth = dict(end, bytes=end["payload_bytes"] - begin["payload_bytes"])
    tool.nothing_left(before)
    return file, truth, usage, result


@test
def record_ends_well_and_leaves_nothing_attached():
    result = recorded()[3]
    ok(re.search(r"\brecorded\b.*\bdropped\b", result.err), "no summary on stderr:", result)


@test
def the_first_line_of_the_report_is_the_leak():
    file, truth, _, _ = recorded()
    rows = tool.lines(file)
    ok(rows and rows[0]["frame"], "no rows")
    top = rows[0]
    for key in ("file", "line", "function"):
        ok(top["frame"][key] == truth[key], f"{key} of the first row is not {truth[key]!r}:", tool.show_rows(rows))
    near(top["bytes"], truth["bytes"], SAMPLED, "bytes")


@test
def the_first_function_and_process_are_right():
    file, truth, _, _ = recorded()
    function = tool.report(file, "function")["rows"][0]
    is_([function["frame"]["file"], function["frame"]["function"]], [truth["file"], truth["function"]], "function")
    near(function["bytes"], truth["bytes"], SAMPLED, "bytes")
    process = tool.report(file, "process")["rows"]
    is_(len(process), 1, "processes")
    ok(process[0]["python"].startswith(host.interpreter("debian").release + "."), process[0])


@test
def the_heap_names_the_line_too():
    """A service that is idle for most of the time earns few windows under a budget of 1 %: the first are paid in advance."""
    file, truth, _, _ = recorded()
    rows = tool.lines(file, "--signal", "heap")
    leak = tool.at(rows, truth["file"], truth["line"])
    near(leak["bytes"], truth["bytes"], SAMPLED, "bytes of the leak")
    ok(leak["allocated_bytes"] <= 1.25 * truth["bytes"], "what was allocated is told two times:", tool.show_rows(rows))


@test
def the_container_has_its_name_limit_and_usage():
    file, _, usage, _ = recorded()
    containers = tool.report(file, "container")["containers"]
    is_([one["name"] for one in containers], [NAME], "names")
    is_(containers[0]["limit_bytes"], LIMIT, "limit")
    near(containers[0]["usage_bytes"], usage, 10, "usage")


@test
def the_text_says_the_same():
    file, truth, _, _ = recorded()
    text = tool.run("report", file).succeeded().out
    has(text, NAME)
    has(text, "256.0 MiB")
    first = next((line for line in text.splitlines() if re.search(r"\.py:\d+", line)), "")
    has(first, f"{os.path.basename(truth['file'])}:{truth['line']}", "first row")


@test
def the_flame_graph_has_the_leak():
    file, truth, _, _ = recorded()
    base = os.path.splitext(file)[0]
    tool.run("flamegraph", file, "-o", base + ".svg").succeeded()
    root = xml.etree.ElementTree.parse(base + ".svg").getroot()
    has("".join(root.itertext()), truth["function"].rpartition(".")[2], "the flame graph")
    tool.run("flamegraph", file, "-o", base + ".folded").succeeded()
    with open(base + ".folded", encoding="utf-8") as folded:
        leaks = [line for line in folded if truth["function"] in line]
    ok(leaks, "no folded line has the function")
    near(sum(int(line.rpartition(" ")[2]) for line in leaks), truth["bytes"], SAMPLED, "folded bytes")


@test
def a_user_may_ask_with_sql():
    file, truth, _, _ = recorded()
    dump = subprocess.run(["sqlite3", "-readonly", file, ".dump"], stdout=subprocess.PIPE, text=True, check=True).stdout
    has(dump, truth["function"], "the database")


main()
