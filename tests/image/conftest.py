import os

import pytest

from container import IMAGE, ROOT, Container, Process, SecretVolume, engine

import pem
from replica import Replica
from scoregate import service


def pytest_sessionstart(session):
    if engine("image", "exists", IMAGE).returncode != 0:
        pytest.exit(f"there is no image {IMAGE}: scripts/image builds it, as root", returncode=3)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return pem.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secret(tmp_path, authority):
    """A mounted Secret with a pair for localhost."""
    volume = SecretVolume(tmp_path / "secret")
    volume.put(authority.issue("localhost"))
    return volume


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The URL of the real iris model."""
    directory = tmp_path_factory.mktemp("model")
    environment = {**os.environ, "AZUREML_MODEL_DIR": str(directory), "SERVER_HOST": "127.0.0.1", "SERVER_PORT": "0"}
    server = Process([ROOT / "docker/model/run"], env=environment)
    try:
        yield server.stdout.wait_for(r"model listening on (\S+)", timeout=60).group(1)
    finally:
        server.stop()


@pytest.fixture
def replica():
    """A replica whose every byte the test decides."""
    with Replica() as scripted:
        yield scripted


@pytest.fixture
def start(tmp_path, secret, authority):
    """start(services, options=.., variables=.., **settings): a running container for localhost."""
    running = []

    def start_one(services, *, options=(), network="host", variables=None, **settings):
        gate = Container(tmp_path, {"sslCname": "localhost", "services": services, **settings}, secret, authority.ca,
                         options=options, network=network, variables=variables)
        running.append(gate)
        gate.stderr.wait_for(r"serves with", timeout=60)
        if network == "host":
            gate.wait_ready()
        return gate

    yield start_one
    for gate in running:
        gate.stop()


@pytest.fixture
def iris(start, model):
    return start({"iris": service(model)})
