"""Replicas that are found by DNS or by a path, and what becomes of requests while they come and go."""
import json
import threading

import pages
from dnsmasq import Dns
from process import wait_until
from replica import Replica
from scoregate import command, configuration, exchange, read_reply, send, service

PATH = "/api/v1/service/iris/score"
NAME = "iris-blue.models.svc"


class Model(Replica):
    """Answers at once, except what is slow: that waits for finish()."""

    def __init__(self, address):
        self.requests = 0
        self._finish = threading.Event()
        super().__init__(self._score, address)

    def _score(self, request):
        body = request.body()
        self.requests += 1  # a request at a time matters here, not each of them
        if body == b"slow":
            assert self._finish.wait(10)
        request.reply(f"{self.url} {body.decode()}".encode())

    def finish(self):
        self._finish.set()


class Load:
    """Clients that score all the time."""

    def __init__(self, gate, clients=4):
        self.replies = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(gate,), daemon=True) for _ in range(clients)]

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        for each in self._threads:
            each.join(10)

    def _run(self, gate):
        with gate.tls_socket() as client:
            while not self._ending.is_set():
                try:
                    self.replies.append(exchange(client, "POST", PATH, b"x", keep=True).status)
                except Exception as error:
                    self.replies.append(repr(error))
                    return


def found(gate):
    return sorted(each["url"] for each in gate.status()["services"]["iris"]["deployments"]["blue"]["replicas"])


def scored_by(gate):
    reply = gate.request("POST", PATH, b"x")
    assert reply.status == 200, reply.body
    return reply.body.split()[0].decode()


def documented(port):
    """The example of the page, at a port of ours."""
    (text,) = pages.blocks(pages.section("replicas.md", "Finding replicas"), "json")
    services = pages.services(pages.replaced(text, (":5001", f":{port}")))
    services["iris"]["deployments"]["blue"]["request_settings"] = {"max_concurrent_requests_per_instance": None}
    return services


def test_replicas_come_and_go_under_load_and_nothing_is_lost(start, tmp_path):
    with Model(("127.0.0.2", 0)) as old, Model(("127.0.0.3", old.port)) as new, Dns(tmp_path, {NAME: [old.host]}) as dns:
        gate = start(documented(old.port), dns={"servers": [dns.server]})
        with Load(gate) as load, gate.tls_socket() as patient:
            send(patient, "POST", PATH, b"slow")
            wait_until(lambda: old.requests > 50)
            dns.write({NAME: [old.host, new.host]})
            wait_until(lambda: new.requests > 50)
            assert found(gate) == [old.url, new.url]

            dns.write({NAME: [new.host]})
            wait_until(lambda: found(gate) == [new.url])
            wait_until(lambda: old.open_connections == 1)  # idle ones close; the slow request's stays
            seen, then = old.requests, new.requests
            wait_until(lambda: new.requests > then + 100)
            assert old.requests == seen  # nothing new
            old.finish()
            assert read_reply(patient).body == f"{old.url} slow".encode()
            wait_until(lambda: old.open_connections == 0)
    assert set(load.replies) == {200}


def test_the_last_good_answer_is_kept_while_dns_is_down(start, tmp_path):
    with Model(("127.0.0.2", 0)) as one, Model(("127.0.0.3", one.port)) as other, Dns(tmp_path, {NAME: [one.host]}) as dns:
        gate = start({"iris": service(f"dns://{NAME}:{one.port}")}, dns={"servers": [dns.server]})
        dns.stop()
        gate.stderr.wait_for(f"{NAME} cannot be looked up .*the last good answer is kept")
        assert scored_by(gate) == one.url
        assert gate.reload().status == 200  # which waits for new names only
        assert scored_by(gate) == one.url
        dns.write({NAME: [other.host]})
        dns.start()
        gate.stderr.wait_for(f"{NAME} is found again")
        wait_until(lambda: found(gate) == [other.url])
        assert scored_by(gate) == other.url
        assert gate.stderr.text.count("cannot be looked up") == 1


def test_a_name_that_is_not_there_yet(start, tmp_path):
    with Model(("127.0.0.2", 0)) as model, Dns(tmp_path, {}) as dns:
        gate = start({"iris": service(f"dns://{NAME}:{model.port}")}, dns={"servers": [dns.server]})
        reply = gate.request("POST", PATH, b"x")
        assert (reply.status, reply.fault) == (503, "no_ready_replica")
        assert found(gate) == []
        dns.write({NAME: [model.host]})
        wait_until(lambda: found(gate) == [model.url])
        assert scored_by(gate) == model.url


def test_a_host_with_several_addresses_is_one_replica(start, tmp_path):
    """Its addresses are tried in turn: one that refuses costs nothing."""
    with Model(("127.0.0.3", 0)) as model, Dns(tmp_path, {NAME: ["127.0.0.2", model.host]}) as dns:
        gate = start({"iris": service(f"http://{NAME}:{model.port}")}, dns={"servers": [dns.server]})
        assert found(gate) == [f"http://{NAME}:{model.port}"]
        assert scored_by(gate) == model.url


def test_srv_records_tell_targets_and_ports(start, tmp_path):
    with Model(("127.0.0.2", 0)) as one, Model(("127.0.0.3", 0)) as other:
        records = [f"_score._tcp.iris.models.svc,a.iris.models.svc,{one.port},10,1",
                   f"_score._tcp.iris.models.svc,b.iris.models.svc,{other.port},10,5",
                   "_score._tcp.iris.models.svc,spare.iris.models.svc,1,20,1"]
        names = {"a.iris.models.svc": [one.host], "b.iris.models.svc": [other.host], "spare.iris.models.svc": ["127.0.0.9"]}
        with Dns(tmp_path, names, records) as dns:
            gate = start({"iris": service("srv+http://_score._tcp.iris.models.svc")}, dns={"servers": [dns.server]})
            assert found(gate) == sorted([one.url, other.url])
            assert {scored_by(gate) for _ in range(2)} == {one.url, other.url}
            dns.write({"a.iris.models.svc": [one.host], "b.iris.models.svc": [one.host]})
            wait_until(lambda: found(gate) == sorted([one.url, f"http://{one.host}:{other.port}"]))


def test_a_unix_socket(start, tmp_path):
    with Model(tmp_path / "model.sock") as model:
        gate = start({"iris": service(model.url)})
        assert found(gate) == [model.url]
        for _ in range(3):
            assert scored_by(gate) == model.url
        assert model.open_connections == 1  # kept
        model.stop_listening()
        with gate.tls_socket() as one, gate.tls_socket() as other:
            send(one, "POST", PATH, b"slow")  # on the connection that there is
            wait_until(lambda: model.requests == 4)
            send(other, "POST", PATH, b"x")
            reply = read_reply(other)
            assert (reply.status, reply.fault) == (502, "connect_failed")
            model.finish()
            assert read_reply(one).status == 200
    assert json.loads(gate.stdout.wait_count(1)[0])["replica"] == model.url


def test_check_says_what_would_be_looked_up_and_does_not(tmp_path, ecdsa):
    with Dns(tmp_path, {}) as dns:
        services = {"iris": service(f"dns://{NAME}:5001", "http://model:5001", "http://127.0.0.1:5001", "srv+http://_score._tcp.iris")}
        file = tmp_path / "scoregate.json"
        file.write_text(json.dumps(configuration(services, ecdsa, dns={"servers": [dns.server]})))
        done = command("check", "--config", file)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            f"iris/blue: dns://{NAME}:5001 is looked up: a replica for each address of {NAME}",
            "iris/blue: http://model:5001 is looked up: one replica, at the addresses of model",
            "iris/blue: srv+http://_score._tcp.iris is looked up: a replica for each address of each target of the SRV records of "
            "_score._tcp.iris",
            f"{file}: no problems"]
        assert "query[" not in dns.log
