"""System calls of a proxy per request, by name: counted by strace in a turn of its own, which has no other figures."""
import contextlib
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from .load import problems
from .processes import Failure, poll

SECONDS = 1


def count(row, plan, kinds, tell):
    """{proxy: {"total": calls per request, name: ...}} of a row of a closed loop; empty without strace."""
    if not shutil.which("strace"):
        tell("system calls are not counted: there is no strace")
        return {}
    counted = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="scoregate-bench-") as directory, contextlib.ExitStack() as running:
            directory = pathlib.Path(directory)
            model = row.start_model(directory, running, plan)
            proxy = row.start(kind, directory, model, running, plan)
            if plan.warm_up:
                row.load(proxy, SECONDS, plan.load_core)
            names, result = traced(proxy, directory, lambda: row.load(proxy, SECONDS, plan.load_core))
        if wrong := problems(result):
            raise Failure(f"{proxy.name} under strace: {'; '.join(wrong)}")
        counted[kind.name] = {"total": sum(names.values()) / result["requests"]} | {
            name: calls / result["requests"] for name, calls in names.items() if calls >= result["requests"] / 100}
    return counted


def traced(proxy, directory, block):
    """({name: calls of all threads of the proxy}, what the block returned)"""
    summary, said = directory / "strace.out", directory / "strace.stderr"
    pids = proxy.process.pids()
    with open(said, "wb") as stderr:
        tracer = subprocess.Popen(["strace", "-c", "-f", "-o", summary, *(word for pid in pids for word in ("-p", str(pid)))],
                                  stderr=stderr)
    try:
        def attached():
            if tracer.poll() is not None:
                raise Failure(f"strace ended with {tracer.returncode}: {said.read_text()}")
            return said.read_text().count(" attached") >= len(pids)
        poll(attached, "strace to attach")
        result = block()
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
    return parse(summary.read_text()), result


def parse(summary):
    """{name: calls} of what `strace -c` printed."""
    lines = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", summary, re.MULTILINE)
    return {name: int(calls) for calls, name in lines if name != "total"}


def describe(counted):
    lines = [f"{name} {calls['total']:.2f} (" + ", ".join(
        f"{call} {per:.2f}" for call, per in sorted(calls.items(), key=lambda each: -each[1]) if call != "total") + ")"
        for name, calls in counted.items()]
    return "system calls per request: " + "; ".join(lines)
