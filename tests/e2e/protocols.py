"""Stand-ins for servers of other protocols: each parses the request as its protocol says and computes the answer.

Functions that answer one request, for replica.Replica.
"""
import array
import json
import threading


def say(request, value, status="200 OK", headers=""):
    request.reply(json.dumps(value).encode(), status, "Content-Type: application/json\r\n" + headers)


def not_found(request):
    say(request, {"error": f"there is no {request.method} {request.target}"}, "404 Not Found")


class Chat:
    """OpenAI's API, as vLLM has it. The model says the last message backwards, one token for each word."""

    def __init__(self):
        self.may_go_on = threading.Semaphore(0)  # released once for each token that a stream may send
        self.finished = threading.Event()

    def __call__(self, request):
        body = request.body()
        if (request.method, request.target) == ("GET", "/v1/models"):
            return say(request, {"object": "list", "data": [{"id": "backwards", "object": "model"}]})
        if (request.method, request.target) != ("POST", "/v1/chat/completions"):
            return not_found(request)
        asked = json.loads(body)
        words = asked["messages"][-1]["content"].split()[::-1]
        if asked.get("stream"):
            return self.stream(request, asked["model"], words)
        message = {"role": "assistant", "content": " ".join(words)}
        say(request, {"object": "chat.completion", "model": asked["model"],
                      "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def stream(self, request, model, words):
        def event(delta, reason=None):
            chunk = {"object": "chat.completion.chunk", "model": model,
                     "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            request.send_chunk(b"data: %s\n\n" % json.dumps(chunk).encode())

        request.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        event({"role": "assistant"})
        for word in words:
            self.may_go_on.acquire()
            event({"content": word})
        self.may_go_on.acquire()
        event({}, "stop")
        request.send_chunk(b"data: [DONE]\n\n")
        self.finished.set()
        request.send_chunk(b"")
        request.done()


def half_plus_two(request):
    """TensorFlow Serving with the model of its own introduction."""
    body = request.body()
    if (request.method, request.target) != ("POST", "/v1/models/half_plus_two:predict"):
        return not_found(request)
    say(request, {"predictions": [each * 0.5 + 2 for each in json.loads(body)["instances"]]})


def doubling(request):
    """KServe's v2 protocol, and Triton's extension of it: tensors as bytes behind the JSON. The model doubles."""
    body = request.body()
    if (request.method, request.target) == ("GET", "/v2/health/ready"):
        return request.reply()
    if (request.method, request.target) == ("GET", "/v2/models/doubling"):
        return say(request, {"name": "doubling", "platform": "stand-in", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}]})
    if (request.method, request.target) != ("POST", "/v2/models/doubling/infer"):
        return not_found(request)
    json_length = request.headers["Inference-Header-Content-Length"]
    asked, tensors = (json.loads(body), None) if json_length is None else \
        (json.loads(body[:int(json_length)]), body[int(json_length):])
    one = asked["inputs"][0]
    if tensors is None:
        result = {"data": [2 * each for each in one["data"]]}
        tensor = b""
    else:
        assert len(tensors) == one["parameters"]["binary_data_size"]
        tensor = array.array("f", [2 * each for each in array.array("f", tensors)]).tobytes()
        result = {"parameters": {"binary_data_size": len(tensor)}}
    reply = {"model_name": "doubling", "id": asked.get("id"),
             "outputs": [{"name": "y", "datatype": one["datatype"], "shape": one["shape"], **result}]}
    head = json.dumps(reply).encode()
    if not tensor:
        return say(request, reply)
    request.reply(head + tensor, headers=f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(head)}\r\n")
