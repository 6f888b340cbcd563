"""The pod of overlays/https, running: its probes, and what a changed ConfigMap and Secret do to it while it runs."""
import http.client
import signal
import socket
import ssl

import pytest

from pod import BINARY, environment, files_of, lay_out, project
from process import Process, wait_until
from rendered import render, scoregate_of, variables_of

OPEN = b'{"auth_mode": "none", "deployments": {"red": {"replicas": ["http://127.0.0.1:1"]}}}'
HERE = {"SCOREGATE_SET_listen__https": "127.0.0.1:0", "SCOREGATE_SET_listen__http": "127.0.0.1:0",
        "SCOREGATE_SET_admin__listen": "127.0.0.1:0", "SCOREGATE_SET_workers": "1",
        "SCOREGATE_SET_dns__servers": "127.0.0.1:1"}  # nobody there: no name of a cluster's leads anywhere


class Pod(Process):
    def __init__(self, root, objects):
        variables = environment({**variables_of(objects), **HERE})
        super().__init__([BINARY, "serve", "--config", root / "scoregate.json"], env=variables)
        self.stderr.wait_for("serves with", timeout=30)

    def port(self, what):
        return int(self.stderr.wait_for(rf"listening {what} \S*:(\d+)").group(1))

    def probe(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port("admin"), timeout=10)
        connection.request("GET", path)
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    def connect(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # which certificate it is, is the question
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port("https")), timeout=10), server_hostname="www.contoso.com")

    def certificate(self):
        with self.connect() as sock:
            return ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True))

    def score(self, name):
        connection = http.client.HTTPConnection("www.contoso.com")
        connection.sock = self.connect()
        connection.request("POST", f"/api/v1/service/{name}/score", b"{}")
        try:
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def pod(tmp_path, secrets):
    objects = render("overlays/https")
    lay_out(tmp_path / "pod", objects, secrets)
    running = Pod(tmp_path / "pod", objects)
    yield running
    running.stop(timeout=30)


def test_its_probes_are_answered_until_it_drains(pod):
    container, _ = scoregate_of(render("overlays/https"))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert pod.probe(container[probe]["httpGet"]["path"]) == 200
    pod.signal(signal.SIGTERM)
    wait_until(lambda: pod.probe(container["readinessProbe"]["httpGet"]["path"]) == 503)
    # For drain_grace_ms it is alive and takes new connections.
    assert pod.probe(container["livenessProbe"]["httpGet"]["path"]) == 200
    assert pod.score("iris") == 401
    assert pod.wait(30) == 0


def test_a_changed_config_map_brings_a_service(pod, tmp_path):
    assert (pod.score("iris"), pod.score("wine")) == (401, 404)
    files = files_of(render("overlays/https"), "scoregate-services")
    project(tmp_path / "pod/services", {**files, "wine.json": OPEN}, version=2)
    wait_until(lambda: pod.score("wine") == 502)
    assert pod.score("iris") == 401 and pod.running


def test_a_changed_secret_brings_another_certificate(pod, tmp_path, secrets, pair):
    assert pod.certificate() in secrets["contoso-tls"]["cert.pem"].decode()
    certificate, key, _ = pair()
    project(tmp_path / "pod/tls", {"cert.pem": certificate, "key.pem": key}, version=2)
    wait_until(lambda: pod.certificate() in certificate.decode())
    assert pod.running
