"""services_dir: a service comes with its file and goes with it, while another is under load."""
import json
import threading

import pytest

from process import wait_until
from replica import Replica
from scoregate import command, exchange, service


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "services"
    path.mkdir()
    return path


def put(folder, name, replica):
    (folder / f"{name}.json").write_text("// a comment\n" + json.dumps(service(replica.url)))


def test_a_file_added_and_removed_under_load(start, folder):
    with Replica(lambda request: request.reply(b"rose")) as rose, Replica(lambda request: request.reply(b"lily")) as lily:
        put(folder, "rose", rose)
        gate = start({}, services_dir="services", default_service="rose")
        failures, served, done = [], [], threading.Event()

        def load():
            with gate.tls_socket() as client:
                while not done.is_set():
                    reply = exchange(client, "GET", "/score", keep=True)
                    served.append(reply.status) if (reply.status, reply.body) == (200, b"rose") else failures.append(reply)

        clients = [threading.Thread(target=load) for _ in range(4)]
        for each in clients:
            each.start()
        try:
            assert gate.request("GET", "/api/v1/service/lily/score").fault == "no_route"
            put(folder, "lily", lily)
            wait_until(lambda: gate.request("GET", "/api/v1/service/lily/score").body == b"lily")

            (folder / "iris.json").write_text('{"deployments": {}}')
            wait_until(lambda: gate.metric("scoregate_config_last_reload_successful") == 0)
            problems = gate.status()["reloads"]["configuration"]["problems"]
            assert all(each.startswith(f"{folder}/iris.json: /") for each in problems), problems
            assert gate.request("GET", "/api/v1/service/lily/score").body == b"lily"  # all or nothing
            (folder / "iris.json").unlink()
            wait_until(lambda: gate.metric("scoregate_config_last_reload_successful") == 1)

            (folder / "lily.json").unlink()
            wait_until(lambda: gate.request("GET", "/api/v1/service/lily/score").fault == "no_route")
            so_far = len(served)
            wait_until(lambda: len(served) > so_far + 100)
        finally:
            done.set()
            for each in clients:
                each.join()
        assert not failures


def test_check_names_the_file_and_the_pointer_inside_it(tmp_path, folder):
    (tmp_path / "scoregate.json").write_text('{"allowInsecureConnections": true, "services_dir": "services"}')
    (folder / "rose.json").write_text('{"auth_mode": "none", "deployments": {"blue": {"replicas": []}}}')
    (folder / "my_rose.json").write_text("{}")
    checked = command("check", "--config", tmp_path / "scoregate.json")
    assert checked.returncode == 2
    assert f"{folder}/rose.json: /deployments/blue/replicas: is empty" in checked.stderr
    assert f'{folder}/my_rose.json: "my_rose" is not a name' in checked.stderr
