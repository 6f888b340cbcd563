"""The sandbox of packaging/systemd around what scoregate really does: strace tells what it asks the kernel for, and the unit allows it all.
systemd itself is not there to try it with."""
import re
import subprocess

import pytest

from process import ROOT, wait_until
from scoregate import BINARY, Scoregate, configuration, service

UNIT = (ROOT / "packaging/systemd/scoregate.service").read_text()


def setting(key):
    return re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE)


def calls_of(name):
    """The calls that a name of SystemCallFilter= stands for: itself, or those of a set, with the sets in it."""
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True, timeout=10)
    inside = [line.strip() for line in told.stdout.splitlines()[1:] if not line.strip().startswith("#")]
    return set().union(*(calls_of(each) for each in inside if each))


def allowed_calls():
    """systemd.exec(5): the first line makes it a list of what is allowed, a later one with ~ takes away from it. @default is always in."""
    found = calls_of("@default")
    for line in setting("SystemCallFilter"):
        for name in line.removeprefix("~").split():
            found = found - calls_of(name) if line.startswith("~") else found | calls_of(name)
    return found


@pytest.fixture(scope="module")
def trace(ecdsa, tmp_path_factory, quick_replica):
    """Everything that a scoregate has asked for, from its start over requests, look-ups, a reload and the admin port to the end of its drain."""
    folder = tmp_path_factory.mktemp("sandbox")
    told = folder / "trace"
    launcher = folder / "launcher"
    # -D: strace is beside it, not above, so that signals reach scoregate.
    launcher.write_text(f"#!/bin/sh\nexec strace -D -f -q -s 64 -o '{told}' '{BINARY}' \"$@\"\n")
    launcher.chmod(0o755)
    services = {"stream": service(quick_replica.url),
                "named": service("dns://nobody.invalid:1")}
    settings = configuration(services, ecdsa, workers=2, dns={"servers": ["127.0.0.1:1"]})
    gate = Scoregate(folder, settings, ecdsa, binary=launcher)
    try:
        gate.stderr.wait_for("serves with", timeout=60)
        assert gate.request("POST", "/api/v1/service/stream/score", b"x").status == 200
        assert gate.plain_request("GET", "/").status in (200, 308)
        for path in ("/metrics", "/status", "/history"):
            assert gate.ask_admin(path).status == 200
        assert gate.reload().status == 200
    finally:
        gate.stop()
    assert gate.wait() == 0, gate.stderr.text
    wait_until(lambda: re.search(r"^\d+ +\+\+\+ exited with 0 \+\+\+$", told.read_text(), re.MULTILINE))
    return told.read_text()


def test_the_trace_has_what_it_is_to_have(trace):
    used = set(re.findall(r"^\d+ +(\w+)\(", trace, re.MULTILINE))
    assert {"execve", "seccomp", "listen"} <= used


def test_every_call_is_allowed(trace):
    allowed = allowed_calls()
    assert "read" in allowed and "mount" not in allowed and "setuid" not in allowed
    assert set(re.findall(r"^\d+ +(\w+)\(", trace, re.MULTILINE)) - allowed == set()


def test_every_family_of_sockets_is_allowed(trace):
    (families,) = setting("RestrictAddressFamilies")
    used = set(re.findall(r"\bsocket\((AF_\w+)", trace))
    assert "AF_INET" in used and used <= set(families.split())


def test_no_memory_is_for_writing_and_for_running(trace):
    """MemoryDenyWriteExecute=."""
    assert not re.findall(r"^.*PROT_WRITE\|PROT_EXEC.*$", trace, re.MULTILINE)
    assert not re.findall(r"^.*\bmprotect\(.*PROT_EXEC.*$", trace, re.MULTILINE)


def test_nothing_is_written_to_but_what_was_handed_over(trace):
    """ProtectSystem=strict: the file system can only be read."""
    opened = re.findall(r'\bopenat\([^"]*"([^"]*)", ([A-Z_|]+)', trace)
    assert opened
    assert {path for path, flags in opened if {"O_WRONLY", "O_RDWR", "O_CREAT"} & set(flags.split("|"))} <= {"/dev/null"}
