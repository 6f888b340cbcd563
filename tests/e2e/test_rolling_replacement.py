"""Every replica replaced in turn while clients score all the time: the section "Rollouts" of docs/replicas.md, with gunicorn.

The replicas listen at 127.0.0.2 and up: a connection to a port of 127.0.0.1 that nobody listens at may come to lead to itself.
"""
import collections
import contextlib
import itertools
import json
import os
import pathlib
import signal
import sys

import pytest

from dnsmasq import Dns
from load import Load
from process import ROOT, Process, wait_until
from scoregate import service

NAME = "iris-blue.models.svc"
HERE = pathlib.Path(__file__).parent
ROW = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]}).encode()

Workers = collections.namedtuple("Workers", "arguments slots")  # slots: requests that one replica works on at once
WORKERS = {
    "sync": Workers(["--worker-class", "sync"], 1),  # closes after each reply
    "gthread": Workers(["--worker-class", "gthread", "--threads", "8", "--keep-alive", "5"], 8),  # keeps connections
}


class Counted:
    """gunicorn with counted_app; its notes go to a file, which is exact while its processes do not run."""

    numbers = itertools.count()

    def __init__(self, directory, kind, host, port=0):
        self.host, self._kind, self._directory = host, kind, directory
        self._notes = directory / f"notes-{next(self.numbers)}"
        with self._notes.open("ab") as notes:
            self._server = Process(
                [sys.executable, "-m", "gunicorn", *WORKERS[kind].arguments, "--workers", "1", "--bind", f"{host}:{port}",
                 "--chdir", HERE, "counted_app:app"],
                env={**os.environ, "COUNTED_EVENTS": str(notes.fileno()), "PYTHONDONTWRITEBYTECODE": "1"},
                pass_fds=[notes.fileno()], start_new_session=True)

    def wait_until_it_listens(self):
        self.url = self._server.stderr.wait_for(r"Listening at: (\S+)").group(1)
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def successor(self):
        return Counted(self._directory, self._kind, self.host, self.port).wait_until_it_listens()

    def noted(self, what):
        return {line.split()[1] for line in self._notes.read_text().splitlines() if line.startswith(what + " ")}

    def end_gracefully(self):
        self._server.signal(signal.SIGTERM)
        assert self._server.wait() == 0
        assert self.noted("begin") == self.noted("sent")

    def kill_at_work(self):
        """kill -9, master and worker; returns what it was computing. Not while it writes a reply, of which a part might be
        out."""
        wait_until(self._stopped_at_work)
        computing = self.noted("begin") - self.noted("end")
        self.kill()
        return computing

    def _stopped_at_work(self):
        os.killpg(self._server.pid, signal.SIGSTOP)
        wait_until(lambda: all(self._state(pid) == "T" for pid in self._processes()))
        if self.noted("begin") > self.noted("end") == self.noted("sent"):
            return True
        os.killpg(self._server.pid, signal.SIGCONT)
        return False

    def _processes(self):
        master = self._server.pid
        return [master, *pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    @staticmethod
    def _state(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()


class Iris:
    """The model of docker/model, kept-alive connections and all."""

    def __init__(self, directory, host, port=0):
        self.host, self._directory = host, directory
        environment = {**os.environ, "AZUREML_MODEL_DIR": str(directory), "SERVER_HOST": host, "SERVER_PORT": str(port)}
        self._server = Process([ROOT / "docker/model/run"], env=environment, start_new_session=True)

    def wait_until_it_listens(self):
        self.url = self._server.stdout.wait_for(r"model listening on (\S+)", timeout=60).group(1)
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def successor(self):
        return Iris(self._directory, self.host, self.port).wait_until_it_listens()

    def end_gracefully(self):
        self._server.signal(signal.SIGTERM)
        assert self._server.wait(40) == 0  # gunicorn's own patience is 30 s

    kill = Counted.kill


class Fleet:
    """Replicas, each of which may be replaced; whatever still runs at the end is killed."""

    def __init__(self):
        self.all = []

    def add(self, servers):
        """Started side by side."""
        self.all += servers
        return [each.wait_until_it_listens() for each in servers]

    def succeed(self, server):
        return self.add([server.successor()])[0]


@pytest.fixture
def fleet():
    fleet = Fleet()
    yield fleet
    for each in fleet.all:
        each.kill()


def scored(gate):
    """The access log, by name of the request."""
    records = [json.loads(line) for line in gate.stdout.text.splitlines()]
    return {record["client_request_id"]: record for record in records if record.get("client_request_id")}


def settings(replicas, cap, probe=None):
    made = service(*replicas, request_settings={"max_concurrent_requests_per_instance": cap, "max_queue_wait_ms": 20_000,
                                                "max_queue_length": 1000})
    if probe:
        made["deployments"]["blue"]["readiness_probe"] = probe
    return {"iris": made}


def told(gate, load):
    """Of requests that failed: what the client and the log say."""
    log = scored(gate)
    return {name: (failure, log.get(name)) for name, failure in load.failed.items()}


def answered_by_iris(_, reply):
    return reply.json["classes"] == ["setosa"]


# Two replicas are the harder case: while one is replaced there is one other, and it may be ejected still.
@pytest.mark.parametrize("count, rounds", [(2, 2), (3, 1)])
@pytest.mark.parametrize("kind", WORKERS)
def test_sigterm_then_a_successor_at_the_same_port(start, tmp_path, fleet, kind, count, rounds):
    replicas = fleet.add([Counted(tmp_path, kind, f"127.0.0.{2 + number}") for number in range(count)])
    gate = start(settings([each.url for each in replicas], WORKERS[kind].slots), workers=2)
    with Load(gate, clients=8 * count, body=b"15") as load:
        load.next(50)
        for _ in range(rounds):
            for place, old in enumerate(replicas):
                old.end_gracefully()
                load.next(20)
                replicas[place] = fleet.succeed(old)
                load.next(20)
    assert told(gate, load) == {}
    assert gate.metric("scoregate_retries_total", reason="unsent") > 0  # some were refused first


def test_sigterm_with_the_real_model_and_probes(start, tmp_path, fleet):
    [first] = fleet.add([Iris(tmp_path, "127.0.0.2")])  # alone: it trains the model
    replicas = [first, *fleet.add([Iris(tmp_path, "127.0.0.3")])]
    gate = start(settings([each.url for each in replicas], 4, {"preset": "azureml", "period": 1, "timeout": 5, "failure_threshold": 1}))
    standings = lambda: [each["standing"] for each in gate.status()["services"]["iris"]["deployments"]["blue"]["replicas"]]
    wait_until(lambda: standings() == ["ready", "ready"])
    with Load(gate, body=ROW, right=answered_by_iris) as load:
        load.next(50)
        for place, old in enumerate(replicas):
            old.end_gracefully()
            wait_until(lambda: standings()[place] == "unready")
            replicas[place] = fleet.succeed(old)
            wait_until(lambda: standings()[place] == "ready")
            load.next(50)
    assert told(gate, load) == {}


@pytest.mark.parametrize("kind", WORKERS)
def test_kill_9_costs_what_was_in_flight_there_and_nothing_else(start, tmp_path, fleet, kind):
    replicas = fleet.add([Counted(tmp_path, kind, f"127.0.0.{2 + number}") for number in range(3)])
    gate = start(settings([each.url for each in replicas], WORKERS[kind].slots), workers=2)
    known = set()
    with Load(gate) as load:
        load.next(50)
        for place, old in enumerate(replicas):
            computing = old.kill_at_work()
            load.next(50)
            replicas[place] = fleet.succeed(old)
            load.next(50)
            failed = load.failed.keys() - known
            known |= failed
            wait_until(lambda: failed <= scored(gate).keys())
            assert {scored(gate)[name]["replica"] for name in failed} <= {old.url}
            if kind == "sync":  # each on a connection of its own, so none is sent again: the model may have worked on it
                assert failed == computing
            else:  # a request on a reused connection is
                assert len(failed) <= WORKERS[kind].slots
    assert set(load.failed.values()) <= {(502, "replica_closed")}, told(gate, load)


@pytest.mark.parametrize("kind", WORKERS)
def test_dns_first(start, tmp_path, fleet, kind):
    [old] = fleet.add([Counted(tmp_path, kind, "127.0.0.2")])
    with Dns(tmp_path, {NAME: [old.host]}) as dns:
        gate = start(settings([f"dns://{NAME}:{old.port}"], WORKERS[kind].slots), workers=2, dns={"servers": [dns.server]})
        with Load(gate, body=b"5") as load:
            load.next(30)
            for number in (3, 4):
                [new] = fleet.add([Counted(tmp_path, kind, f"127.0.0.{number}", old.port)])
                dns.write({NAME: [new.host]})
                wait_until(lambda: old.url not in gate.ask_admin("/status").body.decode())
                load.next(20)  # what was chosen before that has begun by now
                wait_until(lambda: old.noted("begin") == old.noted("sent"))  # what was under way there
                begun = old.noted("begin")
                load.next(50)
                assert old.noted("begin") == begun
                old.end_gracefully()
                load.next(30)
                old = new
    assert told(gate, load) == {}
    assert gate.metric("scoregate_retries_total") == 0
