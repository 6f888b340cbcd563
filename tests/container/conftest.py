import os
import pathlib
import subprocess

import pytest

BINARY = pathlib.Path(os.environ["SCOREGATE_BINARY"]).resolve()


@pytest.fixture
def binary():
    return BINARY


@pytest.fixture
def program():
    """program(WORD.., VARIABLE=..): the program run to its end, with no other setting in its environment."""

    def run(*words, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCOREGATE_")}
        return subprocess.run([BINARY, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10,
                              env=kept | variables)
    return run
