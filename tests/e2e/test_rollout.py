"""The blue/green rollout of docs/services.md, by the commands of that page, while clients score all the time."""
import collections
import json
import threading

import pytest

import pages
from replica import Replica
from scoregate import PATIENCE, exchange, read_reply, send

PATH = "/api/v1/service/iris/score"
KEY = "k" * 40
AUTHORIZED = {"Authorization": "Bearer " + KEY}
CLIENTS = 4


class Rollout:
    """A scoregate that was configured with blue alone, and an operator with the page beside it."""

    def __init__(self, start, directory, blue, green):
        section = pages.section("services.md", "A blue/green rollout")
        [service] = pages.blocks(section, "json")
        (variables, self.green_at_zero, self.ten_percent, self.all_green, self.back, self.blue_busy,
         self.without_blue) = pages.blocks(section, "sh")
        (directory / "keys").mkdir()
        (directory / "keys/primary").write_text(KEY)
        self._service = pages.replaced(service, ("http://127.0.0.1:5001", blue.url), ("http://127.0.0.1:5002", green.url))
        before = pages.services(self._service)
        del before["iris"]["deployments"]["green"], before["iris"]["traffic"]["green"]
        self.gate = start(before, workers=2)
        shell = pages.Shell(self.gate, pages.replaced(variables, ("http://127.0.0.1:9001", self.gate.admin_url),
                                                      ("https://www.contoso.com:8443", f"https://localhost:{self.gate.https}")))
        self.run = shell.run

    def add_green(self):
        """As an editor would: the lines of the page, as they are."""
        others = {name: value for name, value in self.gate.settings.items() if name != "services"}
        text = json.dumps(others, indent=2)
        self.gate.file.write_text(text.removesuffix("\n}") + ',\n"services": {\n' + self._service + "}\n}\n")


class Load:
    """Clients that score all the time, each on a connection of its own; a reply that is not a 200 ends it."""

    def __init__(self, gate):
        self._gate = gate
        self._answered = collections.Counter()  # by deployment, as its model says
        self._failure = None
        self._more = threading.Condition()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._score) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self._failure, self._failure

    def _score(self):
        try:
            with self._gate.tls_socket() as sock:
                while not self._over.is_set():
                    reply = exchange(sock, "POST", PATH, b"{}", AUTHORIZED, keep=True)
                    assert reply.status == 200, reply
                    assert reply.headers["azureml-model-deployment"] == reply.body.decode()
                    with self._more:
                        self._answered[reply.body.decode()] += 1
                        self._more.notify_all()
        except Exception as failure:
            with self._more:
                self._failure = failure
                self._more.notify_all()

    def next(self, count):
        """By whom the next `count` requests were answered."""
        with self._more:
            before = self._answered.copy()
            enough = self._more.wait_for(lambda: self._failure or (self._answered - before).total() >= count, timeout=6 * PATIENCE)
            assert enough and not self._failure, self._failure
            return self._answered - before

    def wait_for_only(self, deployment):
        """Returns once nobody else has answered for a while of requests: those that began before a reload are through."""
        while set(self.next(10 * CLIENTS)) != {deployment}:
            pass


@pytest.fixture
def replicas():
    held = threading.Event()  # until then requests that ask for it are not answered
    arrived = threading.Event()

    def model(name):
        def answer(request):
            request.body()
            if "x-hold" in request.headers:
                arrived.set()
                held.wait()
            request.reply(name)
        return answer

    with Replica(model(b"blue")) as blue, Replica(model(b"green")) as green:
        blue.arrived, blue.let_go = arrived, held.set
        yield blue, green
        held.set()


def test_a_blue_green_rollout_loses_no_request(start, tmp_path, replicas):
    blue, green = replicas
    rollout = Rollout(start, tmp_path, blue, green)
    gate = rollout.gate
    with Load(gate) as load, gate.tls_socket() as slow:
        assert set(load.next(100)) == {"blue"}

        rollout.add_green()
        assert rollout.run(rollout.green_at_zero).endswith("green")
        assert set(load.next(500)) == {"blue"}

        assert rollout.run(rollout.ten_percent).splitlines()[-1].startswith("scoregate_requests_total{")
        while not load.next(CLIENTS)["green"]:
            pass
        answered = load.next(10_000)
        assert abs(answered["green"] / answered.total() - 0.10) < 0.01
        assert set(answered) == {"blue", "green"}

        rollout.run(rollout.all_green)
        load.wait_for_only("green")
        rollout.run(rollout.back)
        load.wait_for_only("blue")

        send(slow, "POST", PATH, b"{}", {**AUTHORIZED, "x-hold": "1"})
        assert blue.arrived.wait(PATIENCE)
        rollout.run(rollout.all_green)
        load.wait_for_only("green")
        assert rollout.run(rollout.blue_busy).split()[-1] == "1"

        rollout.run(rollout.without_blue)
        deployments = gate.status()["services"]["iris"]["deployments"]
        assert list(deployments) == ["green"] and deployments["green"]["traffic"] == 100
        gone = gate.request("POST", PATH, b"{}", {**AUTHORIZED, "azureml-model-deployment": "blue"})
        assert gone.fault == "no_deployment"
        assert set(load.next(500)) == {"green"}
        blue.let_go()  # its deployment is gone, it is not
        assert read_reply(slow, "POST").body == b"blue"


def test_a_spoilt_edit_changes_nothing_and_says_so(start, tmp_path, replicas):
    rollout = Rollout(start, tmp_path, *replicas)
    rollout.add_green()
    with Load(rollout.gate) as load:
        with pytest.raises(AssertionError, match="traffic"):  # of run(): the commands end with an error
            rollout.run(rollout.ten_percent.replace("90", "95"))
        assert set(load.next(500)) == {"blue"}
