"""What passes between scoregate and a replica, and what clients see when the replica fails."""
import json
import re
import ssl

import pytest

from replica import Replica
from scoregate import begin_reply, exchange, read_reply, send, service

PATH = "/api/v1/service/stream/score"


def test_what_the_replica_is_sent(gate, replica):
    with gate.tls_socket() as client:
        send(client, "POST", PATH + "?a=1&b=%20", b"payload", {
            "X-Request-Id": "mine", "x-ms-client-request-id": "order-1", "Authorization": "Bearer secret", "Proxy": "http://evil.example",
            "Forwarded": "for=1.2.3.4", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "http", "TE": "trailers",
            "Connection": "keep-alive, X-Hop", "X-Hop": "1", "X-Custom": "kept", "Content-Type": "application/json"})
        request = replica.request()
        assert (request.method, request.target, request.version) == ("POST", "/score?a=1&b=%20", "HTTP/1.1")
        assert request.body() == b"payload"
        request.reply(b"answer")
        reply = read_reply(client)
    sent = request.headers
    assert sent["Host"] == "localhost"
    assert sent["X-Custom"] == "kept" and sent["Content-Type"] == "application/json"
    assert sent.get_all("X-Request-Id") == [reply.headers["x-request-id"]]
    assert sent["x-ms-client-request-id"] == "order-1"
    assert sent.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert sent.get_all("X-Forwarded-Proto") == ["https"]
    assert sent["traceparent"]
    for name in ("Authorization", "Proxy", "Forwarded", "TE", "X-Hop", "Expect", "Upgrade"):
        assert name not in sent
    assert "Keep-Alive" not in sent


def test_what_the_client_is_sent(gate, replica):
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        replica.request().reply(b"answer", "201 Made", "X-Custom: kept\r\nX-Request-Id: theirs\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                                                       "Keep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n")
        reply = read_reply(client)
    assert (reply.status, reply.body) == (201, b"answer")
    assert reply.headers["X-Custom"] == "kept"
    assert reply.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert reply.headers.get_all("X-Request-Id") != ["theirs"] and len(reply.headers.get_all("X-Request-Id")) == 1
    assert "X-Hop" not in reply.headers and "Keep-Alive" not in reply.headers


def test_connections_to_the_replica_are_kept(gate, replica):
    connections = set()
    for number in range(5):
        with gate.tls_socket() as client:
            send(client, "GET", PATH)
            request = replica.request()
            connections.add(request.connection)
            request.reply()
            assert read_reply(client).status == 200
    assert len(connections) == 1


def test_the_replica_with_the_fewest_requests_in_flight_is_chosen(start, replica):
    with Replica() as other:
        gate = start({"stream": service(replica.url, other.url)})
        with gate.tls_socket() as first, gate.tls_socket() as second:
            send(first, "GET", PATH)
            send(second, "GET", PATH)
            replica.request().reply(b"one")  # neither got both
            other.request().reply(b"two")
            assert {read_reply(first).body, read_reply(second).body} == {b"one", b"two"}


@pytest.mark.parametrize("version, statuses", [("HTTP/1.1", [b"103", b"200"]), ("HTTP/1.0", [b"200"])])
def test_informational_replies_pass_to_clients_that_know_them(gate, replica, version, statuses):
    """RFC 9110 15.2: forwarded, but never to HTTP/1.0."""
    with gate.tls_socket() as client:
        client.sendall(f"GET {PATH} {version}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        request = replica.request()
        request.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        request.reply(b"answer")
        said = b""
        while piece := client.recv(65536):
            said += piece
    assert re.findall(rb"^HTTP/1.1 (\d+)", said, re.MULTILINE) == statuses
    assert said.endswith(b"\r\n\r\nanswer")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_replies_without_a_body_leave_the_connection_usable(gate, replica, status):
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        request = replica.request()
        request.send(f"HTTP/1.1 {status}\r\n\r\n".encode())
        request.done()
        assert read_reply(client).status == int(status[:3])
        assert exchange(client, "GET", "/", keep=True).body == b"Healthy"


def test_an_early_refusal_by_the_replica_reaches_the_client(gate, replica):
    """The replica refuses a large body after its head and resets the connection."""
    with gate.tls_socket() as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n".encode())
        client.sendall(b"x" * 65536)  # what is collected before a replica is asked for
        request = replica.request()
        request.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        request.close()
        reply = read_reply(client)
    assert (reply.status, reply.body) == (413, b"big")


def failed(gate, status, fault, side="replica", path=PATH, body=None):
    reply = gate.request("POST" if body else "GET", path, body)
    assert (reply.status, reply.fault) == (status, fault)
    assert reply.json["error"]["code"] == fault
    assert reply.json["error"]["side"] == side
    return reply


def test_a_replica_that_refuses_connections(gate, replica):
    replica.stop_listening()
    failed(gate, 502, "connect_failed")


FAILURES = {
    "closes": (lambda request: request.close(), 502, "replica_closed"),
    "resets": (lambda request: request.reset(), 502, "replica_closed"),
    "closes in the head": (lambda request: (request.send(b"HTTP/1.1 200 OK\r\nContent-"), request.close()), 502, "replica_closed"),
    "talks nonsense": (lambda request: request.send(b"SSH-2.0-server\r\n\r\n"), 502, "replica_bad_response"),
    "says two lengths": (lambda request: request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
                         502, "replica_bad_response"),
    "is too slow": (lambda request: request.wait_hang_up(), 504, "request_timeout"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_replica_that_fails_before_its_reply(start, how):
    fail, status, fault = FAILURES[how]
    with Replica(lambda request: (list(request.pieces()), fail(request))) as replica:
        gate = start({"stream": service(replica.url, request_settings={"request_timeout_ms": 300})})
        reply = failed(gate, status, fault, body=b"payload")
        if fault == "replica_closed":
            assert "Replica closed connection before replying" in reply.json["error"]["message"]
        assert gate.request("GET", "/").status == 200


TRUNCATED = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
}


def assert_cut(client):
    """The connection ends without the close_notify that would make the reply look whole."""
    with pytest.raises((ssl.SSLError, ConnectionResetError), match="(?i)unexpected eof|reset"):
        while client.recv(4096):
            pass


@pytest.mark.parametrize("framing", TRUNCATED)
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_truncated_reply_is_never_passed_off_as_whole(gate, replica, framing, version):
    with gate.tls_socket() as client:
        client.sendall(f"GET {PATH} {version}\r\nHost: localhost\r\n\r\n".encode())
        request = replica.request()
        request.send(TRUNCATED[framing])
        response = begin_reply(client)
        assert response.read(9) == b"only this"
        request.close()
        assert_cut(client)


def test_a_stream_that_pauses_too_long_is_cut(start, replica):
    gate = start({"stream": service(replica.url)}, timeouts={"stream_idle_ms": 300})
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        request = replica.request()
        request.send(TRUNCATED["chunked"])
        assert begin_reply(client).read(9) == b"only this"
        assert_cut(client)
        request.wait_hang_up()


def test_a_client_that_goes_frees_the_replica_at_the_next_event(gate, replica):
    client = gate.tls_socket()
    send(client, "GET", PATH)
    request = replica.request()
    request.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    begin_reply(client)
    client.close()
    with pytest.raises(OSError):  # hung up on
        while True:
            request.send(b"5\r\nevent\r\n")
    line = json.loads(gate.stdout.wait_count(1)[0])
    assert (line["status"], line["fault"]) == (499, "client_gone")


@pytest.mark.parametrize("message, fault", [
    (b"GET /api/v1/service/stream/score HTTP/1.1\r\n\r\n", "bad_request"),
    (b"POST /api/v1/service/stream/score HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "bad_request"),
    (b"GET /api/v1/service/stream/score HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\n\r\n", "bad_request"),
    (b"GET /api/v1/service/stream/score HTTP/1.1\r\nHost: a\r\n folded: 1\r\n\r\n", "bad_request"),
    (b"GET /api/v1/service/stream/score HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 70000 + b"\r\n\r\n", "header_too_large"),
], ids=["no-host", "two-framings", "underscore", "fold", "large-head"])
def test_what_is_not_http_never_reaches_the_replica(gate, replica, message, fault):
    with gate.tls_socket() as client:
        client.sendall(message)
        reply = read_reply(client)
        assert reply.fault == fault
        assert reply.status == {"bad_request": 400, "header_too_large": 431}[fault]
        assert client.recv(1) == b""  # the connection is closed
    assert replica.untouched


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_a_body_over_the_limit(start, replica, framing):
    gate = start({"stream": service(replica.url)}, limits={"max_request_bytes": 1000})
    body = b"x" * 1001 if framing == "content-length" else iter([b"x" * 501, b"x" * 500])
    with gate.tls_socket() as client:
        send(client, "POST", PATH, body)
        reply = read_reply(client)
    assert (reply.status, reply.fault) == (413, "body_too_large")
    assert "1000" in reply.json["error"]["message"]


def test_a_slow_head_times_out(start, replica):
    gate = start({"stream": service(replica.url)}, timeouts={"header_ms": 200})
    with gate.tls_socket() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost:")
        reply = read_reply(client)
        assert (reply.status, reply.fault) == (408, "client_timeout")
        assert client.recv(1) == b""


def test_an_idle_connection_is_closed_without_a_word(start, replica):
    gate = start({"stream": service(replica.url)}, timeouts={"keep_alive_ms": 200})
    with gate.tls_socket() as client:
        assert exchange(client, "GET", "/", keep=True).status == 200
        assert client.recv(1) == b""


def test_a_silent_client_does_not_finish_a_handshake(start, replica):
    gate = start({"stream": service(replica.url)}, timeouts={"handshake_ms": 200})
    with gate.plain_socket(gate.https) as client:
        assert client.recv(1) == b""
