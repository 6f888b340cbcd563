"""scripts/demo, as a stranger runs it."""
import os
import signal
import subprocess

import pytest

from process import ROOT, Process
from scoregate import BINARY

pytestmark = pytest.mark.last


@pytest.fixture
def demo(tmp_path):
    """How to run it: from another folder, its temporary files where we can see them, with the scoregate under test."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "SCOREGATE_BINARY": str(BINARY)}
    return {"cwd": tmp_path, "env": environment}


def test_it_scores_twice_in_a_row_and_leaves_nothing(demo, tmp_path):
    for _ in range(2):
        done = subprocess.run([ROOT / "scripts/demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **demo)
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"classes": ["setosa", "virginica"]' in done.stdout
        assert "TLSv1.2 / ECDHE-" in done.stdout
        assert list(tmp_path.iterdir()) == []


def test_keep_runs_until_ctrl_c(demo, tmp_path):
    running = Process([ROOT / "scripts/demo", "--keep"], start_new_session=True, **demo)
    try:
        command = running.stdout.wait_for(r"^curl --cacert (\S+)", timeout=30)
        url = running.stdout.wait_for(r"(https://localhost:\d+\S*/score)$").group(1)
        running.stdout.wait_for("^tail -f")
        scored = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", command.group(1), url + "?data=[[5.1,3.5,1.4,0.2]]", "-g"],
                                capture_output=True, text=True, timeout=10)
        assert "setosa" in scored.stdout, scored.stderr
        os.killpg(running.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
        assert running.wait() == 0, running.stdout.text + running.stderr.text
        assert list(tmp_path.iterdir()) == []
    finally:
        running.stop()


def test_it_fails_when_scoregate_fails(demo, tmp_path):
    broken = tmp_path / "scoregate"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    demo["env"]["SCOREGATE_BINARY"] = str(broken)
    done = subprocess.run([ROOT / "scripts/demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **demo)
    assert done.returncode != 0
    assert "FAILED" in done.stderr
    assert list(tmp_path.iterdir()) == [broken]


def test_unknown_words_are_explained(demo):
    done = subprocess.run([ROOT / "scripts/demo", "--what"], capture_output=True, text=True, timeout=10, **demo)
    assert done.returncode == 2
    assert "--keep" in done.stdout
