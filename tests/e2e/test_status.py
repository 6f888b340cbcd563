"""How an operator sees what is wrong: GET /history, the page of the admin port, and `scoregate status`."""
import base64
import hashlib
import json
import re
import socket
import subprocess

import pytest

from process import wait_until
from replica import Replica
from scoregate import BINARY, PATIENCE, command, exchange, service

PATH = "/api/v1/service/stream/score"


def history(gate, since=0):
    reply = gate.ask_admin(f"/history?since={since}")
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    return reply.json


def status_command(gate, *arguments):
    return command("status", "--admin", gate.admin_url, *arguments)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def mixed(start, echoing):
    """One service that works and one whose replica is not there, each asked once."""
    gate = start({"stream": service(echoing.url), "broken": service(f"http://127.0.0.1:{closed_port()}")})
    assert gate.request("POST", PATH, b"x").status == 200
    gate.failed = gate.request("POST", "/api/v1/service/broken/score?secret=topsecret", b"topsecret")
    assert gate.failed.status == 502
    assert gate.request("GET", "/nothing").status == 404
    return gate


def test_the_history_has_what_was_counted(mixed):
    """The first sample comes after 5 s."""
    def all_counted():
        found = history(mixed)
        return found if found["turn"] and found["services"][""]["recent"]["client_errors"] else None

    found = wait_until(all_counted)
    stream, broken, unmatched = (found["services"][name] for name in ("stream", "broken", ""))
    assert sum(stream["samples"]["requests"]) == stream["recent"]["requests"] == 1
    assert (stream["recent"]["errors"], stream["recent"]["client_errors"]) == (0, 0)
    assert stream["recent"]["p50_ms"] <= stream["recent"]["p99_ms"]
    assert (broken["recent"]["errors"], broken["recent"]["error_ratio"]) == (1, 1.0)
    assert unmatched["recent"]["client_errors"] == 1
    assert len(found["seconds"]) == found["turn"] == len(stream["samples"]["p50_ms"])

    again = history(mixed, found["turn"])
    assert len(again["seconds"]) == again["turn"] - found["turn"]
    assert again["started_at"] == found["started_at"]


def test_the_last_errors_lead_to_the_access_log(mixed):
    tokens = {"connect_failed", "no_route"}
    wait_until(lambda: {each["token"] for each in history(mixed)["errors"]} >= tokens)
    errors = history(mixed)["errors"]
    first = next(each for each in errors if each["side"] == "replica")
    assert first["token"] == mixed.failed.fault == "connect_failed"
    assert (first["status"], first["service"], first["deployment"]) == (502, "broken", "blue")
    assert first["request_id"] == mixed.failed.headers["x-request-id"]
    assert first["replica"].startswith("http://127.0.0.1:")
    assert {each["token"] for each in errors} == tokens
    logged = [json.loads(line) for line in mixed.stdout.wait_count(3)]
    assert first["request_id"] in [line["request_id"] for line in logged if line.get("fault") == "connect_failed"]
    text = json.dumps(history(mixed))
    assert "topsecret" not in text and "/score" not in text


def test_what_is_wrong_is_judged_once(start, echoing):
    missing = service(f"http://127.0.0.1:{closed_port()}")
    missing["deployments"]["blue"]["readiness_probe"] = {"path": "/", "initial_delay": 0, "period": 1, "timeout": 1, "failure_threshold": 1}
    gate = start({"stream": service(echoing.url), "missing": missing})
    wait_until(lambda: "probes fail" in json.dumps(gate.status()) or "has succeeded yet: " in json.dumps(gate.status()))
    assert history(gate)["health"]["level"] == "bad"
    assert any(each["text"].startswith("missing/blue has no replica") for each in history(gate)["health"]["findings"])
    assert "why" not in gate.status()["services"]["stream"]["deployments"]["blue"]["replicas"][0]


def test_the_page_is_whole_and_may_do_nothing_but_ask_this_port(iris):
    reply = iris.ask_admin("/")
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/html; charset=utf-8"
    page = reply.body.decode()
    policy = reply.headers["Content-Security-Policy"]
    for name in ("style", "script"):
        part, = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    assert not re.search(r"""(?:src|href)=["'](?!#|data:,)""", page)


@pytest.mark.parametrize("path", ["/", "/history"])
def test_host_and_origin_are_checked_here_too(iris, path):
    for headers in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        assert exchange(iris.plain_socket(iris.admin), "GET", path, headers=headers).status == 403


def test_with_a_token_the_page_asks_for_it(start, echoing, tmp_path):
    token = subprocess.run([BINARY, "key", "generate"], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    file = tmp_path / "token"
    file.write_text(token)
    file.chmod(0o600)
    gate = start({"stream": service(echoing.url)}, admin={"listen": "127.0.0.1:0", "token_file": "token"})
    page = gate.ask_admin("/")
    assert (page.status, page.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert page.headers["Content-Type"].startswith("text/html") and b"<form" in page.body
    refused = gate.ask_admin("/history")
    assert refused.status == 401 and b"stream" not in refused.body + page.body
    assert exchange(gate.plain_socket(gate.admin), "GET", "/history", headers={"Authorization": f"Bearer {token.strip()}"}).status == 200
    without = status_command(gate)
    assert without.returncode == 1 and "--token-file" in without.stderr and not without.stdout
    assert status_command(gate, "--token-file", file).returncode == 0


def test_status_in_a_terminal_and_for_programs(mixed):
    wait_until(lambda: history(mixed)["turn"] and history(mixed)["errors"])
    done = status_command(mixed)
    assert done.returncode == 0 and not done.stderr
    assert re.match(r"scoregate \S+: (not )?healthy", done.stdout)
    for word in ("stream", "broken/blue", "connect_failed", "localhost", "configuration", mixed.failed.headers["x-request-id"]):
        assert word in done.stdout
    assert "\x1b" not in done.stdout  # colours are for terminals
    told = json.loads(status_command(mixed, "--json").stdout)
    assert told["status"]["version"] and told["history"]["health"]["level"]
    assert told["history"]["services"]["stream"]["samples"]["requests"] == []


def test_status_watches(mixed):
    watching = subprocess.Popen([BINARY, "status", "--watch", "--json", "--admin", mixed.admin_url], stdout=subprocess.PIPE, text=True)
    try:
        first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
        assert second["status"]["uptime_s"] > first["status"]["uptime_s"]
    finally:
        watching.terminate()
        watching.wait(PATIENCE)
        watching.stdout.close()


def test_status_of_nobody():
    done = command("status", "--admin", f"http://127.0.0.1:{closed_port()}")
    assert done.returncode == 1 and not done.stdout
    assert "no scoregate answers" in done.stderr


def test_status_of_something_else():
    with Replica(lambda request: request.reply(b'"\x1b[2Jnot scoregate"')) as other:
        done = command("status", "--admin", other.url)
    assert done.returncode == 1 and not done.stdout
    assert "is no scoregate's" in done.stderr and "\x1b" not in done.stderr
    with Replica(lambda request: request.reply(b"\x1b[2Jgone", "503 No")) as other:
        done = command("status", "--admin", other.url)
    assert done.returncode == 1
    assert "answers 503" in done.stderr and "?[2Jgone" in done.stderr
