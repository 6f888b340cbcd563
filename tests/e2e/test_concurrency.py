"""Never more model functions at a replica than max_concurrent_requests_per_instance, whatever clients and operators do:
counted where they run, in replicas that go on with what nobody waits for any more."""
import collections
import contextlib
import itertools
import json
import os
import pathlib
import random
import socket
import sys
import threading
import time

import pytest

from process import Lines, Process, wait_until
from replica import Replica
from scoregate import PATIENCE, exchange, read_reply, send, service

PATIENT = 60000  # ms in the queue: nobody is refused
ONE_SLOT = {"max_concurrent_requests_per_instance": 1, "max_queue_wait_ms": PATIENT, "max_queue_length": 1000}
TWO_SLOTS = {**ONE_SLOT, "max_concurrent_requests_per_instance": 2}


class Model:
    """A replica that takes whatever comes, a thread for each, and counts how many of its functions run. It notices a
    hang-up when it writes its reply, not before."""

    def __init__(self, crowd):
        self._crowd = crowd
        self._lock = threading.Lock()
        self._running = 0
        self.most = 0  # at once, ever
        self.replica = Replica(self._answer)

    def _answer(self, request):
        request.body()
        name = request.headers["x-ms-client-request-id"]
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        self._crowd.work(name)
        with self._lock:
            self._running -= 1
        request.reply(name.encode())


class Crowd:
    """Clients, each with its own way to behave, and what the models have to know of them. Requests have names."""

    def __init__(self):
        self._lock = threading.Lock()
        self.begun = collections.Counter()
        self._begins = collections.defaultdict(threading.Event)
        self._may_end = {}  # of models that are to work until something has happened
        self.models = []

    def new_model(self):
        self.models.append(Model(self))
        return self.models[-1]

    def work(self, name):
        with self._lock:
            self.begun[name] += 1
            begins, may_end = self._begins[name], self._may_end.get(name)
        begins.set()
        if may_end:
            assert may_end.wait(PATIENCE)
        time.sleep(0.003)  # the work

    def wait_until_at_work(self, name):
        with self._lock:
            begins = self._begins[name]
        assert begins.wait(PATIENCE), f"{name} did not get to a replica"

    @contextlib.contextmanager
    def model_works_on(self, name):
        """At the request `name`, for as long as the block lasts."""
        with self._lock:
            self._may_end[name] = threading.Event()
        try:
            yield
        finally:
            self._may_end[name].set()


@pytest.fixture
def crowd():
    one = Crowd()
    yield one
    for model in one.models:
        model.replica.__exit__()


def path(kind):
    return f"/api/v1/service/{kind}/score"


def named(name, **more):
    return {"x-ms-client-request-id": name, **more}


def half_close(sock):
    """FIN, with the way back open; SSLSocket's own shutdown() would forget the session as well."""
    socket.socket.shutdown(sock, socket.SHUT_WR)


def wait_for_end(sock):
    """Whether anything had been answered before the connection ended."""
    try:
        return sock.recv(65536) != b""
    except OSError:
        return False


# What a client does: each with the scoregate, the crowd, the service and the name of its request. What it returns are the
# statuses that the access log may have for it.

def is_patient(gate, crowd, kind, name):
    reply = gate.request("POST", path(kind), b"{}", named(name))
    assert (reply.status, reply.body.decode()) == (200, name), reply
    return {200}


def hangs_up_at_once(gate, crowd, kind, name):
    with gate.tls_socket() as sock:
        send(sock, "POST", path(kind), b"{}", named(name))
    return {200, 499}


def half_closes_at_once(gate, crowd, kind, name):
    with gate.tls_socket() as sock:
        send(sock, "POST", path(kind), b"{}", named(name))
        half_close(sock)
        wait_for_end(sock)
    return {200, 499}


def leaves_while_the_model_works(gate, crowd, kind, name, leave=socket.socket.close):
    with crowd.model_works_on(name), gate.tls_socket() as sock:
        send(sock, "POST", path(kind), b"{}", named(name))
        crowd.wait_until_at_work(name)
        leave(sock)
        gate.stdout.wait_for(f'"client_request_id":"{name}"')  # it has been noticed, and the model works on
    return {499}


def half_closes_while_the_model_works(gate, crowd, kind, name):
    return leaves_while_the_model_works(gate, crowd, kind, name, half_close)


def uploads_slowly(gate, crowd, kind, name):
    """Another request is answered before this one is whole: it holds no slot."""
    with gate.tls_socket() as sock:
        send(sock, "POST", path(kind), None, named(name, **{"Content-Length": "10"}))
        sock.sendall(b"12345")
        is_patient(gate, crowd, kind, name + "-meanwhile")
        sock.sendall(b"67890")
        reply = read_reply(sock, "POST")
        assert (reply.status, reply.body.decode()) == (200, name), reply
    return {200}


def uploads_much(gate, crowd, kind, name):
    """More than is collected before a slot is asked for."""
    reply = gate.request("POST", path(kind), (b"x" * 20_000 for _ in range(10)), named(name, **{"Content-Length": "200000"}))
    assert (reply.status, reply.body.decode()) == (200, name), reply
    return {200}


def leaves_in_the_middle_of_an_upload(gate, crowd, kind, name):
    with gate.tls_socket() as sock:
        send(sock, "POST", path(kind), None, named(name, **{"Content-Length": "200000"}))
        sock.sendall(b"x" * 100_000)
    return {499}


def reloads(gate, crowd, kind, name):
    """Replicas go and come back, while there may be work at them."""
    gate.change()
    return set()


WAYS = 6 * [is_patient] + 2 * [leaves_while_the_model_works] + [
    hangs_up_at_once, half_closes_at_once, half_closes_while_the_model_works, uploads_slowly, uploads_much,
    leaves_in_the_middle_of_an_upload, reloads]
CLIENTS, TURNS = 24, 2


def logged_by_name(gate):
    records = [json.loads(line) for line in gate.stdout.text.splitlines()]
    return {record["client_request_id"]: record for record in records}


def is_idle(gate):
    deployments = [each["deployments"]["blue"] for each in gate.status()["services"].values()]
    return all(each["queued"] == 0 and all(one["in_flight"] == 0 for one in each["replicas"]) for each in deployments)


def assert_counters_are_back_at_zero(gate):
    wait_until(lambda: is_idle(gate))
    for metric in ("scoregate_in_flight", "scoregate_queue_depth", "scoregate_busy_slots"):
        wait_until(lambda: gate.metric(metric) == 0)


def run_all(clients):
    """Each on a thread; raises what the first of them that failed has raised."""
    failures = []

    def run(client):
        try:
            client()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("seed", [1, 2])
def test_no_replica_ever_has_more_than_its_share(start, crowd, seed):
    models = {kind: [crowd.new_model(), crowd.new_model()] for kind in ("single", "double")}
    caps = {"single": ONE_SLOT, "double": TWO_SLOTS}

    def services(**removed):
        return {kind: service(*[model.replica.url for model in those[removed.get(kind, 0):]], request_settings=caps[kind])
                for kind, those in models.items()}

    gate = start(services(), workers=2)
    variants = itertools.cycle([services(single=1), services(), services(double=1), services(single=1, double=1)])
    one_at_a_time = threading.Lock()

    def change():
        with one_at_a_time:
            gate.configure(gate.settings | {"services": next(variants)})
            assert gate.reload().status == 200

    gate.change = change
    allowed = {}

    def client(number):
        order = random.Random(seed * 1000 + number)
        ways = TURNS * WAYS
        order.shuffle(ways)
        for turn, way in enumerate(ways):
            name = f"{way.__name__}-{number}-{turn}".replace("_", "-")[-40:]
            allowed[name] = way(gate, crowd, order.choice(["single", "double"]), name)

    run_all([lambda number=number: client(number) for number in range(CLIENTS)])
    gate.configure(gate.settings | {"services": services()})
    assert gate.reload().status == 200
    assert_counters_are_back_at_zero(gate)

    excess = {kind: [model.most - caps[kind]["max_concurrent_requests_per_instance"] for model in those] for kind, those in models.items()}
    assert excess == {"single": [0, 0], "double": [0, 0]}  # reached, and not passed
    assert max(crowd.begun.values()) == 1  # no request was sent twice

    expected = {name: statuses for name, statuses in allowed.items() if statuses}
    wait_until(lambda: expected.keys() <= logged_by_name(gate).keys())
    logged = logged_by_name(gate)
    for name, statuses in expected.items():
        assert logged[name]["status"] in statuses, logged[name]
    gone = [record for record in logged.values() if record["status"] == 499]
    assert {record["fault"] for record in gone} == {"client_gone"}
    assert {record["attempts"] for record in gone} == {0, 1}  # some in the queue, some at the model
    assert gate.metric("scoregate_client_gone_total") == len(gone)
    assert gate.metric("scoregate_requests_total", code="499", fault="client_gone") == len(gone)


def test_who_leaves_the_queue_makes_room_in_it_and_never_reaches_a_replica(start, crowd):
    model = crowd.new_model()
    gate = start({"single": service(model.replica.url, request_settings={**ONE_SLOT, "max_queue_length": 3})}, workers=2)
    queued = lambda: gate.status()["services"]["single"]["deployments"]["blue"]["queued"]
    with contextlib.ExitStack() as open_sockets:
        def ask(name):
            sock = open_sockets.enter_context(gate.tls_socket())
            send(sock, "POST", path("single"), b"{}", named(name))
            return sock

        with crowd.model_works_on("first"):
            first = ask("first")
            crowd.wait_until_at_work("first")
            waiting = {}
            for name in ("closes", "half-closes", "stays"):
                waiting[name] = ask(name)
                wait_until(lambda: queued() == len(waiting))
            assert read_reply(ask("too-late")).fault == "queue_full"
            waiting["closes"].close()
            half_close(waiting["half-closes"])
            wait_until(lambda: queued() == 1)
            in_time = ask("in-time")
            wait_until(lambda: queued() == 2)
        for sock, name in ((first, "first"), (waiting["stays"], "stays"), (in_time, "in-time")):
            assert read_reply(sock, "POST").body.decode() == name
    assert set(crowd.begun) == {"first", "stays", "in-time"}
    assert model.most == 1
    assert_counters_are_back_at_zero(gate)


def test_a_request_that_took_too_long_keeps_its_slot_until_the_model_has_ended(start, crowd):
    model = crowd.new_model()
    gate = start({"single": service(model.replica.url, request_settings={**ONE_SLOT, "request_timeout_ms": 300})}, workers=2)
    with gate.tls_socket() as next_one:
        with crowd.model_works_on("long"):
            assert gate.request("POST", path("single"), b"{}", named("long")).fault == "request_timeout"
            send(next_one, "POST", path("single"), b"{}", named("next"))
            state = lambda: gate.status()["services"]["single"]["deployments"]["blue"]
            wait_until(lambda: state()["queued"] == 1)
            assert state()["replicas"][0]["in_flight"] == 1
            assert gate.metric("scoregate_abandoned_total") == 1
        assert read_reply(next_one, "POST").body == b"next"
    assert model.most == 1
    assert_counters_are_back_at_zero(gate)


class Gunicorn:
    """Synchronous workers, more than scoregate may use: one too many would run and be seen."""

    def __init__(self, workers):
        reading, writing = os.pipe()
        self._server = Process(
            [sys.executable, "-m", "gunicorn", "--worker-class", "sync", "--workers", workers, "--bind", "127.0.0.1:0",
             "--chdir", pathlib.Path(__file__).parent, "counted_app:app"],
            env={**os.environ, "COUNTED_EVENTS": str(writing), "PYTHONDONTWRITEBYTECODE": "1"}, pass_fds=[writing])
        os.close(writing)
        self.events = Lines(os.fdopen(reading))
        self.url = self._server.stderr.wait_for(r"Listening at: (\S+)").group(1)

    def stop(self):
        """The most that ran at once, once all have ended."""
        self._server.stop()
        running = most = 0
        for line in self.events.wait_end():
            running += {"begin": 1, "end": -1, "sent": 0}[line.split()[0]]
            most = max(most, running)
        assert running == 0
        return most


@pytest.mark.parametrize("slots", [1, 2])
def test_real_synchronous_workers_run_no_more_than_they_may(start, slots):
    """gunicorn's notice a hang-up when they write the reply: the model is 300 ms at what nobody waits for."""
    servers = [Gunicorn(slots + 2), Gunicorn(slots + 2)]
    most = []
    try:
        settings = {**ONE_SLOT, "max_concurrent_requests_per_instance": slots}
        gate = start({"single": service(*[server.url for server in servers], request_settings=settings)}, workers=2)

        def stays(name):
            reply = gate.request("POST", path("single"), b"5", named(name))
            assert (reply.status, reply.body.decode()) == (200, name), reply

        def leaves(name):
            with gate.tls_socket() as sock:
                send(sock, "POST", path("single"), b"300", named(name))
                wait_until(lambda: any(f"begin {name}" in server.events.text for server in servers))

        def client(number):
            for turn in range(4):
                (leaves if (number + turn) % 4 == 0 else stays)(f"{number}-{turn}")

        run_all([lambda number=number: client(number) for number in range(12)])
        assert_counters_are_back_at_zero(gate)
        gone = wait_until(lambda: gate.metric("scoregate_client_gone_total"))
        assert gone == 12  # a quarter of them
    finally:
        most = [server.stop() for server in servers]
    assert most == [slots, slots]
