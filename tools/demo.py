#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What `make demo` shows: tests/targets/leaky_service.py runs in a runc container named `leaky` with a 256 MiB limit, is
recorded for ten seconds, and says what it really leaked. Leaves demo/recording, demo/report.txt and demo/flamegraph.svg.

The service runs all the time; the truth of the recorded span is the difference of what it says at its two ends. It is
told to stop leaking shortly before the recording ends, so that the span is the same for both.
"""
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from lib import host, tool  # noqa: E402
from lib.containers import Container  # noqa: E402
from lib.tap import Failed, Skip  # noqa: E402

SECONDS = 10
MIB = 1 << 20


def say(text=""):
    print(text, flush=True)


def show(*args):
    """Runs a command of the tool in the open; returns what it printed."""
    say(f"\n$ ./pymemscope {' '.join(args)}")
    result = tool.run(*args, cwd=ROOT)
    say((result.out + result.err).strip("\n"))
    return result.succeeded().out


def record(service):
    """Records the service; returns what it leaked meanwhile, by its own account."""
    say(f"\n$ ./pymemscope record --container leaky --duration {SECONDS}s -o demo/recording")
    with tool.record("--container", "leaky", "--duration", f"{SECONDS}s", file="demo/recording") as recorder:
        before = service.ask("truth")
        try:
            recorder.process.wait(SECONDS - 0.5)
        except subprocess.TimeoutExpired:
            pass
        after = service.ask("stop")
        result = recorder.wait()
    say((result.err.replace("\r", "\n") + result.out).strip("\n"))
    result.succeeded()
    return dict(after, bytes=after["payload_bytes"] - before["payload_bytes"], count=after["count"] - before["count"])


def compare(truth):
    """The service's account beside the tool's; False when they differ by more than a tenth."""
    rows = tool.report("demo/recording", "line")["rows"]
    top = rows[0] if rows else {"bytes": 0, "frame": None}
    frame = top["frame"] or {"file": "nothing", "line": 0, "function": "none"}
    say()
    say(f"the service knows it leaked   {truth['bytes'] / MIB:8.1f} MiB  in {truth['file']}:{truth['line']}  "
        f"{truth['function']}  ({truth['count']:,} strings)")
    say(f"pymemscope saw, from outside  {top['bytes'] / MIB:8.1f} MiB  in {frame['file']}:{frame['line']}  "
        f"{frame['function']}")
    same_place = all(frame[key] == truth[key] for key in ("file", "line", "function"))
    off = (top["bytes"] - truth["bytes"]) * 100 / truth["bytes"]
    say(f"difference                    {off:+8.1f} %" + ("" if same_place else ", and another place"))
    return same_place and abs(off) <= 10


def demo():
    os.makedirs("demo", exist_ok=True)
    say("starting a service that leaks, in a runc container named `leaky` with a limit of 256 MiB")
    with Container("leaky", "leaky_service.py", memory_limit=256 * MIB, plain_name=True) as service:
        service.ready()
        truth = record(service)
        report = show("report", "demo/recording")
        show("flamegraph", "demo/recording", "-o", "demo/flamegraph.svg")
    with open("demo/report.txt", "w", encoding="utf-8") as out:
        out.write(report)
    good = compare(truth)
    say("\nleft for you: demo/recording, demo/report.txt, demo/flamegraph.svg (open it in a browser)")
    say("next, with a container of yours:")
    say("    ./pymemscope record --container NAME --duration 30s -o my.pms")
    say("    ./pymemscope flamegraph my.pms -o my.svg")
    return 0 if good else 1


def main():
    # Both end the demonstration like an error does: through every __exit__.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    os.chdir(ROOT)
    try:
        host.need_bpf()
        host.need_runc()
        return demo()
    except (Failed, Skip) as reason:
        print(f"make demo: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
