"""The bench compares like with like only if every proxy does the same work. This holds scoregate and its peers to it:
each logs every request with its id, tells the model who called, keeps its connections, speaks the bench's one cipher.

    /usr/bin/python3 -m pytest tests/bench

scoregate is included when SCOREGATE_BINARY names it or the release build exists.
"""
import collections
import dataclasses
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
from harness import closed, queueing, servers  # noqa: E402
from harness.load import problems, run_wrk  # noqa: E402
from harness.processes import Failure, poll  # noqa: E402
from harness.rows import Plan  # noqa: E402

CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"
BODY = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]})
REQUESTS = 20

# Once scoregate was named it must be there; without a build its rows are shown as skipped.
scoregate_missing = "SCOREGATE_BINARY" not in os.environ and not servers.Scoregate.program.exists()
NAMES = [pytest.param(name, marks=pytest.mark.skipif(name == "scoregate" and scoregate_missing,
                                                     reason="no SCOREGATE_BINARY and no release build"))
         for name in servers.PROXIES]

Reply = collections.namedtuple("Reply", "status body request_id")
Seen = collections.namedtuple("Seen", "connection line fields")


@pytest.fixture(scope="session")
def model_stub(tmp_path_factory):
    """MODEL_STUB or the release build's; compiled here where there is neither."""
    program = servers.binary("MODEL_STUB", "model_stub")
    if not program.exists():
        program = tmp_path_factory.mktemp("stub") / "model_stub"
        source = servers.ROOT / "bench" / "model_stub" / "model_stub.cpp"
        subprocess.run(["g++", "-std=c++20", "-O1", source, "-o", program], check=True)
    return program


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory):
    """As model_stub."""
    program = servers.binary("SLOW_MODEL", "slow_model")
    if not program.exists():
        program = tmp_path_factory.mktemp("slow") / "slow_model"
        source = servers.ROOT / "bench" / "slow_model" / "slow_model.cpp"
        subprocess.run(["g++", "-std=c++20", "-O1", "-pthread", source, "-o", program], check=True)
    return program


class Setup:
    """One proxy in front of one recording stub."""

    def __init__(self, name, scheme, directory, program):
        self.scheme, self.heads = scheme, directory / "heads"
        servers.make_certificate(directory)
        self.stub = servers.Stub(program, directory, heads=self.heads)
        try:
            self.proxy = servers.PROXIES[name](directory, self.stub.port, plain=scheme == "http")
        except Failure:
            self.stub.process.stop()
            raise

    def stop(self):
        self.proxy.process.stop()
        self.stub.process.stop()

    def trusting(self):
        """A client's TLS context: the bench's cipher, whatever version both sides like best."""
        context = ssl.create_default_context(cafile=self.proxy.directory / "cert.pem")
        context.set_ciphers(CIPHER)
        return context

    def connect(self, context=None):
        if self.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.proxy.http_port, timeout=10)
        return http.client.HTTPSConnection("localhost", self.proxy.https_port, timeout=10,
                                           context=context or self.trusting())

    @staticmethod
    def score(connection, query=""):
        connection.request("POST", "/api/v1/service/iris/score" + query, BODY, {
            "Content-Type": "application/json", "X-Forwarded-For": "203.0.113.9", "X-Request-Id": "not-believed"})
        reply = connection.getresponse()
        return Reply(reply.status, reply.read(), reply.headers["X-Request-Id"])

    def seen(self):
        """The request heads that reached the model, in order."""
        heads = []
        for record in self.heads.read_text().split("\n\n"):
            if not record:
                continue
            number, line, *fields = record.splitlines()
            pairs = [field.split(": ", 1) for field in fields if field]
            heads.append(Seen(int(number.split()[1]), line, {name.lower(): value for name, value in pairs}))
        return heads


@pytest.fixture(scope="module", params=["https", "http"])
def scheme(request):
    return request.param


@pytest.fixture(scope="module", params=NAMES)
def setup(request, scheme, tmp_path_factory, model_stub):
    running = Setup(request.param, scheme, tmp_path_factory.mktemp(request.param), model_stub)
    yield running
    running.stop()


tls_only = pytest.mark.parametrize("scheme", ["https"], indirect=True, scope="module")


def test_each_request_is_known_to_client_model_and_log(setup):
    before = len(setup.seen()) if setup.heads.exists() else 0
    connection = setup.connect()
    replies = [setup.score(connection, f"?n={n}") for n in range(REQUESTS)]
    connection.close()

    assert {(reply.status, len(reply.body)) for reply in replies} == {(200, 115)}
    ids = [reply.request_id for reply in replies]
    assert len(set(ids)) == REQUESTS
    assert all(re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", i) for i in ids), ids

    seen = setup.seen()[before:]
    assert [head.line for head in seen] == [f"POST /score?n={n} HTTP/1.1" for n in range(REQUESTS)]
    assert [head.fields["x-request-id"] for head in seen] == ids
    for head in seen:
        assert head.fields["x-forwarded-for"] == "127.0.0.1"
        assert head.fields["x-forwarded-proto"] == setup.scheme
        assert head.fields["x-forwarded-host"] == head.fields["host"]

    def logged():
        lines = [json.loads(line) for line in setup.proxy.log.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if line["request_id"] in ids]
        return found if len(found) >= REQUESTS else None
    lines = poll(logged, "every request in the access log")
    assert sorted(line["request_id"] for line in lines) == sorted(ids)
    for line in lines:
        assert (line["client_ip"], line["method"], line["status"]) == ("127.0.0.1", "POST", 200)
        assert "?" not in line["path"]


def test_client_and_model_connections_are_kept(setup):
    before = len(setup.seen()) if setup.heads.exists() else 0
    for _ in range(4):
        connection = setup.connect()
        connection.connect()
        kept = connection.sock
        for _ in range(5):
            setup.score(connection)
        assert connection.sock is kept, "the proxy closed a client connection"
        connection.close()
    connections = {head.connection for head in setup.seen()[before:]}
    assert len(connections) == 1, "one request at a time needs one model connection"


@tls_only
def test_cipher_and_protocol(setup):
    connection = setup.connect()
    connection.connect()
    assert connection.sock.version() == "TLSv1.2"
    assert connection.sock.cipher()[0] == CIPHER
    connection.close()


@tls_only
def test_key_exchange_is_x25519(setup):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{setup.proxy.https_port}", "-groups",
                           "X25519:P-256"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=10)
    assert re.search(r"Server Temp Key: X25519\b", done.stdout), done.stdout


@tls_only
def test_other_protocols_are_refused(setup):
    newer = setup.trusting()
    newer.minimum_version = ssl.TLSVersion.TLSv1_3
    with pytest.raises(ssl.SSLError):
        setup.connect(newer).connect()


@tls_only
def test_without_tickets_no_session_is_resumed(setup):
    """What the row handshake relies on: its load declines tickets, so each of its connections is a full handshake."""
    client = setup.trusting()
    client.options |= ssl.OP_NO_TICKET
    session = None
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", setup.proxy.https_port), timeout=10) as plain:
            with client.wrap_socket(plain, server_hostname="localhost", session=session) as sock:
                assert not sock.session_reused
                session = sock.session


@pytest.mark.parametrize("reply_bytes, right", [(115, True), (114, False)])
def test_the_load_checks_every_reply(model_stub, tmp_path, reply_bytes, right):
    stub = servers.Stub(model_stub, tmp_path)
    try:
        row = dataclasses.replace(closed.ROWS[1], reply_bytes=reply_bytes, connections=4)
        result = run_wrk(row, f"http://127.0.0.1:{stub.port}/score", 1, min(os.sched_getaffinity(0)))
    finally:
        stub.process.stop()
    assert result["requests"] > 0
    assert result["wrong"] == (0 if right else result["requests"])
    assert (problems(result) == []) is right


class Unlimited(queueing.Haproxy):
    """Sends whatever comes."""

    name = "unlimited"

    def more_names(self):
        return {name: text.replace(" maxconn 1", "") for name, text in super().more_names().items()}


QUEUEING = {"scoregate": queueing.Scoregate, "haproxy": queueing.Haproxy, "unlimited": Unlimited}


@pytest.mark.parametrize("name", [*(each for each in NAMES if each.values[0] in QUEUEING), "unlimited"])
def test_the_rows_of_queues_see_whether_the_limit_is_kept(slow_model, monkeypatch, name):
    monkeypatch.setenv("SLOW_MODEL", str(slow_model))
    row = queueing.Queue("queue", "", microseconds=5000, replicas=2, connections=8, queue=2)
    cores = sorted(os.sched_getaffinity(0))
    [one] = row.run(Plan(1, 1, 0, cores[-1], cores[0]), [QUEUEING[name]], print)[name]
    if name == "unlimited":
        assert "requests at a replica at once" in one["problems"][0]
        return
    assert one["problems"] == []
    assert 0.2 < one["rejected"] < 0.8
    assert one["busy"] > 0.1  # a fraction of what an idle machine would show
    assert len(one["served"]) == 8 and one["jain"] > 0.5
