"""What tests with thousands of hostile clients have in common: the flood, those who are to be served meanwhile, memory."""
import http.client
import pathlib
import sys
import threading

from process import Process, wait_until
from scoregate import exchange, service

HERE = pathlib.Path(__file__).parent
PATIENT = {f"{wait}_ms": 120000 for wait in ("handshake", "header", "body_idle", "keep_alive", "stream_idle")}
PATH = "/api/v1/service/model/"
ROUTES = {name: f"/{name}" for name in ("score", "large", "last")}  # as quick_replica.py answers them


class QuickReplica(Process):
    """A replica that answers at once, any number of connections."""

    def __init__(self):
        super().__init__([sys.executable, HERE / "quick_replica.py"])
        self.url = "http://127.0.0.1:" + self.stdout.wait_for(r"listening on (\d+)").group(1)


class Flood(Process):
    """`count` clients in a state of hostile.py, until stop()."""

    def __init__(self, state, gate, count, other=None):
        super().__init__([sys.executable, HERE / "hostile.py", state, gate.https, count, *([other.https] if other else [])])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_held(self):
        self.stdout.wait_for("held", timeout=60)

    def wait_ended(self):
        """Until the server has closed them all."""
        self.stdout.wait_for("ended", timeout=60)


def flooded_service(replica):
    return {"model": service(replica.url, routes=ROUTES)}


class GoodClients:
    """Ask again and again until the block ends; every request must succeed.

    keep: of each client, whether it stays on one connection."""

    def __init__(self, gate, keep=(True, False, True, False), path="score"):
        self._gate = gate
        self._path = PATH + path
        count = len(keep)
        self._context = gate.context()
        self._served = [0] * count
        self._failures = []
        self._more = threading.Condition()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=each) for each in enumerate(keep)]

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for each in self._threads:
            each.join()
        assert self._failures == []

    def wait_served(self, more=5):
        """Until each of them has had so many more replies."""
        with self._more:
            wanted = [served + more for served in self._served]
            served = self._more.wait_for(
                lambda: self._failures or all(map(int.__ge__, self._served, wanted)), timeout=30)
            assert served and self._failures == [], self._failures

    def _ask(self, number, keep):
        sock = None
        try:
            while not self._over.wait(0.02):  # leaves the machine to the others
                sock = sock or self._gate.tls_socket(self._context)
                reply = exchange(sock, "POST", self._path, b"[1]", keep=keep)
                assert (reply.status, reply.body) == (200, b"ok"), reply
                if not keep:
                    sock = None
                with self._more:
                    self._served[number] += 1
                    self._more.notify_all()
        except (OSError, AssertionError, http.client.HTTPException) as error:  # whatever it is, a client saw it
            with self._more:
                self._failures.append(f"client {number} after {self._served[number]} replies: {error!r}")
                self._more.notify_all()
        finally:
            if sock:
                sock.close()


def descriptors(gate):
    return len(list(pathlib.Path(f"/proc/{gate.pid}/fd").iterdir()))


def wait_connections(gate, count):
    wait_until(lambda: gate.metric("scoregate_connections") == count, timeout=30)
