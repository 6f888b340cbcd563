"""Two scoregates replaced one after the other while clients score: "Several behind a balancer" of docs/operations.md."""
import contextlib
import itertools
import signal
import socket
import socketserver
import threading

from load import Load
from process import wait_until
from scoregate import PATIENCE, service

BODY = b'{"data": [[5.1, 3.5, 1.4, 0.2]]}'


def pass_on(source, target):
    with contextlib.suppress(OSError):  # reset, or not wanted any more
        while some := source.recv(65536):
            target.sendall(some)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Balancer(socketserver.ThreadingTCPServer):
    """Deals connections in turn to the scoregates that it has at the time. To clients it looks like one."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, gates):
        super().__init__(("127.0.0.1", 0), None)
        self.gates = gates
        self.context = gates[0].context
        self._turns = itertools.count()

    def finish_request(self, client, _):
        gates = self.gates
        port = gates[next(self._turns) % len(gates)].https
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as gate:
            back = threading.Thread(target=pass_on, args=(gate, client))
            back.start()
            pass_on(client, gate)
            back.join()

    def tls_socket(self, context):
        return context.wrap_socket(socket.create_connection(self.server_address, timeout=PATIENCE), server_hostname="localhost",
                                   suppress_ragged_eofs=False)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def scored(gate):
    return gate.stdout.text.count('"service":"iris"')


def test_one_after_the_other_loses_no_request(start, tmp_path, echoing):
    machines = itertools.count()

    def machine():
        directory = tmp_path / f"machine{next(machines)}"
        directory.mkdir()
        return start({"iris": service(echoing.url)}, directory=directory, timeouts={"drain_grace_ms": 2000, "drain_ms": 5000})

    gates = [machine(), machine()]
    with Balancer(gates) as balancer, Load(balancer, clients=8, body=BODY, right=lambda _, reply: reply.body == BODY) as load:
        load.next(50)
        for place, old in enumerate(gates):
            old.signal(signal.SIGTERM)
            wait_until(lambda: old.request("GET", "/").status == 503)  # a balancer's check
            served = scored(old)
            wait_until(lambda: load.failed or scored(old) > served)  # and it has not noticed yet
            balancer.gates = [each for each in gates if each is not old]
            assert old.wait() == 0
            gates[place] = machine()
            balancer.gates = list(gates)
            wait_until(lambda: load.failed or scored(gates[place]) > 0)
            load.next(50)
    assert load.failed == {}
