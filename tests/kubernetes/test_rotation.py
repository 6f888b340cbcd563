"""overlays/ha/rotate.py as its CronJob runs it, against an API server of this test's: TLS, a token, optimistic locking."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading

import pytest

from rendered import FOLDER, render

SECRET = "/api/v1/namespaces/azureml/secrets/scoregate-ticket-keys"


class ApiServer(http.server.ThreadingHTTPServer):
    """Keeps one Secret. `between` runs after each reading of it: what somebody else does meanwhile."""

    def __init__(self, folder, data):
        super().__init__(("127.0.0.1", 0), Asked)
        names = ["-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", *names,
                        "-keyout", folder / "key.pem", "-out", folder / "ca.crt"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
                       "metadata": {"name": "scoregate-ticket-keys", "namespace": "azureml", "resourceVersion": "7"}}
        self.between = lambda: None


class Asked(http.server.BaseHTTPRequestHandler):
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refused(self):
        if self.headers["Authorization"] != "Bearer the-token":
            self.answer(403, {})
        elif self.path != SECRET or self.server.secret is None:
            self.answer(404, {})
        else:
            return False
        return True

    def do_GET(self):
        if self.refused():
            return
        self.answer(200, self.server.secret)
        self.server.between()

    def do_PUT(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused():
            return
        version = self.server.secret["metadata"]["resourceVersion"]
        if sent["metadata"]["resourceVersion"] != version:
            return self.answer(409, {})
        sent["metadata"]["resourceVersion"] = str(int(version) + 1)
        self.server.secret = sent
        self.answer(200, sent)

    def log_message(self, *_):
        pass


@pytest.fixture
def api(tmp_path):
    (tmp_path / "token").write_text("the-token\n")
    with ApiServer(tmp_path, {"0.key": key(0)}) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def rotate(api, tmp_path):
    """The script of the rendered ConfigMap, with the environment of the rendered container."""
    objects = render("overlays/ha")
    script = tmp_path / "rotate.py"
    script.write_text(objects["ConfigMap", "scoregate-ticket-keys"]["data"]["rotate.py"])
    (container,) = objects["CronJob", "scoregate-ticket-keys"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python3", "/scripts/rotate.py"]
    assert [each["name"] for each in container["env"]] == ["NAMESPACE"]
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/scripts"]

    def run():
        return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env={
            "PATH": os.environ["PATH"], "NAMESPACE": "azureml", "SERVICE_ACCOUNT_DIR": str(tmp_path),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.server_port)})

    return run


def key(byte):
    return base64.b64encode(bytes([byte]) * 80).decode()


def fresh_of(api, before):
    (fresh,) = set(api.secret["data"]) - set(before)
    return fresh


def test_a_new_key_joins_the_newest_and_the_others_go(api, rotate):
    api.secret["data"] = {"0.key": key(0), "20260101T001700Z.key": key(1), "20260101T061700Z.key": key(2)}
    before = dict(api.secret["data"])
    done = rotate()
    assert done.returncode == 0, done.stderr
    fresh = fresh_of(api, before)
    assert sorted(api.secret["data"]) == ["20260101T061700Z.key", fresh]
    assert api.secret["data"]["20260101T061700Z.key"] == key(2)
    assert len(base64.b64decode(api.secret["data"][fresh])) == 80 and api.secret["data"][fresh] not in before.values()
    assert api.secret["data"][fresh] not in done.stdout and fresh in done.stdout
    assert api.secret["type"] == "Opaque"


def test_the_first_key_that_was_made_by_hand_counts_as_the_older(api, rotate):
    assert rotate().returncode == 0
    assert sorted(api.secret["data"])[0] == "0.key" and len(api.secret["data"]) == 2


def test_a_key_that_would_count_as_newer_is_not_buried(api, rotate):
    api.secret["data"]["z.key"] = key(9)
    before = dict(api.secret["data"])
    done = rotate()
    assert done.returncode == 1 and "z.key" in done.stderr
    assert api.secret["data"] == before


def test_who_changes_the_secret_meanwhile_wins(api, rotate):
    def somebody():
        api.secret["metadata"]["resourceVersion"] = "8"
    api.between = somebody
    done = rotate()
    assert done.returncode == 1 and done.stderr.startswith("409 ")
    assert list(api.secret["data"]) == ["0.key"]


def test_what_is_missing_is_told_without_a_secret(api, rotate, tmp_path):
    (tmp_path / "token").write_text("another")
    assert rotate().stderr.startswith("403 ")
    (tmp_path / "token").write_text("the-token")
    api.secret = None
    done = rotate()
    assert done.returncode == 1 and done.stderr.startswith("404 ")
    assert "Traceback" not in done.stderr and "the-token" not in done.stderr


def test_no_other_server_is_trusted(api, rotate, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    ApiServer(other, {}).server_close()
    os.replace(other / "ca.crt", tmp_path / "ca.crt")
    done = rotate()
    assert done.returncode == 1 and "CERTIFICATE_VERIFY_FAILED" in done.stderr
