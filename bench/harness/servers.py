"""The model stub and the proxies under test: each is configured from a template, started, and ended with stop()."""
import json
import os
import pathlib
import re
import resource
import subprocess
import urllib.request

from .processes import Failure, Process, free_port, poll

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "bench" / "peers"
KEY = "bench" * 8  # of the service, where it has one; the load sends it then


def binary(variable, name):
    """The path in an environment variable, else the release build's; it need not exist."""
    return pathlib.Path(os.environ.get(variable) or ROOT / "build" / "release" / name)


def make_certificate(directory, rsa=False, name="localhost"):
    """cert.pem, key.pem and, for HAProxy, pair.pem: ECDSA P-256 or RSA-2048 for `name`, self-signed."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "30",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}" + (",IP:127.0.0.1" if name == "localhost" else ""),
         "-out", certificate, "-keyout", key], check=True, capture_output=True)
    (directory / "pair.pem").write_bytes(certificate.read_bytes() + key.read_bytes())


class Stub:
    """bench/model_stub. `heads` names the file that will hold every request head it sees, `socket` a Unix socket that it
    listens on as well; with several `listeners` it is as many replicas, on `ports`."""

    def __init__(self, program, directory, core=None, heads=None, socket=None, listeners=1):
        if not program.exists():
            raise Failure(f"no model stub: build the target model_stub, or name it in MODEL_STUB ({program.name})")
        self.socket = socket
        greeting = directory / "stub.stdout"
        options = (["--listeners", str(listeners)] + (["--heads", heads] if heads else [])
                   + (["--unix", socket] if socket else []))
        greetings = r"(?:listening http 127\.0\.0\.1:\d+\n){%d}" % listeners
        with open(greeting, "wb") as stdout:
            self.process = Process("stub", [program, *options], directory, core, stdout)
        try:
            told = poll(lambda: re.fullmatch(greetings, greeting.read_text()), "the model stub to listen")[0]
        except Failure:
            self.process.stop()
            raise
        self.ports = [int(port) for port in re.findall(r":(\d+)\n", told)]
        self.port = self.ports[0]


class SlowModel:
    """bench/slow_model: each request takes so many microseconds."""

    def __init__(self, program, directory, microseconds, core=None):
        if not program.exists():
            raise Failure(f"no slow model: build the target slow_model, or name it in SLOW_MODEL ({program.name})")
        greeting = directory / "slow_model.stdout"
        with open(greeting, "wb") as stdout:
            self.process = Process("slow_model", [program, "--microseconds", str(microseconds)], directory, core, stdout)
        try:
            self.port = int(poll(lambda: re.match(r"listening http 127\.0\.0\.1:(\d+)\n", greeting.read_text()),
                                 "the slow model to listen")[1])
        except Failure:
            self.process.stop()
            raise


class Proxy:
    """A proxy in front of 127.0.0.1:model_port, or of the Unix socket `socket`. Subclasses give `name`, `command()`,
    `version()`."""

    start_limit = 10  # seconds

    def __init__(self, directory, model_port, core=None, plain=False, socket=None):
        self.directory, self.model_port, self.plain, self.socket = directory, model_port, plain, socket
        self.log = directory / f"{self.name}.access.log"
        self.https_port, self.http_port, self.admin_port = free_port(), free_port(), free_port()
        with open(self.log, "ab") as log:
            self.process = Process(self.name, self.command(), directory, core, stdout=log)
        try:
            self.process.wait_listening(*self.scoring_ports(), seconds=self.start_limit)
        except Failure:
            self.process.stop()
            raise

    def scoring_ports(self):
        return [self.https_port, self.http_port]

    def url(self, scheme="https", route="score"):
        port = self.https_port if scheme == "https" else self.http_port
        return f"{scheme}://127.0.0.1:{port}/api/v1/service/iris/{route}"

    def more_names(self):
        return {}

    def render(self, template):
        names = {"DIR": self.directory, "LOG": self.log, "CERT": self.directory / "cert.pem",
                 "KEY": self.directory / "key.pem", "PAIR": self.directory / "pair.pem",
                 "HTTPS_PORT": self.https_port, "HTTP_PORT": self.http_port,
                 "FILES": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
                 "USER": "user root;" if os.geteuid() == 0 else "", **self.more_names()}
        text = re.sub(r"@([A-Z_]+)@", lambda name: str(names[name[1]]), (PEERS / template).read_text())
        configuration = self.directory / template.removesuffix(".in")
        configuration.write_text(text)
        return configuration


def first_line(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.splitlines()[0].strip()


class Nginx(Proxy):
    name = "nginx"

    def command(self):
        return ["nginx", "-p", self.directory, "-e", "stderr", "-c", self.render("nginx.conf.in")]

    def more_names(self):
        return {"MODEL": f"unix:{self.socket}" if self.socket else f"127.0.0.1:{self.model_port}"}

    @staticmethod
    def version():
        return first_line(["nginx", "-v"]).removeprefix("nginx version: nginx/")


class Haproxy(Proxy):
    name = "haproxy"

    def command(self):
        return ["haproxy", "-db", "-f", self.render("haproxy.cfg.in")]

    def more_names(self):
        address = f"unix@{self.socket}" if self.socket else f"127.0.0.1:{self.model_port}"
        return {"ADMISSION": "", "SERVERS": f"server blue {address}"}

    @staticmethod
    def version():
        return first_line(["haproxy", "-v"]).split()[2]


class Scoregate(Proxy):
    """Serves HTTPS, or with `plain` HTTP; the two do not go together, so each is a process of its own."""

    name = "scoregate"
    workers = 1
    left_alone = False  # not even its files are replaced where a row replaces files
    program = binary("SCOREGATE_BINARY", "scoregate")

    def scoring_ports(self):
        return [self.http_port if self.plain else self.https_port]

    def command(self):
        configuration = self.directory / "scoregate.json"
        configuration.write_text(json.dumps(self.settings(), indent=2))
        return [self.program, "--config", configuration]

    def settings(self):
        settings = {
            "listen": {"https": [f"127.0.0.1:{self.https_port}"], "http": [f"127.0.0.1:{self.http_port}"]},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "workers": self.workers,
            "access_log": {"path": str(self.log)},
            "services": {"iris": self.service()},
        }
        if self.plain:
            settings["allowInsecureConnections"] = True
        else:
            settings |= {"sslCertPemFile": "cert.pem", "sslKeyPemFile": "key.pem", "sslCname": "localhost"}
        return settings

    def service(self):
        return self.open_service(None)  # what is measured is the way through, not a queue

    def open_service(self, slots, **settings):
        replica = f"http+unix://{self.socket}" if self.socket else f"http://127.0.0.1:{self.model_port}"
        return {"auth_mode": "none", "routes": {"score": "/score", "stream": "/stream"},
                "deployments": {"blue": {"replicas": [replica],
                                         "request_settings": {"max_concurrent_requests_per_instance": slots, **settings}}}}

    def reloads(self, unit):
        """How often it has put a new version of `unit` in force."""
        text = self.metrics()
        found = re.search(rf'scoregate_reloads_total\{{unit="{re.escape(unit)}",result="success"\}} (\d+)', text)
        return int(found[1])

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=30) as page:
            return page.read().decode()

    @staticmethod
    def version():
        return first_line([Scoregate.program, "version"])


class Unchanged(Scoregate):
    """Another scoregate, whose files are left alone: what the rows that replace files are compared with."""

    name = "unchanged"
    left_alone = True


class TwoWorkers(Scoregate):
    workers = 2


class OneWorker(Scoregate):
    """Another scoregate, with one worker: what the row workers is compared with."""

    name = "one worker"


class Guarded(Scoregate):
    """With a key and a cap, which is as high as the load: nobody waits."""

    def service(self):
        (self.directory / "key").write_text(KEY)
        return self.open_service(64) | {"auth_mode": "key", "keys": {"primary_file": "key"}}


class Unguarded(Scoregate):
    """Another scoregate, without them: what the row keys is compared with."""

    name = "unguarded"


PROXIES = {proxy.name: proxy for proxy in (Scoregate, Nginx, Haproxy)}
