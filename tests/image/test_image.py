"""The image as it is shipped: run as restricted as a cluster would, before the real model."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from container import engine, inspected, new_name, run, words_to_run

from process import Process, open_once_it_is_read, wait_until
from scoregate import read_reply, send, service

FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
MOST_BYTES = 40 * 1000 * 1000


def assert_scores(gate):
    reply = gate.score(FLOWERS)
    assert reply.status == 200, reply.body
    assert reply.json["classes"] == ["setosa", "virginica"]


def test_it_is_small_and_says_what_it_is():
    image = inspected()
    assert image["Size"] < MOST_BYTES
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert config["Labels"]["org.opencontainers.image.title"] == "scoregate"
    assert set(config["ExposedPorts"]) == {"8443/tcp", "8080/tcp", "9001/tcp"}
    assert image["Healthcheck"]["Test"][0] == "CMD"


def test_it_has_no_shell():
    for shell in ("/bin/sh", "/usr/bin/sh", "/bin/bash", "/bin/busybox"):
        assert run("-c", "true", options=["--entrypoint", shell]).returncode == 127, shell


def test_it_scores_over_tls(iris):
    assert_scores(iris)
    assert "TLSv1.2" in iris.s_client()
    line = json.loads(wait_until(lambda: iris.stdout.text.splitlines())[0])  # the access log, on stdout
    assert (line["service"], line["status"]) == ("iris", 200)


@pytest.mark.parametrize("user", ["65532:65532", "1000660000:0", "4711"])
def test_it_runs_as_whoever_it_is_told_to(start, model, user):
    """OpenShift gives a container a user id of its own, and group 0."""
    assert_scores(start({"iris": service(model)}, options=["--user", user]))


def test_a_swapped_secret_is_served_while_requests_go_on(iris, secret, authority):
    before = iris.served_serial()
    renewed = authority.issue("localhost")
    with iris.tls_socket() as client:
        secret.put(renewed)
        wait_until(lambda: iris.served_serial() != before)
        assert iris.served_serial() == renewed.serial
        send(client, "GET", "/")
        assert read_reply(client).body == b"Healthy"
    assert_scores(iris)


def test_sigterm_drains(start, replica):
    gate = start({"stream": service(replica.url)})
    with gate.tls_socket() as client:
        send(client, "GET", "/api/v1/service/stream/score")
        request = replica.request()
        gate.signal(signal.SIGTERM)
        wait_until(lambda: gate.refuses_connections(gate.https))
        assert gate.ask_admin("/readyz").status == 503
        request.reply(b"last")
        assert read_reply(client).body == b"last"
    assert gate.wait(30) == 0


def test_it_can_be_ended_before_it_serves(tmp_path):
    """As PID 1, of whose signals the kernel drops those that nothing handles."""
    fifo = tmp_path / "scoregate.json"
    os.mkfifo(fifo)
    fifo.chmod(0o644)
    name = new_name()
    starting = Process(words_to_run(name=name, options=["--volume", f"{fifo}:/etc/scoregate/scoregate.json:ro"]))
    end = open_once_it_is_read(fifo, timeout=30)
    try:
        assert engine("kill", "--signal", "TERM", name).returncode == 0
        assert starting.wait(30) == 128 + signal.SIGTERM
    finally:
        os.close(end)


def test_nothing_can_be_written(iris):
    for folder in ("/new", "/usr/new", "/etc/scoregate/tls"):
        done = iris.execute("/usr/bin/scoregate", "cert", "dev", "--overwrite", "--out", folder)
        assert done.returncode == 1 and "Read-only file system" in done.stderr, done.stderr


def test_it_has_no_capability_and_gains_none(iris):
    lines = pathlib.Path(f"/proc/{iris.first}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert all(int(status[each], 16) == 0 for each in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert status["NoNewPrivs"].strip() == "1" and status["Uid"].split() == ["65532"] * 4


def test_it_reaps_orphans(iris, tmp_path):
    """There is no shell in it, so what leaves a child behind comes from outside, into its PID namespace."""
    children = pathlib.Path(f"/proc/{iris.first}/task/{iris.first}/children")
    fifo = tmp_path / "until"
    os.mkfifo(fifo)
    subprocess.run(["nsenter", "--target", str(iris.first), "--pid", "sh", "-c", 'cat "$1" & exit', "sh", fifo], check=True, timeout=10,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    [orphan] = wait_until(lambda: children.read_text().split())
    os.close(open_once_it_is_read(fifo))  # its end
    wait_until(lambda: not pathlib.Path(f"/proc/{orphan}").exists())  # a zombie would be there


def test_settings_come_from_the_environment(start, model):
    gate = start({"iris": service(model)}, variables={"SCOREGATE_SET_limits__max_request_bytes": "10"})
    refused = gate.score(FLOWERS)
    assert (refused.status, refused.fault) == (413, "body_too_large")


def test_an_unknown_setting_is_refused(secret, tmp_path):
    file = tmp_path / "scoregate.json"
    file.write_text(json.dumps({"sslCname": "localhost", "services": {"iris": service("http://127.0.0.1:1")}}))
    mounts = ["--volume", f"{file}:/etc/scoregate/scoregate.json:ro", "--volume", f"{secret.folder}:/etc/scoregate/tls:ro"]
    check = ("check", "--config", "/etc/scoregate/scoregate.json")
    assert run(*check, options=mounts).returncode == 0
    refused = run(*check, options=mounts, variables={"SCOREGATE_SET_colour": "blue"})
    assert refused.returncode == 2 and "SCOREGATE_SET_colour" in refused.stderr


def test_its_own_settings_are_where_they_are_said_to_be(start, replica):
    """8443, 8080 and, for all, 9001; the folder of the pair; and its own health check asks there."""
    gate = start({"stream": service(replica.url)}, network="none")
    for what, address in (("https", r"\[::\]:8443"), ("http", r"\[::\]:8080"), ("admin", r"0\.0\.0\.0:9001")):
        gate.stderr.wait_for(rf"listening {what} {address}")
    check = inspected()["Healthcheck"]["Test"][1:]
    wait_until(lambda: gate.execute(*check).stdout == "ready\n", timeout=30)


def test_workers_are_those_of_the_quota(start, replica):
    gate = start({"stream": service(replica.url)}, options=["--cpus", "0.5"])
    gate.stderr.wait_for(r"serves with 1 worker$")


def test_memory_is_limited_by_its_cgroup(start, replica):
    gate = start({"stream": service(replica.url)}, options=["--memory", "200000000"])
    gate.stderr.wait_for(r"memory: limited to 1[78]\d{7} bytes, 90 % of /sys/fs/cgroup/")


def test_certificates_are_made_once_in_a_volume():
    """As docker/compose.yaml's first start does: a new volume is the image's user's."""
    volume = new_name()
    make = ("cert", "dev", "--keep", "--out", "/etc/scoregate/tls", "--cname", "localhost")
    try:
        for said in ("for clients to trust", "which are kept"):
            done = run(*make, options=["--volume", f"{volume}:/etc/scoregate/tls"])
            assert done.returncode == 0 and said in done.stdout, done.stderr
    finally:
        engine("volume", "rm", "--force", volume)
