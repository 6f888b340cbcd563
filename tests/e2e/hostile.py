"""Clients that mean no good, in a process of their own: COUNT of them, each brought into STATE and kept there.

    python3 hostile.py STATE PORT COUNT [OTHER_PORT]

prints "held" when all of them are in it but those that the server has turned away, and "ended" when it has closed them
all; lives until it is killed. They take the steps to their state one after another; from then on each reads as much as
the state's sip and sends its trickle, once a second; most do neither.
"""
import contextlib
import dataclasses
import select
import socket
import ssl
import struct
import sys
import time
import typing

PATIENCE = 10
SCORE = b"/api/v1/service/model/score"
LARGE = b"/api/v1/service/model/large"


def head(method, path, *fields):
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: localhost", *fields])


class Clients:
    """Makes connections to one port, by the steps that the states have in common."""

    def __init__(self, port, other_port=None):
        self._port = port
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._session = None
        if other_port:
            with self._context.wrap_socket(self._connect(other_port), server_hostname="localhost") as sock:
                self._session = sock.session

    @staticmethod
    def _connect(port, unread=False):
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        if unread:  # what is sent to it is to stay at the server, not with the kernel
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect(self):
        return self._connect(self._port)

    def hello(self):
        """The bytes of a ClientHello."""
        outgoing = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            self._context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
        return outgoing.read()

    def secure(self, unread=False):
        """Resumed but for the first one, where the server takes the ticket."""
        sock = self._context.wrap_socket(self._connect(self._port, unread), server_hostname="localhost",
                                         session=self._session)
        self._session = self._session or sock.session
        return sock


def sends(request, unread=False):
    """A state: this much has been sent over TLS."""
    def make(clients):
        sock = clients.secure(unread)
        sock.sendall(request)
        return sock
    return make


def as_far_as_it_goes(request):
    """The same, but for what nobody takes."""
    def make(clients):
        sock = clients.secure(unread=True)
        sock.setblocking(False)
        with contextlib.suppress(ssl.SSLWantWriteError):
            for at in range(0, len(request), 16384):
                sock.send(request[at:at + 16384])
        return sock
    return make


def below_tls(make):
    """From then on it reads and writes records, in whatever pieces."""
    return lambda clients: socket.socket(fileno=make(clients).detach())


def silent(clients):
    return clients.connect()


def hello(clients):
    sock = clients.connect()
    sock.sendall(clients.hello()[:-60])
    return sock


def flight(clients):
    """The server has sent its certificate and its key, and waits for the client's."""
    sock = clients.connect()
    sock.sendall(clients.hello())
    if not sock.recv(1):
        raise ConnectionError("turned away")
    return sock


def idle(clients):
    sock = clients.secure()
    sock.sendall(head(b"GET", SCORE) + b"\r\n\r\n")
    assert sock.recv(65536).endswith(b"ok")
    return sock


def record(clients):
    """Idle but for the beginning of a TLS record."""
    raw = below_tls(idle)(clients)
    raw.sendall(struct.pack("!BHH", 23, 0x0303, 16384) + b"the beginning")
    return raw


def renegotiation(clients):
    """Has asked for another handshake, which Python's ssl cannot."""
    from OpenSSL import SSL
    context = SSL.Context(SSL.TLSv1_2_METHOD)
    sock = clients.connect()
    tls = SSL.Connection(context, None)  # between buffers: pyOpenSSL has no blocking mode with a timeout
    tls.set_connect_state()

    def shake():
        with contextlib.suppress(SSL.WantReadError):
            tls.do_handshake()
            return True
        return False

    while not shake():
        sock.sendall(tls.bio_read(65536))
        tls.bio_write(sock.recv(65536))
    with contextlib.suppress(SSL.WantReadError):
        sock.sendall(tls.bio_read(65536))
    tls.renegotiate()
    assert not shake()
    sock.sendall(tls.bio_read(65536))
    assert sock.recv(65536)[0] == 21  # an alert: that it gets none
    return sock


@dataclasses.dataclass
class State:
    make: typing.Callable
    trickle: bytes = b""
    sip: int = 0

    def move(self, sock):
        with contextlib.suppress(OSError):  # nothing there, or the server has closed it just now
            if self.sip:
                sock.recv(self.sip)
        with contextlib.suppress(OSError):
            if self.trickle:
                sock.send(self.trickle)


STATES = {
    "silent": State(silent),
    "hello": State(hello, b"x"),
    "flight": State(flight),
    "head": State(sends(head(b"GET", SCORE, b"X-Slow: ")), b"x"),
    "large_head": State(sends(head(b"GET", SCORE, *[b"X-Slow: " + b"x" * 1000] * 60)), b"x"),
    "body": State(sends(head(b"POST", SCORE, b"Content-Length: 1000000", b"", b"x")), b"x"),
    "chunks": State(sends(head(b"POST", SCORE, b"Transfer-Encoding: chunked", b"", b"1", b"x")), b"\r\n1\r\nx"),
    "expect": State(sends(head(b"POST", SCORE, b"Content-Length: 1000000", b"Expect: 100-continue", b"", b""))),
    "collected": State(sends(head(b"POST", SCORE, b"Content-Length: 65536", b"", b"x" * 60000))),
    "upload": State(sends(head(b"POST", SCORE, b"Content-Length: 1000000", b"", b"x" * 70000)), b"x"),
    "fast_upload": State(sends(head(b"POST", SCORE, b"Content-Length: 1000000", b"", b"x" * 70000)), b"x" * 2000),
    "reader": State(sends(head(b"GET", LARGE, b"", b""), unread=True)),
    "slow_reader": State(below_tls(sends(head(b"GET", LARGE, b"", b""), unread=True)), sip=20),
    "fast_reader": State(below_tls(sends(head(b"GET", LARGE, b"", b""), unread=True)), sip=4096),
    "pipeline": State(sends(head(b"GET", LARGE, b"", b"") * 300, unread=True)),
    "long_pipeline": State(as_far_as_it_goes(head(b"GET", SCORE, b"", b"") * 16000)),  # a megabyte
    "requests": State(idle, head(b"GET", SCORE, b"", b""), sip=65536),
    "idle": State(idle),
    "record": State(record),
    "renegotiation": State(renegotiation),
}


def churn(clients):
    """Never stops: connections that are reset in each phase of their short lives."""
    ways = [silent, hello, flight, Clients.secure, STATES["head"].make, STATES["body"].make, idle]
    for number in range(sys.maxsize):
        with ways[number % len(ways)](clients) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if number % 1000 == 999:
            print(f"{number + 1} connections", flush=True)


def bring_into(state, clients, count):
    for _ in range(count):
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # turned away
            yield state.make(clients)


def keep(held, state):
    next_move = time.monotonic() + 1
    for sock in held:
        sock.setblocking(False)
    left = {sock.fileno(): sock for sock in held}
    with select.epoll() as closed:
        for number in left:
            closed.register(number, select.EPOLLRDHUP)
        while left:
            for number, _ in closed.poll(max(0, next_move - time.monotonic())):
                left.pop(number).close()
            if time.monotonic() < next_move:
                continue
            next_move += 1
            for sock in left.values():
                state.move(sock)


if __name__ == "__main__":
    name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    clients = Clients(port, *map(int, sys.argv[4:]))
    if name == "churn":
        churn(clients)
    state = STATES[name]
    held = list(bring_into(state, clients, count))
    print("held", flush=True)
    keep(held, state)
    print("ended", flush=True)
