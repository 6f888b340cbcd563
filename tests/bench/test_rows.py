"""What further rows of the bench rely on, for scoregate and each peer: sessions are resumed by ticket and said to be, an RSA
certificate means the same cipher with RSA, events pass one by one, a model behind a Unix socket is as good as another, what is
replaced is put in force.
"""
import http.client
import json
import socket
import socketserver
import ssl
import subprocess
import threading

import pytest
from test_peers import CIPHER, NAMES, model_stub, servers  # noqa: F401 (a fixture)

from harness import arriving, changes, report
from harness.catalogue import ROWS, two_cores
from harness.load import pinned
from harness.processes import poll
from harness.rows import Plan

each_proxy = pytest.mark.parametrize("name", NAMES)
EVENTS = 3


class Model(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A model whose stream goes on only when the test has seen the last event; on a port, or the Unix socket `path`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path=None):
        self.address_family = socket.AF_UNIX if path else socket.AF_INET
        self.seen = threading.Semaphore(0)  # events that have arrived
        super().__init__(str(path) if path else ("127.0.0.1", 0), Conversation)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            length = 0
            while (field := self.rfile.readline().strip().lower()):
                if field.startswith(b"content-length:"):
                    length = int(field.split(b":")[1])
            self.rfile.read(length)
            if line.split()[1].startswith(b"/stream"):
                self.stream()
            else:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def stream(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(EVENTS):
            event = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            if not self.server.seen.acquire(timeout=5):
                return  # the proxy held it back; the reply ends torn
        self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def model():
    with Model() as running:
        yield running
        running.shutdown()


def started(request, name, directory, model, rsa=False, **options):
    servers.make_certificate(directory, rsa)
    proxy = servers.PROXIES[name](directory, model and model.port, **options)
    request.addfinalizer(proxy.process.stop)
    return proxy


def trusting(proxy, cipher=CIPHER):
    context = ssl.create_default_context(cafile=proxy.directory / "cert.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    return context


def connected(proxy, context, session=None):
    plain = socket.create_connection(("127.0.0.1", proxy.https_port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost", session=session)


def ask(sock, route="score"):
    sock.sendall(f"POST /api/v1/service/iris/{route} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    reply = http.client.HTTPResponse(sock)
    reply.begin()
    return reply


@each_proxy
def test_a_ticket_resumes_a_session_and_the_log_says_so(request, tmp_path, model, name):
    proxy = started(request, name, tmp_path, model)
    context, session, resumed = trusting(proxy), None, []
    for _ in range(3):
        with connected(proxy, context, session) as sock:
            assert ask(sock).read() == b"ok"
            resumed.append(sock.session_reused)
            session = sock.session
    assert resumed == [False, True, True]

    def logged():
        lines = [json.loads(line) for line in proxy.log.read_text().splitlines() if line.startswith("{")]
        return lines if len(lines) >= 3 else None
    said = [line["resumed"] for line in poll(logged, "three lines in the access log")]
    # nginx: "." and "r"; HAProxy: "0" and "1"
    assert [each in (True, "r", "1") for each in said] == resumed, said


@each_proxy
def test_with_an_rsa_certificate_the_cipher_is_the_same_with_rsa(request, tmp_path, model, name):
    proxy = started(request, name, tmp_path, model, rsa=True)
    cipher = CIPHER.replace("ECDSA", "RSA")
    with connected(proxy, trusting(proxy, f"{CIPHER}:{cipher}")) as sock:
        assert sock.cipher()[0] == cipher
        assert ask(sock).read() == b"ok"
    text = subprocess.run(["openssl", "x509", "-in", tmp_path / "cert.pem", "-noout", "-text"], capture_output=True, text=True)
    assert "Public-Key: (2048 bit)" in text.stdout


@each_proxy
def test_each_event_passes_before_the_next_is_sent(request, tmp_path, model, name):
    proxy = started(request, name, tmp_path, model)
    with connected(proxy, trusting(proxy)) as sock:
        for _ in range(2):  # the connection is kept, so a stream can begin again on it
            reply = ask(sock, "stream")
            assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
            for number in range(EVENTS):
                assert reply.readline() == b"data: %d\n" % number
                assert reply.readline() == b"\n"
                model.seen.release()
            assert reply.read() == b""


@each_proxy
def test_a_model_may_be_behind_a_unix_socket(request, tmp_path, name):
    with Model(tmp_path / "model.sock") as model:
        proxy = started(request, name, tmp_path, None, socket=tmp_path / "model.sock")
        with connected(proxy, trusting(proxy)) as sock:
            assert ask(sock).read() == b"ok"
            assert ask(sock).read() == b"ok"
        model.shutdown()


@pytest.mark.parametrize("name", [each for each in NAMES if each.values[0] == "scoregate"])
@pytest.mark.parametrize("what", ["certificates", "configurations"])
def test_what_is_replaced_is_put_in_force_and_its_reloads_are_counted(request, tmp_path, model, name, what):
    proxy = started(request, name, tmp_path, model)
    versions, unit = getattr(changes, what)(proxy)
    with changes.replacing(proxy.directory, versions):
        poll(lambda: proxy.reloads(unit) >= 3, "three reloads")


LOAD = """#!/usr/bin/python3
import argparse, json, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("what")
parser.add_argument("--seconds", type=float, default=0)
parser.add_argument("--connections", type=int, default=1)
given, _ = parser.parse_known_args()
time.sleep(given.seconds)
result = {"mode": given.what, "seconds": given.seconds, "requests": given.connections, "wrong": 0, "connects": 0, "events": 5000,
          "errors": {"read": 0}, "resumed": 50, "full": 50, "p50_us": 10, "p99_us": 20, "p999_us": 30, "late_p99_us": 1,
          "windows": 10, "usual_p50_us": 9, "usual_p99_us": 15}
print(json.dumps(result), flush=True)
for line in sys.stdin if given.what == "idle" else ():
    print(json.dumps(result), flush=True)
"""


@pytest.mark.parametrize("name", NAMES[:1])  # scoregate
@pytest.mark.parametrize("row", ["resume", "idle", "latency", "storm", "workers", "stream"])
def test_a_row_has_the_figures_that_it_prints(monkeypatch, tmp_path, model_stub, name, row):  # noqa: F811
    """With a load that takes its time and has a result, so that the machine of the test does not matter."""
    program = tmp_path / "load"
    program.write_text(LOAD)
    program.chmod(0o755)
    monkeypatch.setenv("LOAD", str(program))
    monkeypatch.setenv("MODEL_STUB", str(model_stub))
    monkeypatch.setattr(arriving, "peak", lambda proxy, plan: 1000)
    row = ROWS[row]
    rounds = row.run(Plan(1, 2, 0, *two_cores(), quick=True), row.kinds[:1], print)
    [[one]] = rounds.values()
    assert set(row.figures) <= set(one)
    assert not hasattr(row, "settle") or row.turns(Plan(3, 2, 1, 0, 1)) == 9
    described = report.describe(row, report.summarise(row, rounds))
    assert all(head in described for head in row.columns)


def test_all_proxies_are_asked_at_the_same_rates_and_the_replica_once_in_a_turn(monkeypatch):
    """However much more than the slowest one a proxy could do."""
    asked = []

    def generate(what, url, core, **options):
        asked.append((url, options["rate"]))
        return {"mode": "open", "seconds": options["seconds"], "requests": options["rate"] * options["seconds"], "wrong": 0,
                "connects": 0, "errors": {}, "late_p99_us": 1} | {
                    f"{name}_us": 5 if "/score" in url else 25 for name in arriving.PERCENTILES + arriving.USUAL}

    class Known:
        def __init__(self, name):
            self.name = name

        def url(self):
            return self.name
    peaks = {"slow": 4000, "fast": 9000}
    monkeypatch.setattr(arriving, "generate", generate)
    monkeypatch.setattr(arriving, "peak", lambda proxy, plan: peaks[proxy.name])
    monkeypatch.setattr(arriving, "Window", lambda *_: type("Nothing", (), {"end": lambda self: {"core_others": 0}})())
    row, plan, model = ROWS["latency"], Plan(3, 2, 0, *two_cores()), type("Replica", (), {"port": 1})()
    proxies = [Known(name) for name in peaks]
    row.prepare(proxies, plan)
    for turn in (1, 2):
        for proxy in proxies:
            one = row.measure(proxy, model, plan, turn)
            assert (one["rate_50"], one["added_p99_us_50"], one["direct_p99_us_50"], one["problems"]) == (2000, 20, 5, [])
    for name in peaks:
        assert [rate for url, rate in asked if url == name] == [1000, 2000, 3000] * 2
    assert [rate for url, rate in asked if "/score" in url] == [1000, 2000, 3000] * 2


def test_the_load_of_the_storm_runs_on_what_others_leave():
    policy = subprocess.run(["/usr/bin/python3", "-c", "import os; print(os.sched_getscheduler(0) == os.SCHED_IDLE)"],
                            preexec_fn=pinned(two_cores()[1], leftovers=True), capture_output=True, text=True)
    assert policy.stdout == "True\n"
