"""A WSGI application that tells when its model function begins and ends: for gunicorn's workers, of which the synchronous ones
notice nothing of a client while they compute.

    COUNTED_EVENTS=DESCRIPTOR gunicorn --worker-class sync counted_app:app

The body says how many milliseconds the model takes. Each line written to the descriptor is `begin ID`, `end ID` or, once all of
the reply has been written, `sent ID`, ID being X-Ms-Client-Request-Id; one write each, so the order of the lines is that of the
events, whichever worker wrote them.
"""
import os
import time

events = int(os.environ["COUNTED_EVENTS"])


def note(what, name):
    os.write(events, f"{what} {name}\n".encode())


class Reply:
    def __init__(self, name):
        self._name = name

    def __iter__(self):
        yield self._name.encode()

    def close(self):  # by gunicorn, when it has written the reply or given it up
        note("sent", self._name)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Healthy"]
    name = environ["HTTP_X_MS_CLIENT_REQUEST_ID"]
    milliseconds = int(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    note("begin", name)
    time.sleep(milliseconds / 1000)
    note("end", name)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(name)))])
    return Reply(name)
