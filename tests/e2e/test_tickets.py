"""Resumed sessions: where a ticket is good, and where it must not be."""
import json
import os
import shutil

import pytest

import pem
from scoregate import command, configuration, service

SERVICES = {"iris": service("http://127.0.0.1:1")}


def connect(gate, *, session=None, keep=None):
    """True if openssl's client resumed `session`. keep: where it writes the session that it has in the end."""
    output = gate.s_client("-tls1_2", *(["-sess_in", session] if session else []), *(["-sess_out", keep] if keep else []))
    resumed = "Reused, TLSv1.2" in output
    assert resumed or "New, TLSv1.2" in output, output
    return resumed


@pytest.fixture
def session(tmp_path):
    return tmp_path / "session"


@pytest.fixture
def start_beside(start, tmp_path):
    """As start, each in a folder of its own."""
    def start_one(name, **settings):
        (tmp_path / name).mkdir()
        return start(SERVICES, directory=tmp_path / name, **settings)
    return start_one


@pytest.fixture
def keys(tmp_path):
    """keys(folder, *names): a ticket_keys_dir with keys of these names; one name is one key, whatever the folder."""
    originals = tmp_path / "originals"
    originals.mkdir()

    def folder_of(folder, *names):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in names:
            key = originals / f"{name}.key"
            if not key.exists():
                pem.openssl("rand", "-out", key, 80)
                key.chmod(0o600)
            shutil.copy(key, tmp_path / folder)
        return str(tmp_path / folder)
    return folder_of


def test_a_session_is_resumed_on_every_core_and_counted_apart(start, session):
    gate = start(SERVICES, workers=3)
    assert not connect(gate, keep=session)
    for _ in range(6):  # connections are dealt to the cores in turn
        assert connect(gate, session=session)
    assert gate.metric("scoregate_tls_handshakes_total", resumed="false") == 1
    assert gate.metric("scoregate_tls_handshakes_total", resumed="true") == 6


def test_the_access_log_tells_a_resumed_session(start):
    gate = start(SERVICES)
    context, session = gate.context(), None
    for told in ("false", "true"):
        with gate.tls_socket(context, session=session) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert sock.recv(1)
            session = sock.session
        gate.stdout.wait_for(f'"resumed":{told}')


def test_a_session_survives_reloads(start, session):
    gate = start(SERVICES)
    connect(gate, keep=session)
    for services in (SERVICES, {**SERVICES, "second": service("http://127.0.0.1:1")}):
        gate.configure(gate.settings | {"services": services})
        assert gate.reload().status == 200
        assert connect(gate, session=session)


def test_a_session_ends_with_its_certificate(start, session, renewals):
    gate = start(SERVICES, certificate=renewals[0])
    connect(gate, keep=session)
    assert connect(gate, session=session)
    gate.configure(gate.settings | renewals[1].settings)
    assert gate.reload().status == 200
    assert not connect(gate, session=session)


def test_a_session_is_for_the_certificate_of_its_name_only(start, authority, renewals):
    """Or a client would take the word of one certificate for the name of another."""
    other = authority.issue("other.test")
    gate = start(SERVICES, certificate=renewals[0], certificates=[other.settings | {"sslCname": "other.test"}])
    context = gate.context()
    with gate.tls_socket(context) as sock:
        session = sock.session
    with gate.tls_socket(context, session=session) as sock:
        assert sock.session_reused
    with gate.tls_socket(context, name="other.test", session=session) as sock:
        assert not sock.session_reused
        assert sock.getpeercert()["serialNumber"] == other.serial


def test_keys_of_its_own_are_nobody_elses(start_beside, session):
    connect(start_beside("one"), keep=session)
    assert not connect(start_beside("two"), session=session)


def test_a_session_is_resumed_by_whoever_shares_the_keys(start_beside, keys, session):
    shared, other = keys("shared", "a"), keys("other", "b")
    one = start_beside("one", ticket_keys_dir=shared)
    assert not connect(one, keep=session)
    assert connect(one, session=session)
    assert connect(start_beside("two", ticket_keys_dir=shared), session=session)
    assert not connect(start_beside("three", ticket_keys_dir=other), session=session)


def test_shared_keys_survive_a_restart(start, keys, session):
    shared = keys("shared", "a")
    gate = start(SERVICES, ticket_keys_dir=shared)
    connect(gate, keep=session)
    gate.stop()
    assert connect(start(SERVICES, ticket_keys_dir=shared), session=session)


def test_the_newest_key_opens_at_once_and_seals_later(start_beside, keys, session):
    """So that every scoregate knows a key before any client has a ticket of it."""
    older, newer = (start_beside(name, ticket_keys_dir=keys(f"{name} alone", name)) for name in ("a", "b"))
    rotating = start_beside("rotating", ticket_keys_dir=keys("both", "a"))
    keys("both", "b")
    assert rotating.reload().status == 200
    rotating.stderr.wait_for("ticket_keys: 2 keys are in force")

    connect(newer, keep=session)
    assert connect(rotating, session=session)
    connect(rotating, keep=session)
    assert connect(older, session=session) and not connect(newer, session=session)


def test_a_session_ends_with_its_key(start, keys, session):
    shared = keys("shared", "a")
    gate = start(SERVICES, ticket_keys_dir=shared)
    connect(gate, keep=session)
    keys("shared", "b")
    os.remove(os.path.join(shared, "a.key"))
    gate.stderr.wait_for("ticket_keys: 1 key.* in force")  # noticed without being told
    assert not connect(gate, session=session)
    assert gate.metric("scoregate_reloads_total", unit="ticket_keys", result="failure") == 0


@pytest.mark.parametrize("size, told", [(79, "79 bytes instead of 80"), (81, "more than 80 bytes")])
def test_a_key_that_is_no_good_is_refused_and_told(start, keys, session, tmp_path, size, told):
    shared = keys("shared", "a")
    gate = start(SERVICES, ticket_keys_dir=shared)
    connect(gate, keep=session)
    (tmp_path / "shared/b.key").write_bytes(b"x" * size)
    assert gate.reload().status == 422
    gate.stderr.wait_for(f"(?i)error.*b.key.*{told}.*openssl rand 80")
    assert gate.metric("scoregate_reloads_total", unit="ticket_keys", result="failure") == 1
    assert gate.metric("scoregate_config_last_reload_successful") == 0
    assert connect(gate, session=session)
    gate.stop()

    checked = command("check", "--config", gate.file)
    assert checked.returncode == 2
    assert "/ticket_keys_dir" in checked.stderr


def test_an_empty_folder_of_keys_is_refused(tmp_path, ecdsa):
    (tmp_path / "empty").mkdir()
    file = tmp_path / "scoregate.json"
    file.write_text(json.dumps(configuration(SERVICES, ecdsa, ticket_keys_dir="empty")))
    checked = command("check", "--config", file)
    assert checked.returncode == 2
    assert "/ticket_keys_dir" in checked.stderr and "openssl rand 80" in checked.stderr


def test_a_ticket_key_that_others_may_read_is_told(start, keys, tmp_path):
    shared = keys("shared", "a")
    (tmp_path / "shared/a.key").chmod(0o644)
    start(SERVICES, ticket_keys_dir=shared).stderr.wait_for("(?i)(warn|error).*a.key.*chmod")
