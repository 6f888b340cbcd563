"""The model server by itself keeps the contract of Azure's inference server."""
import json
import re
import socket
import urllib.parse

import pytest

from scoregate import PATIENCE, exchange

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def ask(model):
    address = urllib.parse.urlsplit(model)

    def ask_one(method, path, body=None, headers=None):
        sock = socket.create_connection((address.hostname, address.port), timeout=PATIENCE)
        return exchange(sock, method, path, body, headers)

    return ask_one


def test_scores_posted_json_and_the_query_alike(ask):
    posted = ask("POST", "/score", json.dumps({"data": ROWS}), JSON)
    asked = ask("GET", "/score?" + urllib.parse.urlencode({"data": json.dumps(ROWS)}))
    assert posted.status == asked.status == 200
    assert posted.json == asked.json
    assert posted.json["classes"] == ["setosa", "virginica"]
    assert posted.headers["x-ms-run-function-failed"] == "False"
    assert re.fullmatch(r"\d+\.\d{3}", posted.headers["x-ms-run-fn-exec-ms"])
    assert posted.headers["x-ms-server-version"]


@pytest.mark.parametrize("method, path, body, headers, status", [
    ("POST", "/score", b'{"data": [', JSON, 400),
    ("POST", "/score", b'\xff{}', JSON, 400),
    ("POST", "/score", b"data=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("POST", "/score", b'{"rows": []}', JSON, 500),
    ("GET", "/nothing", None, {}, 404),
    ("PUT", "/score", b"{}", JSON, 405),
    ("GET", "/", None, {"x-request-id": "a" * 101}, 431),
    ("GET", "/", None, {"x-ms-request-id": "a" * 101}, 431),
    ("GET", "/", None, {"x-ms-client-request-id": "a" * 101}, 431),
    ("GET", "/swagger.json?version=4", None, {}, 404),
])
def test_errors_are_json_with_a_message(ask, method, path, body, headers, status):
    reply = ask(method, path, body, headers)
    assert reply.status == status
    assert reply.json["message"]
    assert reply.headers["x-ms-run-function-failed"] == str(status == 500)


@pytest.mark.parametrize("sent, expected", [
    ({}, ("new", "same", None)),
    ({"x-request-id": "A"}, ("A", "A", None)),
    ({"x-ms-request-id": "B"}, ("new", "B", "B")),
    ({"x-ms-client-request-id": "C"}, ("new", "C", "C")),
    ({"x-ms-request-id": "B", "x-ms-client-request-id": "C"}, ("new", "B", "C")),
    ({"x-request-id": "a" * 100}, ("a" * 100, "a" * 100, None)),
])
def test_request_ids(ask, sent, expected):
    headers = ask("GET", "/", headers={**sent, "TraceId": "trace"}).headers
    request_id = headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id) if expected[0] == "new" else request_id == expected[0]
    assert headers["x-ms-request-id"] == (request_id if expected[1] == "same" else expected[1])
    assert headers["x-ms-client-request-id"] == expected[2]
    assert headers["TraceId"] == "trace"


@pytest.mark.parametrize("query, key, version", [
    ("", "swagger", "2.0"), ("?version=2", "swagger", "2.0"), ("?version=3", "openapi", "3.0.3"), ("?version=3.1", "openapi", "3.1.0"),
])
def test_describes_itself(ask, query, key, version):
    document = ask("GET", "/swagger.json" + query).json
    assert document[key] == version
    assert set(document["paths"]) == {"/", "/score"}
    assert set(document["paths"]["/score"]) == {"get", "post"}


def test_is_healthy(ask):
    reply = ask("GET", "/")
    assert (reply.status, reply.body) == (200, b"Healthy")
