"""Bodies stream both ways, byte for byte, as they come, through bounded memory."""
import hashlib
import select
import statistics
import subprocess
import threading
import time

import pytest

from process import Memory
from replica import Replica
from scoregate import begin_reply, read_reply, send, service

PATH = "/api/v1/service/stream/score"
MIB = 1 << 20
EVENTS = [f"id: {number}\ndata: {'token ' * (number % 7)}\n\n".encode() for number in range(100)]


class Chunked:
    head = b"Transfer-Encoding: chunked\r\n\r\n"
    write = staticmethod(lambda request, piece: request.send_chunk(piece))
    end = staticmethod(lambda request: (request.send_chunk(b""), request.done()))


class Sized:
    head = b"Content-Length: %d\r\n\r\n" % sum(map(len, EVENTS))
    write = staticmethod(lambda request, piece: request.send(piece))
    end = staticmethod(lambda request: request.done())


class Closed:
    head = b"Connection: close\r\n\r\n"
    write = staticmethod(lambda request, piece: request.send(piece))
    end = staticmethod(lambda request: request.close())


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("framing", [Chunked, Sized, Closed])
def test_each_event_arrives_before_the_next_is_sent(gate, replica, framing, version):
    with gate.tls_socket() as client:
        client.sendall(f"GET {PATH} {version}\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        request = replica.request()
        request.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing.head)
        response = begin_reply(client)  # the head comes before any event
        assert response.headers["Content-Type"] == "text/event-stream"
        delays = []
        for event in EVENTS:
            started = time.monotonic()
            framing.write(request, event)
            assert response.read(len(event)) == event
            delays.append(time.monotonic() - started)
        framing.end(request)
        assert response.read() == b""
    assert statistics.median(delays) < 0.010


COLLECTED = b"x" * 1024  # so much is collected before a replica is asked for


@pytest.fixture
def streaming(start, replica):
    return start({"stream": service(replica.url)}, limits={"request_buffer_bytes": len(COLLECTED)})


def test_an_upload_arrives_as_it_is_sent(streaming, replica):
    with streaming.tls_socket() as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        client.sendall(b"400\r\n" + COLLECTED + b"\r\n")
        request = replica.request()
        pieces = request.pieces()
        assert next(pieces) == COLLECTED
        client.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        assert b"".join(pieces) == b"second"
        request.reply(b"whole")
        assert read_reply(client).body == b"whole"


def test_both_directions_at_once(streaming, replica):
    """The replica answers each piece before the client sends the next."""
    with streaming.tls_socket() as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        client.sendall(b"400\r\n" + COLLECTED + b"\r\n")
        request = replica.request()
        pieces = request.pieces()
        assert next(pieces) == COLLECTED
        client.sendall(b"4\r\nping\r\n")
        request.send(b"HTTP/1.1 200 OK\r\n" + Chunked.head)
        response = begin_reply(client)
        for number in range(20):
            assert next(pieces) == b"ping"
            request.send_chunk(b"pong")
            assert response.read(4) == b"pong"
            client.sendall(b"4\r\nping\r\n")
        assert next(pieces) == b"ping"
        client.sendall(b"0\r\n\r\n")
        assert list(pieces) == []
        Chunked.end(request)
        assert response.read() == b""


BLOCK = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.blake2b(BLOCK * 100).hexdigest().encode()


def answer_digest(request):
    digest = hashlib.blake2b()
    for piece in request.pieces():
        digest.update(piece)
    request.reply(digest.hexdigest().encode())


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_100_mib_up_leave_memory_flat(start, framing):
    with Replica(answer_digest) as replica:
        gate = start({"stream": service(replica.url)})
        gate.request("POST", PATH, BLOCK[:1000])  # buffers that stay are there now
        memory = Memory(gate.pid)
        headers = {"Content-Length": str(100 * MIB)} if framing == "content-length" else {}
        with gate.tls_socket() as client:
            send(client, "POST", PATH, (BLOCK for _ in range(100)), headers)
            assert read_reply(client).body == DIGEST
        assert memory.growth < 8 * MIB


@pytest.mark.parametrize("framing", [Chunked, Closed, "content-length"])
def test_100_mib_down_leave_memory_flat(start, framing):
    def answer(request):
        list(request.pieces())
        if framing == "content-length":
            request.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
            for _ in range(100):
                request.send(BLOCK)
            request.done()
            return
        request.send(b"HTTP/1.1 200 OK\r\n" + framing.head)
        for _ in range(100):
            framing.write(request, BLOCK)
        framing.end(request)

    with Replica(answer) as replica:
        gate = start({"stream": service(replica.url)})
        assert gate.request("GET", "/").status == 200
        memory = Memory(gate.pid)
        digest, size = hashlib.blake2b(), 0
        with gate.tls_socket() as client:
            send(client, "GET", PATH)
            response = begin_reply(client)
            while piece := response.read(MIB):
                digest.update(piece)
                size += len(piece)
        assert size == 100 * MIB
        assert digest.hexdigest().encode() == DIGEST
        assert memory.growth < 8 * MIB


def test_a_client_that_does_not_read_holds_the_replica_back(gate, replica):
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        request = replica.request()
        memory = Memory(gate.pid)
        request.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
        sent = 0
        while select.select([], [request.socket], [], 0.5)[1]:  # till nothing has moved for so long
            sent += request.socket.send(BLOCK[:65536])
            assert sent < 64 * MIB, "nothing holds the replica back"
        assert memory.growth < 8 * MIB

        rest = threading.Thread(target=lambda: [request.send(b"x" * MIB) for _ in range((100 * MIB - sent) // MIB)]
                                + [request.send(b"x" * ((100 * MIB - sent) % MIB)), request.done()])
        rest.start()
        response = begin_reply(client)
        size = 0
        while piece := response.read(MIB):
            size += len(piece)
        rest.join()
        assert size == 100 * MIB
        assert memory.growth < 8 * MIB


def test_a_replica_that_does_not_read_holds_the_client_back(gate, replica):
    with gate.tls_socket() as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {100 * MIB}\r\n\r\n".encode())
        client.sendall(BLOCK[:65536])  # collected before a replica is asked for
        request = replica.request()
        memory = Memory(gate.pid)
        client.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):  # nothing has moved for so long
            while sent < 64 * MIB:
                client.sendall(BLOCK[:65536])
                sent += 65536
        assert memory.growth < 8 * MIB
        request.close()


def curl(gate, path, *arguments):
    return subprocess.run(["curl", "-sS", "-v", "--noproxy", "*", "--cacert", gate.ca, "--max-time", "10",
                           "--expect100-timeout", "30", *arguments, f"https://localhost:{gate.https}{path}"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=15)


def test_expect_100_continue(start, tmp_path):
    """curl waits for the 100 far longer than this test may take."""
    seen = []

    def answer(request):
        seen.append(request.headers)
        answer_digest(request)

    (tmp_path / "body").write_bytes(BLOCK)
    with Replica(answer) as replica:
        gate = start({"stream": service(replica.url)})
        done = curl(gate, PATH, "-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path}/body")
    assert "< HTTP/1.1 100 Continue" in done.stderr
    assert done.stdout == hashlib.blake2b(BLOCK).hexdigest(), done.stderr
    assert "Expect" not in seen[0]


def test_expect_100_continue_is_not_answered_for_what_is_refused(gate, replica, tmp_path):
    (tmp_path / "body").write_bytes(BLOCK)
    done = curl(gate, "/api/v1/service/nobody/score", "-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path}/body")
    assert "100 Continue" not in done.stderr
    assert "< HTTP/1.1 404" in done.stderr
    assert replica.untouched
