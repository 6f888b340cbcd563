"""Clients of other serving protocols, by the routes that docs/services.md names for them."""
import array
import json
import re

import pytest

import protocols
from process import ROOT
from replica import Replica
from scoregate import begin_reply, read_reply, send, service

JSON = {"Content-Type": "application/json"}
KEY = "sk-" + "4f" * 20


def documented(server, **names):
    """The routes of this server in docs/services.md; names: what to write for the names on the page."""
    page = (ROOT / "docs/services.md").read_text()
    cell = re.search(rf"^\| {re.escape(server)}[^|]*\| `(.*)` \|$", page, re.MULTILINE).group(1)
    for name, value in names.items():
        cell = cell.replace(name, value)
    return json.loads("{" + cell + "}")


class Base:
    """What a client of such a protocol is told: a base URL, and no more."""

    def __init__(self, gate, host, path, headers={}):
        self._gate, self._path = gate, path
        self._headers = {"Host": host, **headers}

    def open(self, method, path, body=None, headers={}):
        """A connection on which the request has been sent."""
        sock = self._gate.tls_socket()
        send(sock, method, self._path + path, body, {**self._headers, **headers})
        return sock

    def ask(self, method, path, body=None, headers={}):
        with self.open(method, path, body, headers) as sock:
            return read_reply(sock, method)


@pytest.fixture(params=["host", "path"])
def base(request, start):
    """base(answer, routes): the service `model`, by a host of its own and by its path."""
    replicas = []

    def make(answer, routes, headers={}, **more):
        replicas.append(Replica(answer))
        gate = start({"model": service(replicas[-1].url, hosts=["model.example"], routes=routes, **more)})
        if request.param == "host":
            return Base(gate, "model.example", "", headers)
        return Base(gate, "localhost", "/api/v1/service/model", headers)

    yield make
    for replica in replicas:
        replica.__exit__()


@pytest.fixture
def chat(base, tmp_path):
    """An OpenAI-style server; a client of it sends its API key as Bearer, which is one of the service's keys."""
    (tmp_path / "key").write_text(KEY)
    model = protocols.Chat()
    model.client = base(model, documented("OpenAI-style (vLLM)"), {"Authorization": "Bearer " + KEY}, auth_mode="key",
                        keys={"primary_file": "key"})
    yield model
    model.may_go_on.release(100)  # a test that has failed leaves no thread behind


def completion(stream):
    return json.dumps({"model": "backwards", "stream": stream, "messages": [
        {"role": "system", "content": "You say things backwards."}, {"role": "user", "content": "one two three"}]})


def next_event(response):
    """What follows `data: `; an event ends with an empty line."""
    line = response.readline()
    assert line.startswith(b"data: ") and response.readline() == b"\n", line
    return line[len(b"data: "):-1]


def test_a_chat_completion_arrives_token_by_token_while_the_model_goes_on(chat):
    with chat.client.open("POST", "/v1/chat/completions", completion(stream=True), JSON) as sock:
        response = begin_reply(sock, "POST")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        deltas = [json.loads(next_event(response))["choices"][0]]
        for _ in range(4):
            assert not chat.finished.is_set()
            chat.may_go_on.release()  # the model says no word before the one before it has arrived
            deltas.append(json.loads(next_event(response))["choices"][0])
        assert next_event(response) == b"[DONE]"
        assert response.read() == b""
    assert [each["delta"].get("content") for each in deltas] == [None, "three", "two", "one", None]
    assert [each["finish_reason"] for each in deltas] == [None] * 4 + ["stop"]


def test_a_chat_completion_in_one_piece_and_the_list_of_models(chat):
    whole = chat.client.ask("POST", "/v1/chat/completions", completion(stream=False), JSON)
    assert whole.json["choices"][0]["message"] == {"role": "assistant", "content": "three two one"}
    assert [each["id"] for each in chat.client.ask("GET", "/v1/models").json["data"]] == ["backwards"]


def test_a_wrong_api_key_is_refused_as_such_clients_expect(chat):
    refused = chat.client.ask("POST", "/v1/chat/completions", completion(stream=True), {**JSON, "Authorization": "Bearer sk-none"})
    assert (refused.status, refused.fault) == (401, "auth_wrong")
    assert set(refused.json["error"]) >= {"code", "message"}


def test_what_no_route_leads_to_is_not_there(chat):
    assert chat.client.ask("GET", "/metrics").fault == "no_route"  # the server's own, beside its API
    assert chat.client.ask("GET", "/v1/../metrics").fault == "bad_request"


def test_kserve_v2(base):
    client = base(protocols.doubling, documented("KServe v2, Triton"))
    assert client.ask("GET", "/v2/health/ready").status == 200
    assert client.ask("GET", "/v2/models/doubling").json["name"] == "doubling"
    asked = {"id": "42", "inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": [1.5, -2.0, 0.0]}]}
    reply = client.ask("POST", "/v2/models/doubling/infer", json.dumps(asked), JSON)
    assert (reply.status, reply.json["id"]) == (200, "42")
    assert reply.json["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [3], "data": [3.0, -4.0, 0.0]}]
    missing = client.ask("GET", "/v2/models/nobody")
    assert missing.status == 404 and "nobody" in missing.json["error"]  # the server's own words


def test_triton_binary_tensors_pass_untouched(base):
    client = base(protocols.doubling, documented("KServe v2, Triton"))
    # Numbers whose bytes look like lines, chunks and the end of a head, and enough to pass no buffer at once.
    tensor = b"\r\n\r\n" b"0\r\n\r" + array.array("f", range(50_000)).tobytes()
    numbers = array.array("f", tensor)
    head = json.dumps({"id": "b", "inputs": [{"name": "x", "datatype": "FP32", "shape": [len(numbers)],
                                              "parameters": {"binary_data_size": len(tensor)}}]}).encode()
    reply = client.ask("POST", "/v2/models/doubling/infer", head + tensor, {
        "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))})
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/octet-stream"
    json_length = int(reply.headers["Inference-Header-Content-Length"])
    told = json.loads(reply.body[:json_length])
    assert told["id"] == "b"
    assert told["outputs"][0]["parameters"]["binary_data_size"] == len(tensor)
    assert reply.body[json_length:] == array.array("f", [2 * each for each in numbers]).tobytes()


def test_tensorflow_serving(base):
    client = base(protocols.half_plus_two, documented("TensorFlow Serving", NAME="half_plus_two"))
    reply = client.ask("POST", "/score", json.dumps({"instances": [1.0, 2.0, 5.0]}), JSON)
    assert (reply.status, reply.json) == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert client.ask("POST", "/v1/models/half_plus_two:predict", "{}", JSON).fault == "no_route"


def test_tensorflow_serving_by_its_own_paths(base):
    client = base(protocols.half_plus_two, documented("the same, by its own paths"))
    reply = client.ask("POST", "/v1/models/half_plus_two:predict", json.dumps({"instances": [1.0, 2.0, 5.0]}), JSON)
    assert (reply.status, reply.json) == (200, {"predictions": [2.5, 3.0, 4.5]})
