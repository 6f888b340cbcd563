"""Clients that prove who they are by certificate: client_ca of the real binary, from the file to the replica."""
import json
import re
import ssl

import pytest

import pem
from process import wait_until
from replica import Replica
from scoregate import PATIENCE, command, configuration, exchange, service


@pytest.fixture
def clients(tmp_path):
    (tmp_path / "clients").mkdir()
    return pem.Authority(tmp_path / "clients")


@pytest.fixture
def told():
    """What a replica was told of certificates, request by request, and where it is."""
    seen = []

    def answer(exchange):
        exchange.body()
        seen.append(exchange.headers.get_all("X-Forwarded-Client-Cert"))
        exchange.reply()

    with Replica(answer) as replica:
        yield replica.url, seen


def with_certificate(gate, pair):
    context = gate.context()
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def score(gate, context=None):
    return exchange(gate.tls_socket(context), "POST", "/api/v1/service/iris/score", b"{}")


def test_only_certificates_of_the_authority_get_in_and_the_replica_is_told(start, clients, told, tmp_path):
    url, seen = told
    (tmp_path / "others").mkdir()
    others = pem.Authority(tmp_path / "others")
    gate = start({"iris": service(url)}, client_ca={"file": str(clients.ca), "mode": "require"})
    robot = with_certificate(gate, clients.issue("robot.contoso.com"))
    stranger = with_certificate(gate, others.issue("robot.contoso.com"))

    assert score(gate, robot).status == 200
    assert len(seen[0]) == 1
    assert re.fullmatch(r'Hash=[0-9a-f]{64};Subject="CN=robot\.contoso\.com"', seen[0][0])
    with pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
        score(gate)
    with pytest.raises(ssl.SSLError, match="(?i)unknown.ca"):
        score(gate, stranger)
    assert gate.metric("scoregate_tls_handshake_failures_total", reason="certificate_missing") == 1
    assert gate.metric("scoregate_tls_handshake_failures_total", reason="certificate_refused") == 1

    # The file is a reload unit: another authority, and then none.
    kept = clients.ca.read_text()
    clients.ca.write_text(others.ca.read_text())
    wait_until(lambda: gate.metric("scoregate_reloads_total", unit="client_ca", result="success") == 1, timeout=PATIENCE)
    assert score(gate, stranger).status == 200
    with pytest.raises(ssl.SSLError, match="(?i)unknown.ca"):
        score(gate, robot)
    clients.ca.write_text("no PEM")
    assert gate.reload().status == 422
    assert gate.status()["reloads"]["client_ca"]["problems"]
    assert score(gate, stranger).status == 200
    clients.ca.write_text(kept)
    assert gate.reload().status == 200
    assert score(gate, robot).status == 200


def test_who_is_not_trusted_any_more_does_not_go_on(start, clients, told, tmp_path):
    """An open connection ends with the change, so that nobody stays who he was for as long as he keeps asking."""
    url, seen = told
    (tmp_path / "others").mkdir()
    others = pem.Authority(tmp_path / "others")
    gate = start({"iris": service(url)}, client_ca={"file": str(clients.ca), "mode": "require"})
    with gate.tls_socket(with_certificate(gate, clients.issue("robot.contoso.com"))) as kept:
        assert exchange(kept, "POST", "/api/v1/service/iris/score", b"{}", keep=True).status == 200
        clients.ca.write_text(others.ca.read_text())
        kept.settimeout(PATIENCE)
        assert kept.recv(1) == b""  # by close_notify: an end without it is an error
    assert len(seen) == 1
    assert score(gate, with_certificate(gate, others.issue("robot.contoso.com"))).status == 200


def test_a_file_that_is_no_good_is_told_by_check(tmp_path, ecdsa):
    file = tmp_path / "clients.pem"
    file.write_text(pem.self_signed(tmp_path).certificate.read_text().replace("CERTIFICATE", "CERTIFICAT"))
    settings = configuration({"iris": service("http://127.0.0.1:1")}, ecdsa, client_ca={"file": str(file)})
    (tmp_path / "scoregate.json").write_text(json.dumps(settings))
    done = command("check", "--config", tmp_path / "scoregate.json")
    assert done.returncode == 2
    assert "/client_ca/file: " in done.stdout + done.stderr
