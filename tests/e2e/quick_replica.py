"""A replica in a process of its own that answers at once and holds as many connections as come: one thread, epoll.

    python3 quick_replica.py        prints "listening on PORT"

The reply to /large is LARGE bytes, any other is "ok", and the last of its connection to /last. What a request's body is does not matter; that it is whole does.
"""
import select
import socket

LARGE = 512 * 1024
SMALL_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
LARGE_REPLY = memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE)

REPLIES = {b"/large": LARGE_REPLY, b"/last": LAST_REPLY}


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.received = b""
        self.unsent = memoryview(b"")

    def advance(self):
        """Answers what is whole of what has been received; False once the connection is over."""
        try:
            while piece := self.sock.recv(65536):
                self.received += piece
            return False
        except BlockingIOError:
            pass
        except ConnectionError:
            return False
        while not self.unsent and (reply := self._next_reply()):
            self.unsent = memoryview(reply)
        return self.send()

    def send(self):
        try:
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent):]
        except BlockingIOError:
            pass
        except ConnectionError:
            return False
        return True

    def _next_reply(self):
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"transfer-encoding" in fields:
            body, found, rest = rest.partition(b"0\r\n\r\n")
            if not found:
                return None
        else:
            size = int(fields.get(b"content-length", 0))
            if len(rest) < size:
                return None
            rest = rest[size:]
        self.received = rest
        return REPLIES.get(head.split(b" ", 2)[1], SMALL_REPLY)


def serve(listener):
    connections = {}
    with select.epoll() as ready:
        ready.register(listener, select.EPOLLIN)
        while True:
            for number, events in ready.poll():
                if number == listener.fileno():
                    sock, _ = listener.accept()
                    sock.setblocking(False)
                    connections[sock.fileno()] = Connection(sock)
                    ready.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
                elif not connections[number].advance():
                    connections.pop(number).sock.close()


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)  # what nobody reads is not the kernel's to keep
    print(f"listening on {listener.getsockname()[1]}", flush=True)
    serve(listener)
