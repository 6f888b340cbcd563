"""Rows of a closed loop: so many connections, each asks again as soon as it is answered. CPU per request is the figure."""
import contextlib
import dataclasses
import os

from . import changes, servers
from .load import generate, problems, run_wrk
from .processes import Failure, poll
from .rows import CHEAPER, KIB, MIB, Mark, Window, cpu_per
from .rows import Row as AnyRow


@dataclasses.dataclass(frozen=True)
class Row(AnyRow):
    scheme: str = "https"
    body_bytes: int = 1800
    reply_bytes: int = 115
    query: str = ""
    socket: bool = False  # the model is behind a Unix socket
    key: bool = False  # the load sends the key of the service
    handshake: str = ""  # "full", "resume": a new connection for each request; else wrk keeps them
    at_least: int = 1  # seconds of a turn
    replaced: str = ""  # "certificates", "configurations": of harness/changes.py, every 100 ms

    figures = ("cpu_us", "user_us", "sys_us", "requests_per_second", "p50_us", "p99_us", "core_busy", "core_others", "pss_mib")
    columns = {"CPU us/request": "{cpu_us:.1f}", "min-max": "{cpu_us_min:.1f}-{cpu_us_max:.1f}",
               "user + sys": "{user_us:.1f} + {sys_us:.1f}", "requests/s": "{requests_per_second:,.0f}",
               "p50 us": "{p50_us:,.0f}", "p99 us": "{p99_us:,.0f}", "core busy": "{core_busy:.0%}",
               "others": "{core_others:.0%}", "PSS MiB": "{pss_mib:.1f}"}
    progress = ("{cpu_us:7.1f} us/request ({user_us:.1f} user + {sys_us:.1f} sys)  {requests_per_second:,.0f}/s  "
                "core {core_busy:.0%} busy, others {core_others:.0%}")

    @property
    def compared(self):
        return {"": "cpu_us", "user": "user_us"} | ({"p99": "p99_us"} if self.replaced else {})

    def start_model(self, directory, running, plan):
        stub = servers.Stub(servers.binary("MODEL_STUB", "model_stub"), directory, plan.load_core,
                            socket=directory / "model.sock" if self.socket else None)
        running.callback(stub.process.stop)
        return stub

    def configure(self, kind, directory, model, plan):
        return kind(directory, model.port, plan.proxy_core, plain=self.scheme == "http", socket=model.socket)

    def load(self, proxy, seconds, core):
        url = proxy.url(self.scheme)
        if not self.handshake:
            return run_wrk(self, url, seconds, core)
        result = generate("connect", url, core, mode=self.handshake, connections=self.connections, seconds=seconds,
                          cipher="rsa" if self.rsa else "ecdsa")
        if self.handshake == "full" and result["resumed"]:
            result["wrong"] += result["resumed"]
        return result

    def measure(self, proxy, model, plan, turn):
        """Every request must have been logged as well as answered."""
        seconds = max(plan.seconds, self.at_least)
        answered = self.load(proxy, plan.warm_up, plan.load_core)["requests"] if plan.warm_up else 0
        with self.replacing(proxy, seconds) as wrong:
            window = Window(proxy, plan.proxy_core)
            result = self.load(proxy, seconds, plan.load_core)
            used = window.end()
        requests = result["requests"]
        wrong += problems(result) + unlogged(proxy, answered + requests)
        empty_log(proxy)
        if not requests:
            raise Failure(f"{proxy.name} answered nothing: {'; '.join(wrong)}; {proxy.process.errors()}")
        return cpu_per(requests, used) | {
            "requests": requests, "requests_per_second": requests / result["seconds"], "p50_us": result["p50_us"],
            "p99_us": result["p99_us"], "core_busy": used["core_busy"], "core_others": used["core_others"],
            "pss_mib": proxy.process.pss_bytes() / MIB, "problems": wrong}

    @contextlib.contextmanager
    def replacing(self, proxy, seconds):
        """Replaces files all the while, where the row says so; gives a list that has its complaints once it is over."""
        wrong = []
        if not self.replaced:
            yield wrong
            return
        versions, unit = getattr(changes, self.replaced)(proxy)
        # The other one's machine is as busy with files, but they are not its own.
        directory = proxy.directory / "elsewhere" if proxy.left_alone else proxy.directory
        before = proxy.reloads(unit)
        with changes.replacing(directory, versions):
            yield wrong
        reloads, expected = proxy.reloads(unit) - before, 0 if proxy.left_alone else 5 * seconds
        if reloads < expected or (proxy.left_alone and reloads):
            wrong.append(f"{reloads} reloads of its {self.replaced} in {seconds} s")


@dataclasses.dataclass(frozen=True)
class Observed(Row):
    """The admin port is asked for all that it tells, once a second, but of who is left alone."""
    figures = (*Row.figures, "answer_us")
    columns = Row.columns | {"slowest answer of the admin port, us": "{answer_us:,.0f}"}

    compared = {"": "cpu_us", "user": "user_us", "p99": "p99_us"}

    def measure(self, proxy, model, plan, turn):
        paths = () if proxy.left_alone else ("/metrics", "/status", "/history", "/healthz")
        with changes.asking(proxy.admin_port, paths) as (took, wrong):
            result = super().measure(proxy, model, plan, turn)
        return result | {"answer_us": max(took, default=0) * 1e6, "problems": result["problems"] + wrong}


def log_lines(proxy):
    with open(proxy.log, "rb") as log:
        return sum(block.count(b"\n") for block in iter(lambda: log.read(1 << 20), b""))


def unlogged(proxy, requests):
    """The complaint that fewer than so many lines are in the access log, if so."""
    with contextlib.suppress(Failure):  # logs are buffered: they get a moment
        poll(lambda: log_lines(proxy) >= requests, "the access log", seconds=3)
    logged = log_lines(proxy)
    return [f"{logged} log lines for {requests} requests"] if logged < requests else []


def empty_log(proxy):
    """Hundreds of MB would be written back to disk during later turns. They append."""
    os.truncate(proxy.log, 0)


def marks(goal=None, user=None):
    held = Mark("CPU per request", CHEAPER, goal=goal)
    return (held, Mark("user CPU per request", f"{CHEAPER}, user", bar=None, goal=user)) if user else (held,)


ITSELF = (servers.Scoregate, servers.Unchanged)
LEFT_ALONE = (Mark("p99, against none replaced", f"{CHEAPER}, p99", bar=None, goal=1.2),)
UNOBSERVED = (Mark("CPU per request, against unobserved", CHEAPER, bar=None, goal=1.05),
              Mark("p99, against unobserved", f"{CHEAPER}, p99", bar=None, goal=1.2))

ROWS = (
    Row("keepalive", "TLS 1.2 keep-alive, 1.8 KB JSON POST, 115 B reply", marks=marks(0.85, 0.65), calls=True),
    Row("http", "the same over plain HTTP", scheme="http", marks=marks(0.90), calls=True),
    Row("unix", "as keepalive, the replica behind a Unix socket", socket=True, marks=marks()),
    Row("large_64k", "64 KiB up and 64 KiB down, TLS 1.2 keep-alive", body_bytes=64 * KIB, reply_bytes=64 * KIB,
        query=f"?bytes={64 * KIB}", marks=marks(0.90)),
    Row("large", "1 MiB up and 1 MiB down, TLS 1.2 keep-alive", connections=16, body_bytes=MIB, reply_bytes=MIB,
        query=f"?bytes={MIB}", marks=marks(0.90)),
    Row("large_16m", "16 MiB up and 16 MiB down, TLS 1.2 keep-alive", connections=4, at_least=3, body_bytes=16 * MIB,
        reply_bytes=16 * MIB, query=f"?bytes={16 * MIB}", marks=marks(0.90)),
    Row("handshake", "a new TLS 1.2 connection and full handshake for each request, ECDSA P-256", handshake="full",
        marks=marks(0.95), calls=True),
    Row("handshake_rsa", "the same with RSA-2048", handshake="full", rsa=True, marks=marks(0.95)),
    Row("resume", "a new TLS 1.2 connection for each request, its session resumed by ticket", handshake="resume",
        marks=marks(0.95), calls=True),
    Row("keys", "as keepalive, with a key and a cap of 64", key=True, kinds=(servers.Guarded, servers.Unguarded)),
    Row("renewal", "as keepalive, and the certificate is replaced every 100 ms", replaced="certificates", kinds=ITSELF,
        marks=LEFT_ALONE),
    Row("renewal_handshake", "as handshake, and the certificate is replaced every 100 ms", handshake="full",
        replaced="certificates", kinds=ITSELF),
    Row("reload", "as keepalive, and the configuration is replaced every 100 ms", replaced="configurations", kinds=ITSELF,
        marks=LEFT_ALONE),
    Observed("observed", "as keepalive, and the admin port is asked for all it tells every second", kinds=ITSELF,
             marks=UNOBSERVED),
)
