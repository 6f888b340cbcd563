"""Two kubectls and the schemas: tests/kubernetes/run and scripts/bootstrap put them there."""
import sys

sys.dont_write_bytecode = True

import pytest

from rendered import KUBECTL


def pytest_sessionstart(session):
    for path in KUBECTL.values():
        if not path.exists():
            pytest.exit(f"{path} is not there: scripts/bootstrap, then tests/kubernetes/run", returncode=3)
