"""The main job: a real scikit-learn model answers through TLS."""
import json
import re
import subprocess
import urllib.parse

import pytest

from scoregate import exchange

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
JSON = {"Content-Type": "application/json"}
GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

ROUTES = [("/api/v1/service/iris", None), ("/api/v1/endpoint/iris", None), ("", "iris.example")]


@pytest.fixture(params=ROUTES, ids=["service", "endpoint", "own-host"])
def ask(iris, request):
    """Asks the model by one of its three addresses."""
    prefix, host = request.param

    def ask_one(method, route, body=None, headers=None):
        return iris.request(method, prefix + route, body, {**(headers or {}), **({"Host": host} if host else {})})

    return ask_one


def test_post(ask):
    reply = ask("POST", "/score", json.dumps({"data": ROWS}), JSON)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json["classes"] == ["setosa", "virginica"]


def test_get_with_a_query(ask):
    reply = ask("GET", "/score?" + urllib.parse.urlencode({"data": json.dumps(ROWS)}))
    assert reply.status == 200
    assert reply.json["classes"] == ["setosa", "virginica"]


@pytest.mark.parametrize("query, key, version", [("", "swagger", "2.0"), ("?version=3.1", "openapi", "3.1.0")])
def test_swagger(ask, query, key, version):
    reply = ask("GET", "/swagger.json" + query)
    assert reply.status == 200
    assert reply.json[key] == version


def test_curl_scores_with_nothing_but_the_ca(iris):
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", iris.ca, "--json", json.dumps({"data": ROWS}),
                           f"https://localhost:{iris.https}/api/v1/service/iris/score"], capture_output=True, timeout=10)
    assert json.loads(done.stdout)["classes"] == ["setosa", "virginica"], done.stderr


def test_several_requests_on_one_connection(iris):
    with iris.tls_socket() as sock:
        for number in range(5):
            reply = exchange(sock, "POST", "/api/v1/service/iris/score", json.dumps({"data": ROWS[:1]}), JSON, keep=True)
            assert reply.json["classes"] == ["setosa"]


def test_pipelined_requests_are_answered_in_order(iris):
    with iris.tls_socket() as sock:
        requests = [b"GET /api/v1/service/iris/score?data=[[%s]] HTTP/1.1\r\nHost: localhost\r\n\r\n" % row
                    for row in (b"5.1,3.5,1.4,0.2", b"6.7,3.0,5.2,2.3", b"5.1,3.5,1.4,0.2")]
        sock.sendall(b"".join(requests) + b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        said = b""
        while piece := sock.recv(65536):
            said += piece
    assert re.findall(rb'setosa|virginica|Healthy', said) == [b"setosa", b"virginica", b"setosa", b"Healthy"]


def test_http_1_0(iris):
    with iris.tls_socket() as sock:
        sock.sendall(b"GET /api/v1/service/iris/score?data=[[5.1,3.5,1.4,0.2]] HTTP/1.0\r\nHost: localhost\r\n\r\n")
        said = b""
        while piece := sock.recv(65536):
            said += piece
    assert said.split(b" ")[1] == b"200" and b"setosa" in said


def test_head_has_the_head_of_get_and_no_body(iris):
    head, get = (iris.request(method, "/api/v1/service/iris/swagger.json") for method in ("HEAD", "GET"))
    assert head.status == get.status == 200
    assert head.body == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_public_health(iris):
    reply = iris.request("GET", "/")
    assert (reply.status, reply.body) == (200, b"Healthy")


def test_ids_are_ours_and_the_clients_is_echoed(iris):
    client_id = "order 12/34_" + "x" * 60
    headers = {"x-request-id": "mine", "x-ms-request-id": "mine", "x-ms-client-request-id": client_id}
    first, second = (iris.request("GET", "/api/v1/service/iris/swagger.json", headers=headers).headers for _ in range(2))
    for reply in (first, second):
        assert re.fullmatch(GUID, reply["x-request-id"])
        assert reply.get_all("x-request-id") == reply.get_all("x-ms-request-id") == [reply["x-request-id"]]
        assert reply.get_all("x-ms-client-request-id") == [("order1234_" + "x" * 60)[:40]]
    assert first["x-request-id"] != second["x-request-id"]
    assert "x-ms-client-request-id" not in iris.request("GET", "/").headers


def test_timings_and_deployment(iris):
    headers = iris.score(ROWS).headers
    assert re.fullmatch(r"queue;dur=[\d.]+, connect;dur=[\d.]+, model;dur=[\d.]+", headers["Server-Timing"])
    assert float(re.search(r"model;dur=([\d.]+)", headers["Server-Timing"]).group(1)) > 0
    assert headers["azureml-model-deployment"] == "blue"
    assert headers["x-ms-run-function-failed"] == "False"  # what the model says passes
    assert "x-scoregate-fault" not in headers


def test_a_500_of_the_model_becomes_502_and_keeps_its_body(iris):
    reply = iris.request("POST", "/api/v1/service/iris/score", b'{"rows": []}', JSON)
    assert (reply.status, reply.fault) == (502, "model_error")
    assert reply.headers["Content-Type"] == "application/json"
    assert "scoring script" in reply.json["message"]
    assert reply.headers["x-ms-run-function-failed"] == "True"


@pytest.mark.parametrize("body, headers, status", [(b"{", JSON, 400), (b"a=1", {"Content-Type": "text/csv"}, 415)])
def test_other_errors_of_the_model_pass(iris, body, headers, status):
    reply = iris.request("POST", "/api/v1/service/iris/score", body, headers)
    assert reply.status == status
    assert reply.fault is None
    assert reply.json["message"]


@pytest.mark.parametrize("method, path, status, fault", [
    ("GET", "/nothing", 404, "no_route"),
    ("GET", "/score", 404, "no_route"),
    ("GET", "/api/v1/service/nobody/score", 404, "no_route"),
    ("GET", "/api/v1/service/iris", 404, "no_route"),
    ("GET", "/api/v1/service/iris/score/more", 404, "no_route"),
    ("GET", "/api/v1/service/IRIS/score", 404, "no_route"),
    ("PUT", "/api/v1/service/iris/score", 405, "method_not_allowed"),
    ("DELETE", "/api/v1/endpoint/iris/score", 405, "method_not_allowed"),
    ("OPTIONS", "/api/v1/service/iris/score", 405, "method_not_allowed"),
])
def test_errors_of_ours(iris, method, path, status, fault):
    reply = iris.request(method, path, headers={"x-ms-client-request-id": "order-1"})
    assert (reply.status, reply.fault) == (status, fault)
    assert reply.headers["Content-Type"] == "application/json"
    error = reply.json["error"]
    assert set(error) == {"code", "message", "side", "request_id"}
    assert error["code"] == fault
    assert error["message"]
    assert error["side"] == "client"
    assert error["request_id"] == reply.headers["x-request-id"]
    assert reply.headers["x-ms-client-request-id"] == "order-1"
    allowed = reply.headers["Allow"]
    assert sorted(re.split(", *", allowed)) == ["GET", "HEAD", "POST"] if status == 405 else allowed is None


def test_an_unknown_deployment_cannot_be_forced(iris):
    headers = {"azureml-model-deployment": "green"}
    reply = iris.request("GET", "/api/v1/service/iris/swagger.json", headers=headers)
    assert (reply.status, reply.fault) == (404, "no_deployment")
    headers["azureml-model-deployment"] = "blue"
    assert iris.request("GET", "/api/v1/service/iris/swagger.json", headers=headers).status == 200
