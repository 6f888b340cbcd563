"""TLS as clients meet it: versions, ciphers, groups, ALPN, certificates."""
import re
import ssl
import subprocess
import threading

import pytest

import pem
from scoregate import PATIENCE, Scoregate, configuration, exchange, service

OURS = "ECDHE-{0}-AES128-GCM-SHA256 ECDHE-{0}-AES256-GCM-SHA384 ECDHE-{0}-CHACHA20-POLY1305"


@pytest.fixture(scope="module")
def gates(tmp_path_factory):
    running = {}
    yield running
    for gate in running.values():
        gate.stop()


@pytest.fixture
def secure(gates, pair, tmp_path_factory):
    """A scoregate with an ECDSA certificate, then one with RSA; nothing behind it answers."""
    if pair not in gates:
        services = {"iris": service("http://127.0.0.1:1")}
        gates[pair] = Scoregate(tmp_path_factory.mktemp("tls"), configuration(services, pair), pair)
        gates[pair].wait_ready()
    return gates[pair]


def s_client(gate, *arguments):
    """(it succeeded, what openssl's client tells)."""
    output = gate.s_client("-brief", *arguments)
    return "CONNECTION ESTABLISHED" in output, output


def raw_handshake(gate, hello):
    """What the server says to these bytes, until it closes."""
    with gate.plain_socket(gate.https) as sock:
        sock.sendall(hello)
        said = b""
        try:
            while piece := sock.recv(4096):
                said += piece
        except ConnectionResetError:
            pass
        return said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1", "-tls1_3"])
def test_a_client_with_only_another_version_is_refused(secure, version):
    # Level 0 lets openssl's client offer the old versions at all.
    established, output = s_client(secure, version, "-cipher", "DEFAULT@SECLEVEL=0")
    assert not established
    assert "alert protocol version" in output


def test_a_client_with_1_2_and_1_3_gets_1_2(secure):
    context = secure.context()
    assert context.maximum_version in (ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3)
    with secure.tls_socket(context) as sock:
        assert sock.version() == "TLSv1.2"


@pytest.mark.parametrize("number", range(3))
def test_ecdhe_with_an_aead_is_accepted(secure, pair, rsa, number):
    cipher = OURS.format("RSA" if pair is rsa else "ECDSA").split()[number]
    established, output = s_client(secure, "-tls1_2", "-cipher", cipher)
    assert established, output
    assert f"Ciphersuite: {cipher}" in output


@pytest.mark.parametrize("ciphers", [
    "ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA",  # CBC
    "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA",  # RSA key exchange: no forward secrecy
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES256-CCM8",
    "ADH-AES128-GCM-SHA256:AECDH-AES128-SHA",
], ids=["cbc", "rsa-key-exchange", "dhe", "ccm", "anonymous"])
def test_other_ciphers_are_refused(secure, ciphers):
    established, output = s_client(secure, "-tls1_2", "-cipher", ciphers + ":@SECLEVEL=0")
    assert not established
    assert "alert handshake failure" in output


# In TLS 1.2 the groups also say which curves a certificate may have, so P-256 is always among them.
@pytest.mark.parametrize("groups, name", [("X25519:P-256", "X25519"), ("P-521:P-256", "prime256v1")])
def test_groups_accepted(secure, groups, name):
    established, output = s_client(secure, "-groups", groups)
    assert established, output
    assert re.search(rf"Server Temp Key: .*{name}", output)


@pytest.mark.parametrize("group", ["P-521", "P-384", "X448"])
def test_groups_refused(secure, group):
    established, output = s_client(secure, "-groups", group)
    assert not established
    assert "alert handshake failure" in output


@pytest.mark.parametrize("offered, selected", [(["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (None, None)])
def test_alpn_selects_http_1_1(secure, offered, selected):
    context = secure.context()
    if offered:
        context.set_alpn_protocols(offered)
    with secure.tls_socket(context) as sock:
        assert sock.selected_alpn_protocol() == selected
        assert exchange(sock, "GET", "/").body == b"Healthy"


def test_alpn_without_http_1_1_is_refused(secure):
    context = secure.context()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        secure.tls_socket(context)


def test_renegotiation_is_refused(secure):
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{secure.https}", "-tls1_2", "-CAfile", secure.ca],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    never_answered = threading.Timer(PATIENCE, client.kill)
    never_answered.start()
    with client:
        before = ""
        while "Verify return code: 0 (ok)" not in before:
            line = client.stdout.readline()
            assert line, before
            before += line
        client.stdin.write("R\n")  # s_client's own command: renegotiate
        client.stdin.flush()
        after = client.stdout.read()
    never_answered.cancel()
    assert "RENEGOTIATING" in after
    assert "verify return:1" in before and "verify return:1" not in after  # no second handshake
    assert client.returncode == 1


def test_development_certificates_pass_strict_verification(iris):
    context = iris.context()
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with iris.tls_socket(context) as sock:
        assert exchange(sock, "GET", "/").status == 200


def test_development_certificates_are_for_their_name_only(iris):
    with iris.plain_socket(iris.https) as sock:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            iris.context().wrap_socket(sock, server_hostname="elsewhere.example")


KEY_FORMATS = {
    "ec-pkcs8": ("ecdsa", ["pkcs8", "-topk8", "-nocrypt"], "BEGIN PRIVATE KEY"),
    "ec-traditional": ("ecdsa", ["ec"], "BEGIN EC PRIVATE KEY"),
    "rsa-pkcs8": ("rsa", ["pkcs8", "-topk8", "-nocrypt"], "BEGIN PRIVATE KEY"),
    "rsa-traditional": ("rsa", ["rsa", "-traditional"], "BEGIN RSA PRIVATE KEY"),
}


@pytest.mark.parametrize("name", KEY_FORMATS)
def test_key_formats(name, request, start, tmp_path):
    kind, convert, header = KEY_FORMATS[name]
    pair = request.getfixturevalue(kind)
    key = tmp_path / "converted.pem"
    pem.openssl(*convert, "-in", pair.key, "-out", key)
    assert header in key.read_text()
    gate = start({"iris": service("http://127.0.0.1:1")}, certificate=pem.Pair(pair.certificate, key, pair.ca))
    assert gate.request("GET", "/").status == 200


def test_ec_key_after_its_parameters(start, ecdsa, tmp_path):
    """`openssl ecparam -genkey` writes EC PARAMETERS in front of the key."""
    key = tmp_path / "key.pem"
    key.write_text(pem.openssl("ecparam", "-name", "prime256v1") + pem.openssl("ec", "-in", ecdsa.key))
    gate = start({"iris": service("http://127.0.0.1:1")}, certificate=pem.Pair(ecdsa.certificate, key, ecdsa.ca))
    assert gate.request("GET", "/").status == 200


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    return pem.chain(tmp_path_factory.mktemp("chain"))


def start_with_chain(start, chain, tmp_path, certificates):
    (tmp_path / "chain.pem").write_text(certificates)
    return start({"iris": service("http://127.0.0.1:1")}, certificate=pem.Pair(tmp_path / "chain.pem", chain.key, chain.ca))


def test_the_full_chain_is_sent(start, chain, tmp_path):
    gate = start_with_chain(start, chain, tmp_path, chain.leaf + chain.intermediate)
    assert gate.request("GET", "/").status == 200  # the client trusts the root and was given no intermediate


def test_a_leaf_without_its_issuer_is_told(start, chain, tmp_path):
    gate = start_with_chain(start, chain, tmp_path, chain.leaf)
    gate.stderr.wait_for(r"(?i)(warn|error).*(issuer|chain)")
    with pytest.raises(ssl.SSLCertVerificationError):
        gate.request("GET", "/")


def test_a_chain_in_the_wrong_order_is_told(start, chain, tmp_path):
    root = chain.ca.read_text()
    gate = start_with_chain(start, chain, tmp_path, chain.leaf + root + chain.intermediate)
    gate.stderr.wait_for(r"(?i)(warn|error).*order")


def test_an_expired_leaf_is_told(start, tmp_path_factory):
    gate = start({"iris": service("http://127.0.0.1:1")}, certificate=pem.expired(tmp_path_factory.mktemp("expired")))
    gate.stderr.wait_for(r"(?i)error.*expired")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        gate.request("GET", "/")


def test_plain_http_on_the_tls_port_gets_a_readable_400(secure):
    said = raw_handshake(secure, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"https" in said.lower()


def test_noise_on_the_tls_port_harms_nobody(secure):
    raw_handshake(secure, b"\x16\x03\x01\x00\x05hello" * 10)
    assert secure.request("GET", "/").status == 200


def test_orderly_close(secure):
    """close_notify in both directions: the client can tell the end from a cut."""
    with secure.tls_socket() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        said = b""
        while piece := sock.recv(4096):  # a missing close_notify would raise here
            said += piece
        assert said.endswith(b"Healthy")
