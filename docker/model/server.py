"""Serves score.py over HTTP by the rules of Azure's inference server, so that what works in front of this model works
in front of one that was built for Azure: paths, methods, status codes, request ids and timing headers.

Run by gunicorn (see `run`); its logger is the only log.
"""
import json
import logging
import time
import uuid

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

import score
import swagger

LONGEST_ID = 100
SERVER_VERSION = "scoregate-model/1.0"

log = logging.getLogger("gunicorn.error")
app = Flask(__name__, static_folder=None)
score.init()


def json_reply(value, status=200, run_failed=False):
    reply = Response(json.dumps(value), status, mimetype="application/json")
    reply.headers["x-ms-run-function-failed"] = str(run_failed)
    return reply


def error(status, message, run_failed=False):
    return json_reply({"message": message}, status, run_failed)


@app.before_request
def choose_ids():
    """Fresh or the client's, by the table in README.md. A value that is too long is refused and never echoed."""
    g.ids = {}
    request_id = request.headers.get("x-request-id") or str(uuid.uuid4())
    client_id = request.headers.get("x-ms-client-request-id", "")
    old_style_id = request.headers.get("x-ms-request-id", "")
    for name, value in (("x-request-id", request_id), ("x-ms-request-id", old_style_id),
                        ("x-ms-client-request-id", client_id)):
        if len(value) > LONGEST_ID:
            return error(431, f"{name} must not exceed {LONGEST_ID} characters")
    g.ids["x-request-id"] = request_id
    g.ids["x-ms-request-id"] = old_style_id or client_id or request_id
    if client_id or old_style_id:
        g.ids["x-ms-client-request-id"] = client_id or old_style_id


@app.after_request
def add_ids(reply):
    reply.headers.update(g.ids)
    reply.headers["x-ms-server-version"] = SERVER_VERSION
    if "TraceId" in request.headers:
        reply.headers["TraceId"] = request.headers["TraceId"]
    return reply


@app.get("/")
def health():
    return Response("Healthy", mimetype="text/plain")


@app.get("/swagger.json")
def describe():
    version = request.args.get("version", "2")
    document = swagger.describe(version)
    if document is None:
        return error(404, f"Swagger version {version} is not supported; ask for 2, 3 or 3.1")
    return json_reply(document)


class Refused(Exception):
    """A request that run() never sees: status and message."""


def as_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def query_input():
    """The query as JSON text: every value that is JSON is taken as such, a repeated name becomes a list."""
    values = {name: [as_json(text) for text in request.args.getlist(name)] for name in request.args}
    return json.dumps({name: several if len(several) > 1 else several[0] for name, several in values.items()})


def body_input():
    if request.mimetype and not request.is_json:
        raise Refused(415, f"Content-Type {request.mimetype} is not supported; send application/json")
    try:
        text = request.get_data().decode("utf-8")
        json.loads(text)
    except ValueError as broken:  # not UTF-8, or not JSON
        raise Refused(400, f"The body is not JSON in UTF-8: {broken}") from None
    return text


@app.route("/score", methods=["GET", "POST", "OPTIONS"], provide_automatic_options=False)
def run_model():
    if request.method == "OPTIONS":
        return Response()
    try:
        data = body_input() if request.method == "POST" else query_input()
    except Refused as refused:
        return error(*refused.args)

    started = time.perf_counter()
    try:
        reply = json_reply(score.run(data))
    except Exception:  # whatever a data scientist's code throws is that request's failure, not the server's
        log.exception("run() failed")
        reply = error(500, "An unexpected error occurred in scoring script. Check the logs for more info.",
                      run_failed=True)
    reply.headers["x-ms-run-fn-exec-ms"] = f"{(time.perf_counter() - started) * 1000:.3f}"
    return reply


@app.errorhandler(HTTPException)
def refuse(cause):
    reply = error(cause.code, cause.description)
    if getattr(cause, "valid_methods", None):
        reply.headers["Allow"] = ", ".join(sorted(cause.valid_methods))
    return reply
