"""A WSGI application that tells when its model function begins and ends: for gunicorn's synchronous workers, which notice
nothing of a client while they compute.

    COUNTED_EVENTS=DESCRIPTOR gunicorn --worker-class sync counted_app:app

The body says how many milliseconds the model takes. Each line written to the descriptor is `begin ID` or `end ID`, ID being
X-Ms-Client-Request-Id; one write each, so the order of the lines is that of the events, whichever worker wrote them.
"""
import os
import time

events = int(os.environ["COUNTED_EVENTS"])


def note(what, name):
    os.write(events, f"{what} {name}\n".encode())


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
    return [name.encode()]
