"""Stopping without losing a request, changing the configuration under load, living through a lack of descriptors."""
import errno
import http.client
import json
import os
import pathlib
import resource
import signal
import socket
import threading
import time

import pytest

from process import wait_until
from replica import Replica
from scoregate import Scoregate, begin_reply, command, configuration, exchange, read_reply, send, service

PATH = "/api/v1/service/stream/score"


def test_sigterm_drains(gate, replica):
    with gate.tls_socket() as slow, gate.tls_socket() as streaming, gate.tls_socket() as idle:
        send(slow, "GET", PATH + "?slow")
        slow_request = replica.request()
        send(streaming, "GET", PATH + "?stream")
        stream = replica.request()
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        stream.send_chunk(b"before")
        response = begin_reply(streaming)
        assert response.read(6) == b"before"
        assert exchange(idle, "GET", "/", keep=True).status == 200

        asked = time.monotonic()
        gate.signal(signal.SIGTERM)

        assert idle.recv(1) == b""  # closed in good order
        wait_until(lambda: gate.refuses_connections(gate.https))
        assert gate.ask_admin("/readyz").status == 503
        assert gate.ask_admin("/healthz").status == 200
        assert json.loads(gate.ask_admin("/status").body)["draining"]
        assert json.loads(gate.ask_admin("/history").body)["health"]["findings"][0]["text"].startswith("It is draining")
        assert gate.metric("scoregate_in_flight") == 2

        slow_request.reply(b"worth waiting for")
        assert read_reply(slow).body == b"worth waiting for"
        stream.send_chunk(b"after")
        assert response.read(5) == b"after"
        stream.send_chunk(b"")
        stream.done()
        assert response.read() == b""
        assert gate.wait() == 0
        assert time.monotonic() - asked < 5  # drain_ms


def test_a_connection_in_use_learns_that_it_ends(gate, replica):
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        request = replica.request()
        gate.signal(signal.SIGTERM)
        wait_until(lambda: gate.refuses_connections(gate.https))
        request.reply(b"last")
        reply = read_reply(client)
        assert (reply.body, reply.headers["Connection"]) == (b"last", "close")
        assert client.recv(1) == b""
    assert gate.wait() == 0


CAPS = pytest.mark.parametrize("cap", [None, 1])


def capped(replica, cap):
    return {"stream": service(replica.url, request_settings={"max_concurrent_requests_per_instance": cap})}


@CAPS
def test_a_drain_does_not_last_for_ever(start, replica, cap):
    gate = start(capped(replica, cap), timeouts={"drain_ms": 300})
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        replica.request()
        gate.signal(signal.SIGTERM)
        assert gate.wait(timeout=3) == 1  # a request was lost


@CAPS
def test_a_second_sigterm_ends_it_now(start, replica, cap):
    gate = start(capped(replica, cap), timeouts={"drain_ms": 60000})
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        replica.request()
        gate.signal(signal.SIGTERM)
        wait_until(lambda: gate.refuses_connections(gate.https))
        gate.signal(signal.SIGTERM)
        assert gate.wait(timeout=3) == 1


@CAPS
def test_a_client_that_leaves_during_a_drain_ends_it(start, replica, cap):
    gate = start(capped(replica, cap), timeouts={"drain_ms": 60000})
    client = gate.tls_socket()
    send(client, "GET", PATH)
    replica.request()  # and never answered
    gate.signal(signal.SIGTERM)
    wait_until(lambda: gate.refuses_connections(gate.https))
    client.close()
    assert gate.wait(timeout=3) == 0


def test_drain_by_command_loses_no_request(start):
    """Each client asks again and again on one connection, until a reply says that it was the last."""
    arrived = threading.Barrier(5)  # four requests, and the test
    go_on = threading.Event()

    def answer(request):
        body = request.body()
        if body == b"0":
            arrived.wait(10)
            go_on.wait(10)
        request.reply(body)

    with Replica(answer) as replica:
        gate = start({"stream": service(replica.url)}, workers=2)
        failed, counts = [], [0] * 4

        def ask(number):
            try:
                with gate.tls_socket() as sock:
                    while True:
                        send(sock, "POST", PATH, str(counts[number]))
                        reply = read_reply(sock, "POST")
                        assert (reply.status, reply.body) == (200, str(counts[number]).encode()), reply
                        counts[number] += 1
                        if reply.headers["Connection"] == "close":
                            return
            except Exception as error:  # whatever it is, a client saw it
                failed.append(f"client {number}, request {counts[number]}: {error!r}")

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for each in clients:
            each.start()
        arrived.wait(10)
        for _ in range(2):  # who asks twice does not mean "now"
            done = command("drain", "--admin", gate.admin_url)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == {"result": "draining"}
        wait_until(lambda: gate.refuses_connections(gate.https))
        assert gate.ask_admin("/readyz").status == 503
        gate.signal(signal.SIGTERM)  # as an orchestrator does when its hook has run
        gate.stderr.wait_for("draining already")
        go_on.set()
        for each in clients:
            each.join(10)
        assert failed == [] and counts == [1] * 4
        assert gate.wait() == 0
    assert gate.stderr.text.count("readiness is off") == 1
    gone = command("drain", "--admin", gate.admin_url)
    assert gone.returncode == 1 and "no scoregate answers" in gone.stderr


def test_a_drain_before_it_serves_ends_it(tmp_path, ecdsa):
    """While it waits for the first answer of DNS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.create_server(("127.0.0.1", 0)) as admin:
        silent.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % admin.getsockname()[1]
        admin.close()
        settings = configuration({"stream": service("http://model.example:80")}, ecdsa, admin={"listen": address},
                                 dns={"servers": ["127.0.0.1:%d" % silent.getsockname()[1]]})
        gate = Scoregate(tmp_path, settings, ecdsa)
        gate.admin_url = f"http://{address}"
        try:
            silent.settimeout(10)
            silent.recv(512)  # the question
            done = command("drain", "--admin", gate.admin_url)
            assert (done.returncode, json.loads(done.stdout)) == (0, {"result": "draining"})
            assert gate.wait() == 0
        finally:
            gate.stop()
        assert "serves with" not in gate.stderr.text


def test_sigint_drains_too(gate):
    gate.signal(signal.SIGINT)
    assert gate.wait() == 0


def by_signal(gate):
    gate.signal(signal.SIGHUP)


def by_admin_port(gate):
    assert gate.reload().status == 200


@pytest.mark.parametrize("reload", [by_signal, by_admin_port])
def test_a_reload_adds_and_removes_services_while_requests_run(gate, replica, reload):
    second = "/api/v1/service/second/score"
    with gate.tls_socket() as slow, gate.tls_socket() as kept:
        send(slow, "GET", PATH)
        running = replica.request()
        assert exchange(kept, "GET", second, keep=True).fault == "no_route"

        with Replica(lambda request: request.reply(b"second")) as other:
            gate.configure(gate.settings | {"services": {"second": service(other.url)}})
            reload(gate)
            wait_until(lambda: gate.request("GET", second).body == b"second")
            assert exchange(kept, "GET", second, keep=True).body == b"second"  # a connection from before
            assert exchange(kept, "GET", PATH, keep=True).fault == "no_route"

        running.reply(b"first")  # its service is gone, it is not
        assert read_reply(slow).body == b"first"


def test_a_reload_changes_limits(gate, replica):
    gate.configure(gate.settings | {"limits": {"max_request_bytes": 10}})
    assert gate.reload().status == 200
    assert gate.request("POST", PATH, b"x" * 11).fault == "body_too_large"


def test_a_configuration_that_is_not_utf8_is_refused_and_told(gate, replica):
    gate.file.write_bytes(b'{"colour": "\xff"}')
    refused = gate.reload()
    assert refused.status == 422 and refused.json["problems"]
    assert gate.status()["reloads"]["configuration"]["failed"] == 1


def test_a_broken_configuration_is_refused_and_the_old_one_kept(gate, replica):
    broken = gate.settings | {"colour": "blue", "limits": {"max_headers": -1}}
    gate.configure(broken)
    refused = gate.reload()
    assert refused.status == 422
    for pointer in ("/colour", "/limits/max_headers"):
        assert pointer.encode() in refused.body
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        replica.request().reply(b"still here")
        assert read_reply(client).body == b"still here"


def test_a_broken_configuration_by_sighup_is_told(gate):
    gate.file.write_text("{")
    gate.signal(signal.SIGHUP)
    gate.stderr.wait_for(r"(?i)error.*scoregate\.json")
    assert gate.request("GET", "/").status == 200


def test_a_new_address_needs_a_restart_and_is_told(gate, replica):
    with Replica(lambda request: request.reply(b"second")) as other:
        gate.configure(gate.settings | {"workers": 2, "services": {"second": service(other.url)}})
        assert gate.reload().status == 200
        assert gate.request("GET", "/api/v1/service/second/score").body == b"second"  # the rest is applied
    gate.stderr.wait_for(r"(?i)workers.*restart|restart.*workers")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("when", ["before start", "while running"])
def test_a_lack_of_descriptors_neither_spins_nor_kills_it(start, when):
    """Before the start it can lower its own limits; taken away later, accept() fails with EMFILE."""
    few = (128, 128)
    before_start = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few)} if when == "before start" else {}
    with Replica(lambda request: request.reply(b"answer")) as replica:
        gate = start({"stream": service(replica.url)}, options=before_start)
        descriptors = lambda: len(os.listdir(f"/proc/{gate.pid}/fd"))
        at_first = descriptors()
        if when == "while running":
            resource.prlimit(gate.pid, resource.RLIMIT_NOFILE, (at_first + 20, at_first + 20))
        crowd = []
        try:
            for _ in range(200):
                sock = socket.socket()
                sock.setblocking(False)
                assert sock.connect_ex(("127.0.0.1", gate.https)) in (0, errno.EINPROGRESS)
                crowd.append(sock)
            wait_until(lambda: descriptors() >= at_first + 10)

            before = cpu_seconds(gate.pid)
            time.sleep(1)  # the length of the measurement
            assert cpu_seconds(gate.pid) - before < 0.3
        finally:
            for sock in crowd:
                sock.close()

        def scores():
            try:
                return gate.request("GET", PATH).body == b"answer"
            except (OSError, http.client.HTTPException):
                return False

        wait_until(scores)
        assert gate.running
