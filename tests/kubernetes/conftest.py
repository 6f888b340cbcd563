"""What the tests of docker/kubernetes share. Two kubectls and the schemas: tests/kubernetes/run and scripts/bootstrap put them there."""
import sys

sys.dont_write_bytecode = True

import os
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from pod import scoregate
from rendered import KUBECTL


def pytest_sessionstart(session):
    for path in KUBECTL.values():
        if not path.exists():
            pytest.exit(f"{path} is not there: scripts/bootstrap, then tests/kubernetes/run", returncode=3)


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """pair(): another certificate for www.contoso.com, its key, and the CA."""
    def make():
        made = tmp_path_factory.mktemp("certificates")
        done = scoregate("cert", "dev", "--out", made, "--cname", "www.contoso.com")
        assert done.returncode == 0, done.stderr
        return [(made / name).read_bytes() for name in ("cert.pem", "key.pem", "ca.pem")]

    return make


@pytest.fixture(scope="session")
def secrets(pair):
    """What docs/kubernetes.md has an operator make, by name."""
    certificate, key, ca = pair()
    keys = {name: scoregate("key", "generate").stdout.encode() for name in ("iris-primary", "iris-secondary", "wine-primary")}
    return {
        "contoso-tls": {"cert.pem": certificate, "key.pem": key},  # Azure's
        "scoregate-tls": {"tls.crt": certificate, "tls.key": key, "ca.crt": ca},  # cert-manager's
        "scoregate-keys": keys,
        "scoregate-ticket-keys": {"0.key": os.urandom(80)},
    }
