"""What is told of certificates, and what never is: expiry in log, metrics and status; nothing of the private key."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import pytest

import pem
from process import Process, wait_until
from replacing import files_in, renamed_over
from scoregate import BINARY, Scoregate, configuration, environment, service

SERVICES = {"iris": service("http://127.0.0.1:1")}


def test_metrics_and_status_tell_when_it_expires(start, authority):
    pair = authority.issue("localhost", "also.localhost", days=(-10, 42.5))
    gate = start(SERVICES, certificate=pair)
    value = gate.metric("scoregate_certificate_not_after_timestamp_seconds", cname="localhost", serial=pair.serial)
    assert value == pair.not_after
    (told,) = gate.status()["certificates"]
    assert (told["cname"], told["names"], told["serial"]) == ("localhost", ["localhost", "also.localhost"], pair.serial)
    assert told["days_left"] == 42
    assert told["not_after"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(pair.not_after))


def test_metrics_follow_a_renewal(start, tmp_path, authority):
    old, new = authority.issue("localhost"), authority.issue("localhost", days=(-1, 200))
    renamed_over(tmp_path, old)
    gate = start(SERVICES, certificate=files_in(tmp_path, old))
    renamed_over(tmp_path, new)
    assert gate.reload().status == 200
    metrics = gate.ask_admin("/metrics").body.decode()
    assert old.serial not in metrics
    assert gate.metric("scoregate_certificate_not_after_timestamp_seconds", serial=new.serial) == new.not_after


# From when to when it is valid, in days from now, and what is said of it.
EXPIRY = {
    "a third of 90 days": ((-61, 29.5), "warn.*expires in 29 days.*renew it soon"),
    "a third of 30 days": ((-20.5, 9.5), "warn.*expires in 9 days.*renew it soon"),
    "at most 30 days": ((-335, 29.5), "warn.*expires in 29 days.*renew it soon"),
    "7 days": ((-83, 6.5), "warn.*expires in 6 days.*renew it now"),
    "1 day": ((-89, 0.9), "warn.*expires in 21 hours.*renew it now"),
    "over": ((-90, -1.52), "error.*expired 36 hours ago"),
}


@pytest.mark.parametrize("case", EXPIRY)
def test_an_expiry_is_told_at_the_start(start, authority, case):
    days, told = EXPIRY[case]
    pair = authority.issue("localhost", days=days)
    start(SERVICES, certificate=pair).stderr.wait_for(told)


@pytest.mark.parametrize("days", [(-59, 30.5), (-335, 30.5), (-19, 10.5)])
def test_an_expiry_that_is_far_off_is_not_told(start, authority, days):
    gate = start(SERVICES, certificate=authority.issue("localhost", days=days))
    assert "expire" not in gate.stderr.text


def test_each_certificate_is_told_by_its_name(start, authority):
    soon, other = authority.issue("localhost", days=(-61, 20.5)), authority.issue("other.example", days=(-61, 3.5))
    gate = start(SERVICES, certificate=soon, certificates=[other.settings | {"sslCname": "other.example"}])
    gate.stderr.wait_for(f"warn.*localhost.*{soon.serial}.*expires in 20 days")
    gate.stderr.wait_for(f"warn.*other.example.*{other.serial}.*expires in 3 days")
    assert {each["cname"]: each["days_left"] for each in gate.status()["certificates"]} == {"localhost": 20, "other.example": 3}


# -- care for the key

def test_a_key_that_others_may_read_is_told(start, files):
    files.key.chmod(0o644)
    start(SERVICES, certificate=files).stderr.wait_for(f"{files.key} has mode 0644.*chmod 600")


@pytest.mark.parametrize("mode", [0o600, 0o640])  # its group: how several services share one
def test_a_key_that_is_kept_well_is_not(start, files, mode):
    files.key.chmod(mode)
    assert "mode" not in start(SERVICES, certificate=files).stderr.text


def test_nothing_shows_the_key(start, files, renewals):
    gate = start(SERVICES, certificate=files)
    key = files.key.read_text()
    for certificate in (key, key[:120], files.certificate.read_text() + key[:120]):  # a key in the wrong file is no less a key
        files.certificate.write_text(certificate)
        refused = gate.reload()
        assert refused.status == 422
        assert not files.shows_key(refused.body.decode())
        assert not files.shows_key(gate.ask_admin("/status").body.decode())
    assert not files.shows_key(gate.ask_admin("/metrics").body.decode())
    gate.stop()
    assert "refused" in gate.stderr.text
    assert not files.shows_key(gate.stdout.text + gate.stderr.text)


def memory(process):
    """The bytes that it could write to; skips the test where the system does not let us look."""
    found = b""
    try:
        maps = pathlib.Path(f"/proc/{process.pid}/maps").read_text()
        with open(f"/proc/{process.pid}/mem", "rb", buffering=0) as content:
            for line in maps.splitlines():
                span, rights = line.split()[:2]
                if rights.startswith("rw"):
                    begin, end = (int(each, 16) for each in span.split("-"))
                    content.seek(begin)
                    found += content.read(end - begin)
    except PermissionError as error:
        pytest.skip(f"{error}; that needs CAP_SYS_PTRACE")
    return found


def secret_of(pair):
    """The private number of an EC key, as OpenSSL keeps it on a little-endian machine."""
    text = pem.openssl("ec", "-in", pair.key, "-noout", "-text")
    digits = re.search("priv:(.*?)pub:", text, re.DOTALL).group(1)
    return bytes.fromhex(re.sub(r"[\s:]", "", digits))[::-1]


def test_a_key_is_wiped_when_it_is_dropped(start, tmp_path, renewals):
    renamed_over(tmp_path, renewals[0])
    gate = start(SERVICES, certificate=files_in(tmp_path, renewals[0]), workers=2)
    assert gate.served_serial() == renewals[0].serial
    assert secret_of(renewals[0]) in memory(gate)  # or this looks for the wrong thing

    renamed_over(tmp_path, renewals[1])
    assert gate.reload().status == 200
    assert gate.served_serial() == renewals[1].serial
    wait_until(lambda: secret_of(renewals[0]) not in memory(gate))  # each core drops it in its own time
    pem_text = [line.encode() for pair in renewals[:2] for line in pair.key.read_text().splitlines()[1:-1]]
    now = memory(gate)
    assert secret_of(renewals[1]) in now
    assert not any(line in now for line in pem_text)


@pytest.fixture
def unprivileged():
    """(options of subprocess for a user without rights, a folder of that user)"""
    options = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        if options:
            shutil.chown(folder, "nobody", "nogroup")
        yield options, pathlib.Path(folder)


def test_no_other_process_of_its_user_can_look_into_it(unprivileged, files):
    """Nor does the kernel write its memory to a file: both are one flag, prctl(2) PR_SET_DUMPABLE."""
    options, folder = unprivileged
    program = shutil.copy(BINARY, folder)
    for name in ("cert.pem", "key.pem"):
        shutil.copy(files.key.parent / name, folder)
        (folder / name).chmod(0o644)
    pair = pem.Pair(folder / "cert.pem", folder / "key.pem", files.ca)

    def can_be_read(process):
        done = subprocess.run(["cat", f"/proc/{process.pid}/environ"], capture_output=True, cwd="/", timeout=10, **options)
        assert done.returncode == 0 or b"Permission denied" in done.stderr
        return done.returncode == 0

    ordinary = Process(["sleep", "60"], cwd="/", env=environment(), **options)
    gate = Scoregate(folder, configuration(SERVICES, pair), pair, binary=program, cwd="/", **options)
    try:
        gate.wait_ready()
        assert can_be_read(ordinary)
        assert not can_be_read(gate)
        assert gate.metric("process_resident_memory_bytes") > 0  # it can still look into itself
        assert gate.metric("process_open_fds") > 0
    finally:
        gate.stop()
        ordinary.stop()
