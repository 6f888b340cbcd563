"""The scoregate under test: its configuration, its process, and clients for its ports."""
import dataclasses
import functools
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl

from process import ROOT, Process, wait_until

BINARY = pathlib.Path(os.environ.get("SCOREGATE_BINARY") or ROOT / "build/release/scoregate").resolve()
PATIENCE = 10  # seconds that any single step of a test may take


def environment(**more):
    """This process's, without what would change a configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCOREGATE_")}
    return {**kept, **more}


def service(*replicas, **more):
    """A service with one deployment, `blue`; request_settings goes to the deployment, the rest to the service."""
    blue = {"replicas": list(replicas)}
    if "request_settings" in more:
        blue["request_settings"] = more.pop("request_settings")
    return {"auth_mode": "none", "deployments": {"blue": blue}, **more}


def configuration(services, certificate, **more):
    """Free ports, and TLS for localhost when there is a certificate."""
    settings = {
        "listen": {"https": ["127.0.0.1:0"], "http": ["127.0.0.1:0"]},
        "admin": {"listen": "127.0.0.1:0"},
        "workers": 1,
        "timeouts": {"drain_ms": 5000},
        "services": services,
    }
    if certificate:
        settings |= {"sslCertPemFile": str(certificate.certificate), "sslKeyPemFile": str(certificate.key),
                     "sslCname": "localhost"}
    return settings | more


@dataclasses.dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def fault(self):
        return self.headers["x-scoregate-fault"]


class Scoregate(Process):
    def __init__(self, directory, settings, certificate=None, *, arguments=(), variables=None, preexec=None):
        self.file = directory / "scoregate.json"
        self.configure(settings)
        self.ca = certificate and certificate.ca
        super().__init__([BINARY, "--config", self.file, *arguments], preexec_fn=preexec,
                         env=environment(**(variables or {})))

    def configure(self, settings):
        """Writes the configuration; a running scoregate learns of it at the next reload."""
        self.settings = settings
        self.file.write_text(json.dumps(settings, indent=2))

    https = functools.cached_property(lambda self: self._port("https"))
    http = functools.cached_property(lambda self: self._port("http"))
    admin = functools.cached_property(lambda self: self._port("admin"))

    def _port(self, what):
        return int(self.stderr.wait_for(rf"listening {what} \S*:(\d+)").group(1))

    def wait_ready(self):
        wait_until(lambda: self.ask_admin("/readyz").status == 200)

    def stop(self):
        """Ends it and makes sure that it has not crashed, then or before."""
        status = super().stop()
        assert status >= 0, f"killed by {signal.Signals(-status).name}:\n{self.stderr.text}"

    def ask_admin(self, path, method="GET"):
        return exchange(self.plain_socket(self.admin), method, path)

    # -- sockets; the caller closes them

    def plain_socket(self, port):
        return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def context(self):
        context = ssl.create_default_context(cafile=self.ca)
        # A peer that goes away without close_notify is an error here: a truncated reply must not look whole.
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        return context

    def tls_socket(self, context=None):
        return (context or self.context()).wrap_socket(self.plain_socket(self.https), server_hostname="localhost",
                                                       suppress_ragged_eofs=False)

    # -- one request on a connection of its own

    def request(self, method, path, body=None, headers=None):
        """Over TLS."""
        return exchange(self.tls_socket(), method, path, body, headers)

    def plain_request(self, method, path, body=None, headers=None):
        """On the HTTP port."""
        return exchange(self.plain_socket(self.http), method, path, body, headers)

    def score(self, rows, service="iris"):
        return self.request("POST", f"/api/v1/service/{service}/score", json.dumps({"data": rows}),
                            {"Content-Type": "application/json"})


def exchange(sock, method, path, body=None, headers=None, keep=False):
    """Sends one request on `sock` and reads the whole reply. keep: leaves the connection open."""
    send(sock, method, path, body, headers)
    try:
        return read_reply(sock, method)
    finally:
        if not keep:
            sock.close()


def send(sock, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = sock
    connection.request(method, path, body, headers or {})


def begin_reply(sock, method="GET"):
    """The reply of which only the head has been read."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return response


def read_reply(sock, method="GET"):
    response = begin_reply(sock, method)
    return Reply(response.status, response.headers, response.read())
