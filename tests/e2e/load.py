"""Clients that score all the time, while something is replaced under them."""
import itertools
import threading

from scoregate import PATIENCE, exchange

PATH = "/api/v1/service/iris/score"


def named(name, reply):
    return reply.body == name.encode()


class Load:
    """Clients that score without a pause, one half on a connection that they keep, the other on a new one each time."""

    def __init__(self, gate, clients=12, body=b"20", right=None):
        """right: whether the reply to a request of that name is what it has to be; counted_app's has the name."""
        self._gate, self._body, self._right = gate, body, right or named
        self._over = threading.Event()
        self._more = threading.Condition()
        self.answered = 0
        self.failed = {}  # name to status and fault, or to what the client saw instead of a reply
        self._threads = [threading.Thread(target=self._run, args=(f"c{number}", number % 2 == 0)) for number in range(clients)]

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for each in self._threads:
            each.join(3 * PATIENCE)
            assert not each.is_alive()

    def _run(self, client, keeps):
        context = self._gate.context()
        sock = None
        for turn in itertools.count():
            if self._over.is_set():
                break
            name = f"{client}-{turn}"
            try:
                sock = sock or self._gate.tls_socket(context)
                reply = exchange(sock, "POST", PATH, self._body,
                                 {"Content-Type": "application/json", "X-Ms-Client-Request-Id": name}, keep=keeps)
                failure = None if reply.status == 200 and self._right(name, reply) else (reply.status, reply.fault)
                closed = not keeps or reply.headers["Connection"] == "close"
            except Exception as error:
                failure, closed = repr(error), True
            if closed:
                sock and sock.close()
                sock = None
            with self._more:
                if failure:
                    self.failed[name] = failure
                else:
                    self.answered += 1
                self._more.notify_all()
        sock and sock.close()

    def next(self, count):
        """Returns when so many more requests have been answered well."""
        with self._more:
            wanted = self.answered + count
            assert self._more.wait_for(lambda: self.answered >= wanted, timeout=3 * PATIENCE), (self.answered, wanted, self.failed)
