"""allowInsecureConnections on and off while it runs: the scoring port changes, requests in flight finish."""
import signal
import socket

import pytest

from process import wait_until
from scoregate import exchange, read_reply, send, service

PATH = "/api/v1/service/stream/score"


def switch(gate, insecure, **more):
    """Only writes the file: that is enough."""
    gate.configure(gate.settings | {"allowInsecureConnections": insecure, **more})


def await_insecure(gate):
    wait_until(lambda: gate.refuses_connections(gate.https))


def await_secure(gate):
    wait_until(lambda: not gate.refuses_connections(gate.https))


def scores(sock, replica):
    """The reply to a request that the replica gets on this connection."""
    send(sock, "POST", PATH, b"question")
    request = replica.request()
    assert request.body() == b"question"
    request.reply(b"answer")
    return read_reply(sock)


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_on_and_off_again(gate, replica, ecdsa):
    assert gate.plain_request("POST", PATH, b"{}").fault == "https_required"
    for _ in range(2):
        switch(gate, True)
        await_insecure(gate)
        with gate.plain_socket(gate.http) as sock:
            assert scores(sock, replica).body == b"answer"
        gate.stderr.wait_for(r"(?i)warn.*allowInsecureConnections")
        gate.stderr.wait_for(rf"scoring URI http://127\.0\.0\.1:{gate.http}{PATH}")
        assert gate.status()["certificates"] == []

        switch(gate, False)
        await_secure(gate)
        with gate.tls_socket() as sock:
            assert scores(sock, replica).body == b"answer"
        assert gate.plain_request("POST", PATH, b"{}").fault == "https_required"
        assert gate.plain_request("GET", PATH).status == 308
        assert [each["cname"] for each in gate.status()["certificates"]] == ["localhost"]
    assert gate.running and replica.untouched


def test_requests_in_flight_on_tls_finish(gate, replica):
    with gate.tls_socket() as slow, gate.tls_socket() as streaming, gate.tls_socket() as idle:
        send(slow, "POST", PATH, b"question")
        request = replica.request()
        assert request.body() == b"question"
        send(streaming, "GET", PATH)
        stream = replica.request()
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        stream.send_chunk(b"before")
        assert exchange(idle, "GET", "/", keep=True).status == 200

        switch(gate, True)
        await_insecure(gate)
        assert idle.recv(1) == b""  # closed in good order

        request.reply(b"worth waiting for")
        reply = read_reply(slow)
        assert (reply.status, reply.body, reply.headers["Connection"]) == (200, b"worth waiting for", "close")
        assert slow.recv(1) == b""
        stream.send_chunk(b" and after")
        stream.send_chunk(b"")
        stream.done()
        assert read_reply(streaming).body == b"before and after"
        assert streaming.recv(1) == b""


def test_requests_in_flight_in_clear_finish(gate, replica):
    switch(gate, True)
    await_insecure(gate)
    with gate.plain_socket(gate.http) as slow:
        send(slow, "POST", PATH, b"question")
        request = replica.request()
        assert request.body() == b"question"
        switch(gate, False)
        await_secure(gate)
        request.reply(b"worth waiting for")
        assert read_reply(slow).body == b"worth waiting for"
        assert exchange(slow, "POST", PATH, b"question").fault == "https_required"


def test_started_in_clear_and_then_secured(start, replica, ecdsa, free_port):
    """The address is its own from the start; whoever connects is refused as if nobody listened."""
    listen = {"https": [f"127.0.0.1:{free_port}"], "http": ["127.0.0.1:0"]}
    gate = start({"stream": service(replica.url)}, allowInsecureConnections=True, listen=listen)
    with gate.plain_socket(gate.http) as sock:
        assert scores(sock, replica).body == b"answer"
    assert gate.refuses_connections(free_port)
    assert "listening https" not in gate.stderr.text

    switch(gate, False)
    wait_until(lambda: not gate.refuses_connections(free_port))
    assert gate.https == free_port
    with gate.tls_socket() as sock:
        assert scores(sock, replica).body == b"answer"


def test_left_over_settings_only_warn(gate, replica):
    """Partial ones too, and files that are not there."""
    settings = gate.settings | {"sslKeyPemFile": "gone.pem", "certificates": [{"sslSecret": "gone"}], "ticket_keys_dir": "gone"}
    del settings["sslCname"]
    gate.settings = settings
    switch(gate, True)
    await_insecure(gate)
    with gate.plain_socket(gate.http) as sock:
        assert scores(sock, replica).body == b"answer"
    for key in ("sslCertPemFile", "sslKeyPemFile", "certificates", "ticket_keys_dir"):
        gate.stderr.wait_for(f"(?i)warn.*{key}")
    assert gate.metric("scoregate_config_last_reload_successful") == 1


def test_switching_off_needs_a_good_certificate(gate, replica, tmp_path):
    """Until there is one it goes on as it is."""
    good = gate.settings
    switch(gate, True)
    await_insecure(gate)
    switch(gate, False, sslKeyPemFile=str(tmp_path / "gone.pem"))
    refused = gate.reload()
    assert refused.status == 422 and "gone.pem" in refused.body.decode()
    assert gate.refuses_connections(gate.https)
    with gate.plain_socket(gate.http) as sock:
        assert scores(sock, replica).body == b"answer"
    gate.configure(good)
    await_secure(gate)


def test_draining_while_insecure(gate):
    switch(gate, True)
    await_insecure(gate)
    gate.signal(signal.SIGTERM)
    assert gate.wait() == 0
    assert " error " not in gate.stderr.text


def test_a_drain_goes_on_whatever_is_switched(gate, replica):
    """The https port does not come back while it ends."""
    with gate.tls_socket() as slow:
        send(slow, "GET", PATH)
        request = replica.request()
        gate.signal(signal.SIGTERM)
        wait_until(lambda: gate.refuses_connections(gate.https))
        switch(gate, True)
        gate.reload()
        switch(gate, False)
        gate.reload()
        assert gate.refuses_connections(gate.https)
        request.reply(b"last")
        assert read_reply(slow).body == b"last"
    assert gate.wait() == 0
    assert " error " not in gate.stderr.text
