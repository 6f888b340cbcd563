"""What scoregate refuses to start with: exit 2 within a second, never prompting, naming the file and what to do."""
import fcntl
import itertools
import json
import os
import pty
import re
import socket
import subprocess
import termios
import time

import pytest

import pem
from scoregate import BINARY, configuration, environment, service
from spoilt import AS_ANYBODY, SPOILT

SERVICES = {"iris": service("http://127.0.0.1:1")}


def start_refused(directory, settings, *, prefix=(), command=()):
    """Runs it with nothing on its standard input and again on a terminal; what it said on stderr."""
    file = directory / "scoregate.json"
    file.write_text(json.dumps(settings))
    line = [*prefix, BINARY, *command, "--config", file]

    said = []
    for terminal in (False, True):
        master, slave = pty.openpty() if terminal else (None, None)
        started = time.monotonic()
        child = subprocess.Popen(line, stdin=slave if terminal else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, env=environment(), start_new_session=True,
                                 preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None)
        try:
            _, stderr = child.communicate(timeout=5)
        finally:
            child.kill()
        assert child.returncode == 2, stderr
        assert time.monotonic() - started < 1
        if terminal:
            os.set_blocking(master, False)
            with pytest.raises(BlockingIOError):  # nothing was written to /dev/tty, no prompt either
                os.read(master, 100)
            os.close(slave)
            os.close(master)
        said.append(stderr)
    assert said[0] and said[1]
    return said[0]


@pytest.mark.parametrize("case", SPOILT)
def test_files_that_cannot_be_used(case, files, tmp_path):
    spoil, name, told = SPOILT[case]
    spoil(files)
    settings = configuration(SERVICES, files)
    said = start_refused(tmp_path, settings, prefix=AS_ANYBODY)
    assert str(tmp_path / name) in said
    assert re.search(told, said), said
    assert "scoregate.json: /ssl" in said
    checked = start_refused(tmp_path, settings, prefix=AS_ANYBODY, command=["check"])
    assert str(tmp_path / name) in checked


@pytest.mark.parametrize("cname", ["www.contoso.com", "sub.localhost", "localhos"])
def test_a_cname_that_is_not_among_the_names_of_the_leaf(files, tmp_path, cname):
    said = start_refused(tmp_path, configuration(SERVICES, files) | {"sslCname": cname})
    assert "/sslCname" in said and cname in said
    assert "localhost" in said  # what it is for instead


def test_a_common_name_is_not_a_name(tmp_path):
    pair = pem.self_signed(tmp_path, subject="/CN=localhost", san="DNS:other.example")
    said = start_refused(tmp_path, configuration(SERVICES, pair))
    assert "/sslCname" in said and "other.example" in said


def test_a_leaf_without_any_name(tmp_path):
    pair = pem.self_signed(tmp_path, subject="/CN=localhost", san=None)
    assert "/sslCname" in start_refused(tmp_path, configuration(SERVICES, pair))


def test_an_expired_leaf_with_refuse_expired(tmp_path):
    said = start_refused(tmp_path, configuration(SERVICES, pem.expired(tmp_path), refuse_expired=True))
    assert "cert.pem" in said and "expired" in said.lower()


def test_check_refuses_an_expired_leaf(tmp_path):
    said = start_refused(tmp_path, configuration(SERVICES, pem.expired(tmp_path)), command=["check"])
    assert "cert.pem" in said and "expired" in said.lower()


TLS_KEYS = ("sslCertPemFile", "sslKeyPemFile", "sslCname")
PARTIAL = [present for size in (1, 2) for present in itertools.combinations(TLS_KEYS, size)]


@pytest.mark.parametrize("present", PARTIAL, ids="+".join)
def test_partial_tls_settings_name_what_is_missing(files, tmp_path, present):
    whole = configuration(SERVICES, files)
    said = start_refused(tmp_path, {key: value for key, value in whole.items() if key not in TLS_KEYS or key in present})
    for key in set(TLS_KEYS) - set(present):
        assert f"/{key}: is missing" in said


def test_no_tls_settings_names_both_remedies(tmp_path):
    said = start_refused(tmp_path, configuration(SERVICES, None))
    assert "sslCertPemFile" in said and "allowInsecureConnections" in said


def test_an_address_in_use(tmp_path, ecdsa):
    """Not the configuration's fault: a run-time failure, not a refusal of the configuration."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        settings = configuration(SERVICES, ecdsa) | {"listen": {"https": [address], "http": ["127.0.0.1:0"]}}
        (tmp_path / "scoregate.json").write_text(json.dumps(settings))
        done = subprocess.run([BINARY, "--config", tmp_path / "scoregate.json"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env=environment(), timeout=5)
    assert done.returncode == 1
    assert address in done.stderr
