"""The admin port, the metrics and the access log: what an operator sees."""
import json
import re
import subprocess

import pytest

from process import wait_until
from scoregate import BINARY, exchange, service

ACCESS_FIELDS = ("ts request_id client_request_id trace_id client_ip method path protocol service deployment replica status fault side "
                 "model_status bytes_in bytes_out duration_ms read_ms queue_ms connect_ms first_byte_ms attempts tls_cipher sni resumed "
                 "user_agent auth").split()
PATH = "/api/v1/service/stream/score"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes(iris, path):
    assert iris.ask_admin(path).status == 200


def test_status_tells_versions_certificates_and_services(iris):
    reply = iris.ask_admin("/status")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    text = json.dumps(reply.json)
    for word in ("version", "uptime", "localhost", "iris", "blue", "https://localhost"):
        assert word in text


def test_metrics_count_requests(start, model):
    gate = start({"iris": service(model)})
    for _ in range(3):
        assert gate.score([[5.1, 3.5, 1.4, 0.2]]).status == 200
    assert gate.request("GET", "/nothing").status == 404
    reply = gate.ask_admin("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    metrics = reply.body.decode()

    def count(*labels):
        return sum(float(line.split()[-1]) for line in metrics.splitlines()
                   if line.startswith("scoregate_requests_total{") and all(label in line for label in labels))

    assert count('service="iris"', 'code="200"') == 3
    assert count('fault="no_route"', 'code="404"') == 1
    for name in ("scoregate_request_duration_seconds", "scoregate_certificate_not_after_timestamp_seconds", "scoregate_build_info",
                 "scoregate_config_last_reload_successful", "process_"):
        assert re.search(f"^{name}", metrics, re.MULTILINE), name


def test_every_metric_is_described(iris):
    """Prometheus' text form: a name is described before its samples, and every sample is a number."""
    described = set()
    for line in iris.ask_admin("/metrics").body.decode().splitlines():
        if line.startswith("# TYPE "):
            described.add(line.split()[2])
        elif line and not line.startswith("#"):
            name, value = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)', line).groups()
            assert name in described or re.sub(r"_(bucket|sum|count)$", "", name) in described, line
            float(value)


@pytest.mark.parametrize("method, path, status", [("GET", "/nothing", 404), ("GET", "/reload", 405), ("POST", "/status", 405)])
def test_what_the_admin_port_refuses(iris, method, path, status):
    assert iris.ask_admin(path, method).status == status


def test_the_admin_port_believes_only_hosts_it_knows(iris):
    """A web page that resolves its own name to 127.0.0.1 must not get through the operator's browser."""
    refused = exchange(iris.plain_socket(iris.admin), "POST", "/reload", headers={"Host": "evil.example"})
    assert 400 <= refused.status < 500


def test_a_token_for_the_admin_port(start, replica, tmp_path):
    """Made by `scoregate key generate`; whoever has it may ask, nobody else, and it can be exchanged while all runs."""
    def make(path):
        token = subprocess.run([BINARY, "key", "generate"], check=True, capture_output=True, text=True, timeout=10).stdout
        path.write_text(token)
        path.chmod(0o600)
        return {"Authorization": f"Bearer {token.strip()}"}

    file = tmp_path / "token"
    old = make(file)
    gate = start({"stream": service(replica.url)}, admin={"listen": "127.0.0.1:0", "token_file": "token"})

    def ask(path, method="GET", headers=None):
        return exchange(gate.plain_socket(gate.admin), method, path, headers=headers or {})

    def command(name, *arguments):
        return subprocess.run([BINARY, name, "--admin", gate.admin_url, *arguments], capture_output=True, text=True, timeout=10)

    assert [ask(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    refused = ask("/status")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert ask("/drain", "POST").status == 401
    assert ask("/status", headers=old).json["reloads"]["admin_token"]["failed"] == 0
    without = command("reload")
    assert without.returncode == 1 and "--token-file" in without.stderr
    assert command("reload", "--token-file", file).returncode == 0

    file.write_text("too short\n")  # refused, and the old one stays
    assert command("reload", "--token-file", tmp_path / "scoregate.json").returncode == 1
    reloaded = ask("/reload", "POST", old)
    assert reloaded.status == 422
    assert [each["pointer"] for each in reloaded.json["problems"]] == ["/admin/token_file"]
    new = make(file)
    wait_until(lambda: ask("/status", headers=new).status == 200)  # it is watched
    assert ask("/status", headers=old).status == 401
    assert command("drain", "--token-file", file).returncode == 0
    assert gate.wait() == 0
    for secret in (old, new):
        assert secret["Authorization"].split()[1] not in gate.stderr.text + gate.stdout.text


def test_one_access_line_per_request(start, model):
    gate = start({"iris": service(model)})
    secret = {"Authorization": "Bearer topsecret", "User-Agent": "tests/1", "x-ms-client-request-id": "order-1"}
    scored = gate.request("GET", "/api/v1/service/iris/score?data=[[5.1,3.5,1.4,0.2]]", headers=secret)
    missed = gate.request("POST", "/nothing?data=topsecret", b'{"data": "topsecret"}')
    assert (scored.status, missed.status) == (200, 404)

    ok, lost = map(json.loads, gate.stdout.wait_count(2))
    # What is not known of a request is left out.
    assert list(ok) == [field for field in ACCESS_FIELDS if field not in ("fault", "side")]
    assert list(lost) == [field for field in ACCESS_FIELDS if field in lost]
    assert ok["request_id"] == scored.headers["x-request-id"]
    assert ok["client_request_id"] == "order-1"
    assert (ok["client_ip"], ok["method"], ok["protocol"]) == ("127.0.0.1", "GET", "HTTP/1.1")
    assert ok["path"] == "/api/v1/service/iris/score"
    assert (ok["service"], ok["deployment"], ok["replica"]) == ("iris", "blue", model)
    assert (ok["status"], ok["model_status"]) == (200, 200)
    assert ok["bytes_out"] >= len(scored.body)
    assert ok["duration_ms"] >= ok["first_byte_ms"] > 0
    assert ok["tls_cipher"].startswith("ECDHE-") and ok["sni"] == "localhost" and ok["resumed"] is False
    assert (ok["user_agent"], ok["auth"]) == ("tests/1", "none")
    assert (lost["status"], lost["fault"], lost["side"]) == (404, "no_route", "client")
    gate.stop()
    assert len(gate.stdout.wait_end()) == 2
    assert "topsecret" not in gate.stdout.text + gate.stderr.text


def test_the_access_log_may_go_to_a_file(start, replica, tmp_path):
    gate = start({"stream": service(replica.url)}, access_log={"path": "access.log"})
    assert gate.request("GET", "/nothing").status == 404
    gate.stop()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == [404]
    assert gate.stdout.text == ""


def test_scoring_uris_are_printed_at_start(start, replica):
    gate = start({"stream": service(replica.url)})
    gate.stderr.wait_for(r"https://localhost\S*/api/v1/service/stream/score")
