"""Which replicas get requests: readiness probes against scripted replicas and a real model server."""
import contextlib
import http.server
import json
import os
import pathlib
import socket
import ssl
import sys
import threading

import pytest

from process import Process, wait_until
from replica import Replica
from scoregate import read_reply, send, service

PATH = "/api/v1/service/iris/score"


def probed(*replicas, probe=None, request_settings=None):
    """A service whose replicas are probed each second, unready after one failure."""
    made = service(*replicas, request_settings=request_settings or {"max_queue_wait_ms": 0})
    made["deployments"]["blue"]["readiness_probe"] = {"path": "/health", "initial_delay": 0, "period": 1, "timeout": 1,
                                                      "failure_threshold": 1, **(probe or {})}
    return made


def replicas(gate):
    return gate.status()["services"]["iris"]["deployments"]["blue"]["replicas"]


def standings(gate):
    return [one["standing"] for one in replicas(gate)]


class Model:
    """Scores, and answers its probes with the status that it has at the time."""

    def __init__(self, status="200 OK"):
        self.status = status
        self.probes = []
        self.scored = 0
        self.replica = Replica(self._answer)
        self.url = self.replica.url

    def _answer(self, request):
        request.body()
        if request.target == "/health":
            self.probes.append(request.headers)
            request.reply(b"", self.status)
            return
        self.scored += 1
        request.reply(self.url.encode())


@pytest.fixture
def models():
    pair = [Model(), Model()]
    yield pair
    for one in pair:
        one.replica.__exit__()


def test_a_replica_whose_probes_fail_gets_no_requests_until_they_do_not(start, models):
    sick, well = models
    sick.status = "503 Loading"
    gate = start({"iris": probed(sick.url, well.url)})
    wait_until(lambda: standings(gate) == ["unready", "ready"])
    assert [one["ready"] for one in replicas(gate)] == [False, True]
    assert [gate.metric("scoregate_replica_healthy", replica=one.url) for one in models] == [0, 1]
    for _ in range(4):
        assert gate.request("GET", PATH).body.decode() == well.url
    assert sick.scored == 0
    gate.stderr.wait_for(rf"replica {sick.url} of iris/blue is unready: probe GET /health: 503, expected 200-399")
    assert gate.metric("scoregate_probes_total", result="failure") >= 1

    well.status = "500 Broken"
    # Without requests: those that it answers would stand in for its probes.
    wait_until(lambda: standings(gate) == ["unready", "unready"])
    reply = gate.request("GET", PATH)
    assert (reply.status, reply.fault) == (503, "no_ready_replica")
    assert reply.headers["Retry-After"] == "1"

    sick.status = "200 OK"
    wait_until(lambda: standings(gate) == ["ready", "unready"])
    assert gate.request("GET", PATH).body.decode() == sick.url
    gate.stderr.wait_for(rf"replica {sick.url} of iris/blue is ready")


def test_what_a_probe_is_sent(start, models):
    one = probed(models[0].url, probe={"headers": {"X-Api-Key": "s3cret"}})
    one["deployments"]["blue"]["host_header"] = "model.internal"
    gate = start({"iris": one})
    headers = wait_until(lambda: models[0].probes and models[0].probes[0])
    assert headers["Host"] == "model.internal"
    assert headers["User-Agent"] == "scoregate"
    assert headers["Connection"] == "close"
    assert headers["X-Api-Key"] == "s3cret"
    models[0].status = "503 Busy"
    wait_until(lambda: standings(gate) == ["unready"])
    gate.stderr.wait_for("is unready")
    told = gate.stderr.text + gate.stdout.text + json.dumps(gate.status()) + gate.ask_admin("/metrics").body.decode()
    assert "s3cret" not in told


def test_a_reload_applies_another_probe_at_once_and_forgets_nothing_else(start, models):
    models[0].status = "404 Not Found"
    gate = start({"iris": probed(models[0].url)})
    wait_until(lambda: standings(gate) == ["unready"])
    assert gate.reload().status == 200
    assert standings(gate) == ["unready"]
    gate.configure({**gate.settings, "services": {"iris": probed(models[0].url, probe={"expected_codes": [404], "period": 3600})}})
    assert gate.reload().status == 200
    wait_until(lambda: standings(gate) == ["ready"])
    gate.configure({**gate.settings, "services": {"iris": probed(models[0].url, probe={"expected_codes": ["200-299"]})}})
    assert gate.reload().status == 200
    wait_until(lambda: standings(gate) == ["unready"])


def test_requests_wait_for_a_replica_that_starts_late(start):
    with contextlib.closing(socket.socket()) as place:
        place.bind(("127.0.0.1", 0))  # ours, and nobody listens yet
        url = "http://127.0.0.1:%d" % place.getsockname()[1]
        gate = start({"iris": probed(url, probe={"initial_delay": 60}, request_settings={"max_queue_wait_ms": 20000})})
        assert standings(gate) == ["starting"]
        with gate.tls_socket() as client:
            send(client, "POST", PATH, b"{}")
            wait_until(lambda: gate.status()["services"]["iris"]["deployments"]["blue"]["queued"] == 1)
            place.listen()

            def serve():
                while True:
                    try:
                        sock, _ = place.accept()
                    except OSError:
                        return
                    with sock, sock.makefile("rb") as stream:
                        line = stream.readline()
                        length = 0
                        while (field := stream.readline()) not in (b"\r\n", b""):
                            if field.lower().startswith(b"content-length:"):
                                length = int(field.split(b":")[1])
                        stream.read(length)
                        body = b"healthy" if line.startswith(b"GET /health ") else b"scored"
                        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

            threading.Thread(target=serve, daemon=True).start()
            reply = read_reply(client, "POST")
        assert (reply.status, reply.body) == (200, b"scored")
        assert standings(gate) == ["ready"]
        place.shutdown(socket.SHUT_RDWR)


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")  # the end of a TLS stream without close_notify ends no reply
        self.end_headers()

    def log_message(self, *_):
        pass


def test_probes_of_https_replicas_are_verified(start, ecdsa, rsa):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ecdsa.certificate, ecdsa.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        services = {}
        for name, ca in (("trusts", ecdsa.ca), ("does-not", rsa.certificate)):
            services[name] = probed(f"https://127.0.0.1:{server.server_port}")
            services[name]["deployments"]["blue"]["replica_tls"] = {"ca_file": str(ca), "server_name": "localhost"}
        gate = start(services)
        standing = lambda of: gate.status()["services"][of]["deployments"]["blue"]["replicas"][0]["standing"]
        wait_until(lambda: standing("trusts") == "ready" and standing("does-not") == "unready")
        server.shutdown()


def test_a_drain_does_not_wait_for_probes(start):
    with Replica() as silent:
        gate = start({"iris": probed(silent.url, probe={"timeout": 60})})
        silent.request()  # and it gets no answer
        gate.stop()


def test_a_real_single_worker_that_is_busy_is_never_unready(start):
    """gunicorn's synchronous worker answers nothing while it computes: for longer than any probe would wait."""
    reading, writing = os.pipe()
    server = Process([sys.executable, "-m", "gunicorn", "--worker-class", "sync", "--workers", "1", "--bind", "127.0.0.1:0",
                      "--chdir", pathlib.Path(__file__).parent, "counted_app:app"],
                     env={**os.environ, "COUNTED_EVENTS": str(writing), "PYTHONDONTWRITEBYTECODE": "1"}, pass_fds=[writing])
    os.close(writing)
    try:
        url = server.stderr.wait_for(r"Listening at: (\S+)").group(1)
        gate = start({"iris": probed(url, probe={"preset": "azureml", "path": "/"},
                                     request_settings={"max_concurrent_requests_per_instance": 1, "request_timeout_ms": 20000,
                                                       "max_queue_wait_ms": 20000})})
        wait_until(lambda: standings(gate) == ["ready"])
        with gate.tls_socket() as client:
            send(client, "POST", PATH, b"5000", {"X-Ms-Client-Request-Id": "long"})
            seen = set()
            replied = threading.Event()
            threading.Thread(target=lambda: (client.recv(1), replied.set()), daemon=True).start()
            wait_until(lambda: seen.add(standings(gate)[0]) or replied.is_set(), timeout=20)
        assert seen == {"ready"}
        assert gate.metric("scoregate_probes_total", result="failure") == 0
        assert gate.request("POST", PATH, b"0", {"X-Ms-Client-Request-Id": "next"}).body == b"next"
    finally:
        server.stop()
        os.close(reading)
