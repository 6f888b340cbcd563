"""Several certificates: which one a client gets, by the name it asks for and by what it can do."""
import re

import pytest

import pem
from scoregate import Scoregate, configuration, service

SERVICES = {"iris": service("http://127.0.0.1:1")}


@pytest.fixture(scope="module")
def pairs(authority):
    return {
        "default": authority.issue("localhost", "also.localhost"),
        "default, RSA": authority.issue("localhost", key="rsa:2048"),
        "exact": authority.issue("api.apps.example"),
        "wildcard": authority.issue("*.apps.example", "www.elsewhere.example"),
        "common name": authority.issue("san.test", common_name="common.test"),
        "RSA only": authority.issue("rsa.test", key="rsa:2048"),
    }


@pytest.fixture(scope="module")
def several(pairs, authority, tmp_path_factory):
    """A scoregate with all of them, of which one comes from a directory; nothing behind it answers."""
    secret = pem.Secret(pairs["exact"].certificate.parent, authority.ca)
    cnames = {"default, RSA": "localhost", "wildcard": "sub.apps.example", "common name": "san.test", "RSA only": "rsa.test"}
    more = [pairs[which].settings | {"sslCname": cname} for which, cname in cnames.items()]
    settings = configuration(SERVICES, pairs["default"], certificates=[*more, secret.settings | {"sslCname": "api.apps.example"}])
    gate = Scoregate(tmp_path_factory.mktemp("several"), settings, pairs["default"])
    try:
        gate.wait_ready()
        yield gate
    finally:
        gate.stop()


@pytest.mark.parametrize("name, which", [
    ("localhost", "default"),
    ("also.localhost", "default"),
    ("api.apps.example", "exact"),  # although the wildcard covers it
    ("API.Apps.Example", "exact"),
    ("other.apps.example", "wildcard"),
    ("www.elsewhere.example", "wildcard"),  # a second name counts as well
    ("san.test", "common name"),
    ("rsa.test", "RSA only"),
    ("deep.er.apps.example", "default"),  # a wildcard stands for one label
    ("apps.example", "default"),
    ("common.test", "default"),  # the common name is no name
    ("unknown.test", "default"),
    (None, "default"),
])
def test_the_name_decides(several, pairs, name, which):
    assert several.served_serial(name) == pairs[which].serial


def test_each_is_verified_by_its_name(several):
    for name in ("localhost", "api.apps.example", "other.apps.example", "san.test", "rsa.test"):
        several.tls_socket(name=name).close()


@pytest.mark.parametrize("can", [
    ("-sigalgs", "{}+SHA256"),
    ("-cipher", "ECDHE-{}-AES128-GCM-SHA256"),
], ids=["signature algorithms", "ciphers"])
@pytest.mark.parametrize("kind, which", [("RSA", "default, RSA"), ("ECDSA", "default")])
def test_what_the_client_can_do_decides_between_rsa_and_ecdsa(several, pairs, tmp_path, can, kind, which):
    option, form = can
    output = several.s_client("-tls1_2", option, form.format(kind))
    assert "Verify return code: 0 (ok)" in output
    (tmp_path / "peer.pem").write_text(re.search("-----BEGIN.*?END CERTIFICATE-----\n", output, re.DOTALL).group())
    assert pem.Pair(tmp_path / "peer.pem", None, None).serial == pairs[which].serial


def test_a_client_that_can_do_both_gets_ecdsa(several):
    assert "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" in several.s_client("-tls1_2")


def test_the_log_of_requests_tells_the_name(several):
    with several.tls_socket(name="api.apps.example") as sock:
        sock.sendall(b"GET /nothing HTTP/1.1\r\nHost: api.apps.example\r\nConnection: close\r\n\r\n")
        sock.recv(1)
    several.stdout.wait_for('"sni":"api.apps.example"')


def test_status_and_metrics_tell_each_of_them(several, pairs):
    told = {each["serial"]: each for each in several.status()["certificates"]}
    assert set(told) == {pair.serial for pair in pairs.values()}
    assert told[pairs["wildcard"].serial]["cname"] == "sub.apps.example"
    assert told[pairs["wildcard"].serial]["names"] == ["*.apps.example", "www.elsewhere.example"]
    for pair in pairs.values():
        cname = told[pair.serial]["cname"]
        value = several.metric("scoregate_certificate_not_after_timestamp_seconds", cname=cname, serial=pair.serial)
        assert value == pair.not_after


def test_no_two_samples_have_the_same_labels(several):
    """Two pairs may share a name; Prometheus would refuse the whole page."""
    samples = [line.rsplit(" ", 1)[0] for line in several.ask_admin("/metrics").body.decode().splitlines() if line[0] != "#"]
    assert len(samples) == len(set(samples))
    assert {"certificate:localhost", "certificate:localhost#2"} <= set(several.status()["reloads"])


def test_a_name_that_two_certificates_of_one_kind_claim_is_told(start, authority):
    first, second = authority.issue("localhost"), authority.issue("localhost", "other.test")
    gate = start(SERVICES, certificate=first, certificates=[second.settings | {"sslCname": "other.test"}])
    gate.stderr.wait_for(f"(?i)warn.*localhost.*{first.serial}.*is served.*{second.serial}.*is not")
    assert gate.served_serial() == first.serial
    assert gate.served_serial("other.test") == second.serial


def test_certificates_come_and_go_with_the_configuration(start, authority, renewals):
    gate = start(SERVICES, certificate=renewals[0])
    added = authority.issue("added.test")
    gate.configure(gate.settings | {"certificates": [added.settings | {"sslCname": "added.test"}]})
    assert gate.reload().status == 200
    assert gate.served_serial("added.test") == added.serial
    gate.configure(gate.settings | {"certificates": []})
    assert gate.reload().status == 200
    assert gate.served_serial("added.test") == renewals[0].serial
    gate.configure(gate.settings | {**renewals[1].settings})
    assert gate.reload().status == 200
    assert gate.served_serial() == renewals[1].serial
