"""scoregate as the first process of a PID namespace, as in a container without an init."""
import functools
import os
import pathlib
import signal
import subprocess

import pytest

from process import Process, open_once_it_is_read, wait_until
from scoregate import BINARY, Scoregate, configuration, environment, read_reply, send, service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root alone may make a PID namespace and enter it")
IN_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child"]


def children(pid):
    return [int(each) for each in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class FirstProcess(Scoregate):
    """Signals go to it, not to who has made the namespace and waits."""
    first = functools.cached_property(lambda self: wait_until(lambda: children(self.pid))[0])

    def signal(self, number):
        os.kill(self.first, number)


@pytest.fixture
def first(tmp_path, ecdsa, replica):
    alone = tmp_path / "alone"
    alone.write_text(f'#!/bin/sh\nexec {" ".join(IN_NAMESPACE)} {BINARY} "$@"\n')
    alone.chmod(0o755)
    gate = FirstProcess(tmp_path, configuration({"stream": service(replica.url)}, ecdsa), ecdsa, binary=alone)
    gate.wait_ready()
    yield gate
    if gate.running:
        gate.signal(signal.SIGKILL)
    gate.wait()


def test_it_drains(first, replica):
    with first.tls_socket() as client:
        send(client, "GET", "/api/v1/service/stream/score")
        request = replica.request()
        first.signal(signal.SIGTERM)
        wait_until(lambda: first.refuses_connections(first.https))
        request.reply(b"last")
        assert read_reply(client).body == b"last"
    assert first.wait() == 0


def test_it_reaps_orphans(first, tmp_path):
    """What runs beside it, such as by `exec` of a container engine, may leave children behind."""
    fifo = tmp_path / "until"
    os.mkfifo(fifo)
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["nsenter", "--target", str(first.first), "--pid", "sh", "-c", 'cat "$1" & exit', "sh", fifo],
                   check=True, timeout=10, **silent)
    [orphan] = wait_until(lambda: children(first.first))
    os.close(open_once_it_is_read(fifo))  # its end
    wait_until(lambda: not pathlib.Path(f"/proc/{orphan}").exists())  # a zombie would be there
    assert first.running and children(first.first) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_it_can_be_ended_before_it_serves(tmp_path, number):
    """The kernel drops a signal that a first process has no handler for."""
    fifo = tmp_path / "scoregate.json"
    os.mkfifo(fifo)
    starting = Process([*IN_NAMESPACE, BINARY, "--config", fifo], env=environment())
    end = open_once_it_is_read(fifo)
    try:
        os.kill(wait_until(lambda: children(starting.pid))[0], number)
        assert starting.wait() == 128 + number
    finally:
        os.close(end)
