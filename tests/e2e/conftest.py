"""What the end-to-end tests share: the scoregate under test, certificates, the real model, a scripted replica.

Every scoregate and every replica listens on a free port of 127.0.0.1, and is stopped with the test that started it.
"""
import sys

sys.dont_write_bytecode = True

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import pem
from flood import QuickReplica
from process import ROOT, Process
from replica import Replica, echo
from scoregate import BINARY, Scoregate, configuration, service


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there; build it, or name another in SCOREGATE_BINARY", returncode=3)


def pytest_collection_modifyitems(items):
    first, last = (lambda item, mark=mark: item.get_closest_marker(mark) is not None for mark in ("first", "last"))
    items.sort(key=lambda item: (last(item), not first(item)))


@pytest.fixture(scope="session")
def ecdsa(tmp_path_factory):
    """A development CA and certificate for localhost, as `scoregate cert dev` makes them."""
    directory = tmp_path_factory.mktemp("ecdsa")
    subprocess.run([BINARY, "cert", "dev", "--out", directory, "--cname", "localhost"], check=True, capture_output=True, timeout=10)
    return pem.Pair(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")


@pytest.fixture(scope="session")
def rsa(tmp_path_factory):
    return pem.self_signed(tmp_path_factory.mktemp("rsa"), key="rsa:2048")


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A CA; what it issues lasts as long as the session."""
    return pem.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def renewals(authority):
    """Four pairs for localhost, each of which may take the place of another."""
    return [authority.issue("localhost") for _ in range(4)]


@pytest.fixture
def files(tmp_path, ecdsa):
    """A good certificate and key for the test to spoil."""
    shutil.copy(ecdsa.certificate, tmp_path / "cert.pem")
    shutil.copy(ecdsa.key, tmp_path / "key.pem")
    return pem.Pair(tmp_path / "cert.pem", tmp_path / "key.pem", ecdsa.ca)


@pytest.fixture(scope="session", params=["ecdsa", "rsa"])
def pair(request):
    """Both kinds of certificate, one after the other."""
    return request.getfixturevalue(request.param)


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
def open_folder():
    """Where other users may look; pytest's own folders are closed to them."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="scoregate-e2e-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def replica():
    """A replica whose every byte the test decides."""
    with Replica() as scripted:
        yield scripted


@pytest.fixture
def echoing():
    """A replica that answers with what it is sent."""
    with Replica(echo) as answering:
        yield answering


@pytest.fixture(scope="session")
def quick_replica():
    """A replica for as many connections as come."""
    process = QuickReplica()
    yield process
    process.stop()


@pytest.fixture
def start(tmp_path, ecdsa):
    """start(services, **settings): a running scoregate for localhost; options: what else its process needs."""
    running = []

    def start_one(services, *, certificate=ecdsa, directory=tmp_path, arguments=(), variables=None, options={}, **settings):
        gate = Scoregate(directory, configuration(services, certificate, **settings), certificate,
                         arguments=arguments, variables=variables, **options)
        running.append(gate)
        gate.wait_ready()
        return gate

    yield start_one
    for gate in running:
        gate.stop()


@pytest.fixture(scope="session")
def iris(model, ecdsa, tmp_path_factory):
    """A scoregate in front of the real model that tests may share: they only score."""
    services = {"iris": service(model, hosts=["iris.example"])}
    gate = Scoregate(tmp_path_factory.mktemp("iris"), configuration(services, ecdsa, workers=2), ecdsa)
    try:
        gate.wait_ready()
        yield gate
    finally:
        gate.stop()


@pytest.fixture
def gate(start, replica):
    """A scoregate whose service `stream` is the scripted replica."""
    return start({"stream": service(replica.url)})
