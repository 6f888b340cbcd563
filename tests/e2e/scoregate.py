"""The scoregate under test: its configuration, its process, and clients for its ports."""
import dataclasses
import functools
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess

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
    # As many requests at once as come: caps have tests of their own.
    blue.setdefault("request_settings", {}).setdefault("max_concurrent_requests_per_instance", None)
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
        settings |= {**certificate.settings, "sslCname": "localhost"}
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
    def __init__(self, directory, settings, certificate=None, *, binary=BINARY, arguments=(), variables=None, **options):
        """options: as of subprocess.Popen."""
        self.file = directory / "scoregate.json"
        self.configure(settings)
        self.ca = certificate and certificate.ca
        super().__init__([binary, "--config", self.file, *arguments], env=environment(**(variables or {})), **options)

    def configure(self, settings):
        """Writes the configuration; a running scoregate notices."""
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

    # -- the operator's side

    admin_url = functools.cached_property(lambda self: f"http://127.0.0.1:{self.admin}")

    def ask_admin(self, path, method="GET"):
        return exchange(self.plain_socket(self.admin), method, path)

    def reload(self):
        return self.ask_admin("/reload", "POST")

    def status(self):
        return self.ask_admin("/status").json

    def metric(self, name, **labels):
        """The sum of the samples of `name` that have these labels; there must be one."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        samples = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", self.ask_admin("/metrics").body.decode(), re.MULTILINE)
        values = [float(value) for found, value in samples if all(each in found for each in wanted)]
        assert values, f"no {name} with {wanted} among {samples}"
        return sum(values)

    # -- sockets; the caller closes them

    def plain_socket(self, port):
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as http.client, which writes head and body apart
        return sock

    def context(self):
        context = ssl.create_default_context(cafile=self.ca)
        # A peer that goes away without close_notify is an error here: a truncated reply must not look whole.
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        return context

    def tls_socket(self, context=None, name="localhost", session=None):
        return (context or self.context()).wrap_socket(self.plain_socket(self.https), server_hostname=name,
                                                       suppress_ragged_eofs=False, session=session)

    def refuses_connections(self, port):
        try:
            self.plain_socket(port).close()
            return False
        except ConnectionResetError:  # it was being closed just then
            return False
        except ConnectionRefusedError:
            return True

    def served_serial(self, name="localhost"):
        """Of the certificate that a new client gets. name: what it asks for, of which None is nothing."""
        context = self.context()
        context.check_hostname = False
        with self.tls_socket(context, name) as sock:
            return sock.getpeercert()["serialNumber"]

    def s_client(self, *arguments):
        """What openssl's client tells about a handshake."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.https}", "-servername", "localhost", "-CAfile",
                               self.ca, "-verify_return_error", *map(str, arguments)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        output = done.stdout + done.stderr
        assert "connect:errno" not in output, output
        return output

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


def command(*arguments, **variables):
    """Runs the command line to its end."""
    return subprocess.run([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment(**variables), timeout=PATIENCE)


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
