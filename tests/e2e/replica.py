"""A replica that does what a test tells it, byte by byte.

Either the test takes each request with request() and answers it, or it gives a function that answers all of them, each
on a thread of its own connection.
"""
import http.client
import queue
import socket
import struct
import threading

PATIENCE = 10


class Exchange:
    """One request that has arrived, and the connection it came on."""

    def __init__(self, sock, stream, connection):
        self.socket = sock
        self.connection = connection  # counts from 0: equal for requests that shared one
        self._stream = stream
        self._answered = threading.Event()
        self.keep = False

    def read_head(self):
        """False when the connection ended instead."""
        line = self._stream.readline()
        if not line:
            return False
        self.method, self.target, self.version = line.decode("latin-1").rstrip("\r\n").split(" ")
        self.headers = http.client.parse_headers(self._stream)
        return True

    def pieces(self):
        """The request's body, decoded, in pieces of no particular size."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self._stream.readline().split(b";")[0], 16):
                yield self._stream.read(size)
                self._stream.readline()
            while self._stream.readline() not in (b"\r\n", b""):  # trailers
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self._stream.read1(min(left, 1 << 18))
            if not piece:
                raise EOFError("the request's body was cut short")
            left -= len(piece)
            yield piece

    def body(self):
        return b"".join(self.pieces())

    def send(self, data):
        self.socket.sendall(data)

    def send_chunk(self, data):
        """b"" ends the body."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reply(self, body=b"", status="200 OK", headers=""):
        """A whole reply; the connection stays open."""
        self.send(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.done()

    def done(self):
        """The reply is whole: read the next request from this connection."""
        self.keep = True
        self._answered.set()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self._answered.set()

    def reset(self):
        """Closes with RST, so that bytes not yet read at the other side may be lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()
        self.socket.close()
        self._answered.set()

    def wait_answered(self):
        self._answered.wait()
        return self.keep

    def wait_hang_up(self):
        """Returns once the other side has closed the connection."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass


def echo(request):
    request.reply(request.body())


class Replica:
    def __init__(self, answer=None, address=("127.0.0.1", 0), tls=None):
        """address: the path of a Unix socket, or as of socket.create_server. tls: an ssl.SSLContext of a server for
        localhost, which `url` then names."""
        self._answer = answer
        self._tls = tls
        self._counting = threading.Lock()
        self.open_connections = 0
        self._requests = queue.Queue()
        self._open = []
        if isinstance(address, tuple):
            self._listener = socket.create_server(address)
            self.host, self.port = self._listener.getsockname()
            self.url = f"https://localhost:{self.port}" if tls else f"http://{self.host}:{self.port}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(address))
            self._listener.listen()
            self.url = f"http+unix://{address}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_listening()
        for sock, exchange in self._open:
            exchange and exchange._answered.set()
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop_listening(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def request(self, timeout=PATIENCE):
        """The next request, head read."""
        return self._requests.get(timeout=timeout)

    @property
    def untouched(self):
        """No request is waiting to be taken."""
        return self._requests.empty()

    def _accept(self):
        number = 0
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._counting:
                self.open_connections += 1
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()
            number += 1

    def _serve(self, sock, number):
        stream = None
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            stream = sock.makefile("rb")
            while True:
                exchange = Exchange(sock, stream, number)
                self._open.append((sock, exchange))
                if not exchange.read_head():
                    return
                if self._answer:
                    self._answer(exchange)
                else:
                    self._requests.put(exchange)
                if not exchange.wait_answered():
                    return
        except (OSError, ValueError, EOFError):
            return  # the other side hung up, or the test is over
        finally:
            if stream:
                stream.close()  # it keeps the connection open for as long as it is
            sock.close()
            with self._counting:
                self.open_connections -= 1
