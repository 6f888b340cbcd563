"""The series of bench/growth: what one scoregate costs with more and more of one thing. Each series has a kind of
scoregate that is set up with `size` of it, checks that it really is there, and says how it is reloaded."""
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import ssl
import time

from . import servers
from .closed import empty_log, log_lines, unlogged
from .load import Generator, begin_wrk, problems, wrk_result
from .processes import Failure, core_busy_seconds, poll
from .report import spread, table

WARM_UP_SECONDS = 1
BEGINS_WITHIN_SECONDS = 60  # a thousand connections on a busy machine
START_SECONDS = 120  # ten thousand services take some of them
FLAT_WITHIN = 1.10
LINEAR_WITHIN = 1.3
SHORT_SECONDS = 0.005  # CPU of a reload; what is shorter says nothing of how it grows
HOURS_MS = 6 * 3600 * 1000


class Subject(servers.Scoregate):
    """scoregate with `size` of what its series is about, and nothing else that is out of the ordinary."""

    start_limit = START_SECONDS
    reload_unit = "configuration"
    targets = ""  # what the load asks for, see load/checked_post.lua
    says_who = False  # its log is read line by line: check_log() looks at it

    def __init__(self, directory, size, ports, core):
        self.size, self.ports, self.core, self._revision = size, ports, core, 0
        super().__init__(directory, ports[0], core)
        self.start_seconds = time.monotonic() - self._begun

    def command(self):
        found = super().command()
        self._begun = time.monotonic()
        return found

    def scoring_ports(self):
        return [self.https_port]

    def settings(self):
        settings = super().settings()
        settings["timeouts"] = {"keep_alive_ms": HOURS_MS + self._revision}
        return settings

    def fill(self):
        """After the start: what is not made of settings."""

    def drop(self):
        """The reverse."""

    def check(self, busy):
        """What is not as this series says while a turn's load runs with so many `busy` connections; sentences."""
        return []

    def check_log(self, lines):
        """The same from the access log of a turn, one dict per request."""
        return []

    def change(self):
        """Puts something else in place that a reload has to find, and returns a condition: it is in force."""
        self._revision += 1
        before = self.process.errors_tell("reload: the configuration is in force")
        self.replace("scoregate.json", json.dumps(self.settings(), indent=2))
        return lambda: self.process.errors_tell("reload: the configuration is in force") > before

    def replace(self, name, text):
        """By a rename, so that nobody sees half of it."""
        (self.directory / "new").write_text(text)
        os.rename(self.directory / "new", self.directory / name)


class IdleConnections(Subject):
    def fill(self):
        self._held = contextlib.ExitStack()
        if not self.size:
            return
        holder = self._held.enter_context(Generator("idle", self.url(), os.sched_getaffinity(0), connections=self.size))
        if wrong := problems(holder.result(300)):
            raise Failure(f"the idle connections could not be made: {'; '.join(wrong)}")

    def drop(self):
        self._held.close()

    def check(self, busy):
        there = int(re.search(r"^scoregate_connections (\d+)", self.metrics(), re.M)[1])
        return [] if there >= self.size + busy else [
            f"{there} connections, {self.size} idle ones were to be beside {busy} busy ones"]


class Services(Subject):
    """Some of them, spread evenly over all and the last among them, are asked for at random, by their names in the path
    or by their hosts: `targets`. So the replicas that are connected to are as many at every size but the smallest. Whose
    request it was is its client's id, and has to be in the log as the service."""

    says_who = True
    most_asked = 50

    def names(self):
        return [f"s{number}" for number in range(self.size)]

    def asked(self):
        names = self.names()
        step = max(1, self.size // self.most_asked)
        return names[::-step][:self.most_asked]

    def service_of(self, name):
        return self.service() | {"hosts": [f"{name}.test"]}

    def settings(self):
        self.targets = self.directory / "targets"
        self.targets.write_text("".join(f"/api/v1/service/{name}/score localhost {name}\n/score {name}.test {name}\n"
                                        for name in self.asked()))
        return super().settings() | {"services": {name: self.service_of(name) for name in self.names()}}

    def check_log(self, lines):
        astray = sum(line["service"] != line["client_request_id"] for line in lines)
        seen = len({line["service"] for line in lines})
        return ([f"{astray} requests went to another service"] if astray else []) + (
            [f"{seen} services of {len(self.asked())} were asked"] if seen < min(len(self.asked()), len(lines) / 10) else [])


class BusyServices(Services):
    """All of them have requests, so that each has connections to its replica."""

    def asked(self):
        return self.names()


class ServicesFolder(Services):
    """Each in a file of its own; a reload is a change of one of them."""

    def settings(self):
        settings = super().settings()
        folder = self.directory / "services"
        folder.mkdir(exist_ok=True)
        for name, service in settings.pop("services").items():
            (folder / f"{name}.json").write_text(json.dumps(service))
        return settings | {"services_dir": "services"}

    def change(self):
        self._revision += 1
        name = self.names()[-1]
        before = self.process.errors_tell("reload: the configuration is in force")
        self.replace(f"services/{name}.json",
                     json.dumps(self.service_of(name) | {"hosts": [f"{name}.test", f"r{self._revision}.test"]}))
        return lambda: self.process.errors_tell("reload: the configuration is in force") > before


class Replicas(Subject):
    """Of one deployment; all are to have requests."""

    says_who = True

    def service(self):
        service = super().service()
        service["deployments"]["blue"]["replicas"] = [f"http://127.0.0.1:{port}" for port in self.ports[:self.size]]
        return service

    def check_log(self, lines):
        seen = len({line["replica"] for line in lines})
        return [f"{seen} replicas of {self.size} had requests"] if seen < min(self.size, len(lines) / 10) else []


class Certificates(Subject):
    """Each for a name of its own; the load asks for the last one's, and each turn looks whether that is what is served. A
    reload is a renewal of that one."""

    def __init__(self, directory, size, ports, core):
        self._names = [f"c{number}.test" for number in range(size)]
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as several:
            for made in [several.submit(make_pair, directory / name, name) for name in self._names]:
                made.result()
        self.reload_unit = f"certificate:{self._names[-1]}"
        super().__init__(directory, size, ports, core)

    def settings(self):
        first, *others = [{"sslCertPemFile": f"{name}/cert.pem", "sslKeyPemFile": f"{name}/key.pem", "sslCname": name}
                          for name in self._names]
        return super().settings() | first | {"certificates": others}

    def url(self):
        return super().url().replace("127.0.0.1", self._names[-1])

    def check(self, busy):
        return [] if self.serves_the_last() else ["another certificate is served than was asked for"]

    def serves_the_last(self):
        name = self._names[-1]
        context = ssl.create_default_context(cafile=self.directory / name / "cert.pem")
        try:
            with socket.create_connection(("127.0.0.1", self.https_port), timeout=30) as plain:
                with context.wrap_socket(plain, server_hostname=name):
                    return True  # it is verified by itself, so it is this one
        except ssl.SSLCertVerificationError:
            return False

    def change(self):
        self._revision += 1
        name, made = self._names[-1], self.directory / f"next{self._revision}"
        make_pair(made, name)
        for file in ("key.pem", "cert.pem"):
            os.rename(made / file, self.directory / name / file)
        return self.serves_the_last


def make_pair(directory, name):
    directory.mkdir()
    servers.make_certificate(directory, name=name)


class Queue(Subject):
    """`size` requests wait for one of the slots: so many connections does the load have beyond them."""

    slots = 16

    def service(self):
        return self.open_service(self.slots, max_queue_length=1000000, max_queue_wait_ms=HOURS_MS)

    def check(self, busy):
        waiting = [self.waiting() for _ in range(10)]  # at some moments the load itself is behind, and holds requests back
        return [] if 0.8 * self.size <= max(waiting) <= self.size else [f"{max(waiting)} requests waited and not {self.size}"]

    def waiting(self):
        return int(re.search(r"^scoregate_queue_depth\{.*\} (\d+)", self.metrics(), re.M)[1])


@dataclasses.dataclass(frozen=True)
class Row:
    """What the load asks: as the row keepalive of bench/run, unless told otherwise."""
    connections: int = 64
    body_bytes: int = 1800
    reply_bytes: int = 115
    query: str = ""
    key: bool = False
    fields: int = 0  # header fields of a request, filled up to this number; fewer than 7: as the client sends them
    close: bool = False  # a new connection for each request


@dataclasses.dataclass(frozen=True)
class Series:
    name: str
    what: str
    kind: type
    sizes: tuple
    row: Row = Row()
    listeners: int = 1  # of the model stub
    microseconds: int = 0  # of a model that takes its time; 0: the stub
    reloads: bool = False  # start and reload are of interest, too

    def row_of(self, size):
        if self.kind is Queue:
            return dataclasses.replace(self.row, connections=Queue.slots + size)
        return dataclasses.replace(self.row, fields=size) if self.name == "fields" else self.row


SERIES = {series.name: series for series in (
    Series("connections", "idle TLS connections beside 64 busy ones", IdleConnections, (0, 1000, 10000)),
    Series("services", f"services in one file, {Services.most_asked} of them asked by name and by host at random", Services,
           (1, 100, 1000, 10000), reloads=True),
    Series("services_busy", "the same, all of them asked", BusyServices, (1, 100, 1000, 10000)),
    Series("services_dir", "as services, each in a file of its own", ServicesFolder, (1, 100, 1000, 10000), reloads=True),
    Series("replicas", "replicas of one deployment", Replicas, (1, 10, 100, 1000), listeners=1000, reloads=True),
    Series("certificates", "certificates, a full handshake each, the last one asked for by SNI", Certificates,
           (1, 10, 100, 1000), row=Row(close=True), reloads=True),
    Series("fields", "header fields of a request", Subject, (6, 20, 50, 100)),
    Series("queue", f"requests that wait for one of {Queue.slots} slots, a model of 2 ms behind them", Queue,
           (0, 10, 100, 1000), microseconds=2000),
)}


class Usage:
    """CPU seconds of a scoregate since this was made: of the threads that serve requests, and of all the others, which do
    what is not done for a request (they read configuration and certificates again, and have lowered their priority for
    it; the main thread is the operator's)."""

    def __init__(self, process):
        self._process, self._before, self._begin = process, process.threads(), time.monotonic()

    def end(self):
        self.elapsed = time.monotonic() - self._begin
        self.user = self.system = self.serving = self.beside = 0
        for number, now in self._process.threads().items():
            before = self._before.get(number)

            def more(name):
                return getattr(now, name) - (getattr(before, name) if before else 0)
            if now.main or now.nice:
                self.beside += more("ran")
            else:
                self.serving, self.user, self.system = (
                    self.serving + more("ran"), self.user + more("user"), self.system + more("system"))
        return self


def measure(subject, row, seconds, load_core):
    """One turn: at rest, then under load. What is measured begins when all connections are there, and ends before they are
    gone, so that their handshakes are not in it; how many requests it was is counted in the access log."""
    usage = Usage(subject.process)
    time.sleep(seconds)  # measured time, not a wait for something
    usage.end()
    rest = (usage.serving + usage.beside) / usage.elapsed

    load = begin_wrk(row, subject.url(), BEGINS_WITHIN_SECONDS + seconds + 60, load_core, TARGETS=str(subject.targets),
                     FIELDS=str(row.fields), CLOSE=str(int(row.close)))
    try:
        poll(lambda: load.poll() is not None or log_lines(subject) >= row.connections, "all connections to be served",
             BEGINS_WITHIN_SECONDS)
        time.sleep(WARM_UP_SECONDS)
        core, usage, begin = core_busy_seconds(subject.core), Usage(subject.process), subject.log.stat().st_size
        time.sleep(seconds / 2)
        found = subject.check(row.connections)
        time.sleep(seconds / 2)
        core = core_busy_seconds(subject.core) - core
        usage.end()
        end = subject.log.stat().st_size
    finally:
        load.send_signal(signal.SIGINT)
        result = wrk_result(load)

    wrong = problems(result) + found + unlogged(subject, result["requests"])
    if subject.says_who:
        with open(subject.log, "rb") as log:
            wrong += subject.check_log([json.loads(line) for line in log])
    with open(subject.log, "rb") as log:
        log.seek(begin)
        requests = log.read(end - begin).count(b"\n")
    empty_log(subject)
    if not requests:
        raise Failure(f"nothing was answered: {'; '.join(wrong)}; {subject.process.errors()}")
    return {"cpu_us": usage.serving / requests * 1e6, "user_us": usage.user / requests * 1e6,
            "sys_us": usage.system / requests * 1e6, "beside_us_per_s": usage.beside / usage.elapsed * 1e6,
            "rest_us_per_s": rest * 1e6, "requests": requests, "requests_per_second": requests / usage.elapsed,
            "p50_us": result["p50_us"], "p99_us": result["p99_us"],
            "others": max(0, core - usage.serving - usage.beside) / usage.elapsed,
            "pss_bytes": subject.process.pss_bytes(), "problems": wrong}


def reload(subject, rest_us_per_s):
    """Seconds and CPU from the rename until the new is in force, what it takes at rest not counted; and what the page of
    metrics is by then."""
    asked = time.monotonic()
    page = len(subject.metrics())
    asked = time.monotonic() - asked
    before = subject.reloads(subject.reload_unit)
    usage, begin = Usage(subject.process), time.monotonic()
    in_force = subject.change()
    changed = time.monotonic()
    poll(in_force, "the reload to be in force", seconds=START_SECONDS)
    end = time.monotonic()
    usage.end()
    cpu = usage.serving + usage.beside - rest_us_per_s * 1e-6 * (end - begin)
    wrong = []
    if (more := subject.reloads(subject.reload_unit) - before) != 1:
        wrong.append(f"{more} reloads were counted where there was one")
    return {"reload_s": end - changed, "reload_cpu_s": max(0, cpu), "metrics_bytes": page, "metrics_s": asked, "problems": wrong}


def run(series, directory, rounds, seconds, proxy_core, load_core, tell):
    """{size: [round, ...]}: all sizes are there at once and take turns; those whose turn it is not are stopped, so that
    they take nothing of the core."""
    measured = {size: [] for size in series.sizes}
    with contextlib.ExitStack() as running:
        if series.microseconds:
            model = servers.SlowModel(servers.binary("SLOW_MODEL", "slow_model"), directory, series.microseconds, load_core)
        else:
            model = servers.Stub(servers.binary("MODEL_STUB", "model_stub"), directory, load_core, listeners=series.listeners)
        running.callback(model.process.stop)
        subjects = []
        for size in series.sizes:
            own = directory / str(size)
            own.mkdir()
            servers.make_certificate(own)
            subject = series.kind(own, size, getattr(model, "ports", [model.port]), proxy_core)
            running.callback(subject.process.stop)
            running.callback(subject.drop)
            subject.fill()
            subject.process.pause()
            subjects.append(subject)
        for turn in range(1, rounds + 1):
            for subject in subjects:
                subject.process.resume()
                one = measure(subject, series.row_of(subject.size), seconds, load_core)
                if series.reloads:
                    again = reload(subject, one["rest_us_per_s"])
                    one |= again | {"start_s": subject.start_seconds, "problems": one["problems"] + again["problems"]}
                subject.process.pause()
                measured[subject.size].append(one)
                tell(f"{series.name} {turn}/{rounds} {subject.size:>6,}: {one['cpu_us']:6.1f} us/request, "
                     f"{one['requests_per_second']:,.0f}/s, at rest {one['rest_us_per_s'] / 1000:.1f} ms/s, "
                     f"others {one['others'] * 100:.0f} %"
                     + (f", reload {one['reload_s'] * 1000:.0f} ms, {one['reload_cpu_s'] * 1000:.0f} of CPU"
                        if series.reloads else "")
                     + "".join(f"  WRONG: {problem}" for problem in one["problems"]))
    return measured


def growth(figures):
    """What CPU per request does from the smallest size to the largest. {size: {"median", "min", "max"}} ->
    {"verdict", "per_item_us"}: `flat`; `step`: dearer than the smallest, and no more so from the second size on; `grows`."""
    sizes = sorted(figures)

    def is_flat(first, last):
        noise = figures[first]["max"] - figures[first]["min"]
        return figures[last]["median"] <= figures[first]["median"] * FLAT_WITHIN + noise
    if is_flat(sizes[0], sizes[-1]):
        verdict = "flat"
    else:
        verdict = "step" if not is_flat(sizes[0], sizes[1]) and len(sizes) > 2 and is_flat(sizes[1], sizes[-1]) else "grows"
    return {"verdict": verdict, "per_item_us": per_item({size: figures[size]["median"] for size in sizes})}


def per_item(values):
    """The slope from the smallest size to the largest."""
    first, last = min(values), max(values)
    return (values[last] - values[first]) / (last - first)


def reload_growth(cpu_seconds):
    """CPU of a reload at the two largest sizes. `linear`: per item it is no more at the larger one; `short`: too short to
    tell."""
    smaller, larger = sorted(cpu_seconds)[-2:]
    each = {str(size): cpu_seconds[size] / max(size, 1) * 1e6 for size in (smaller, larger)}
    if cpu_seconds[smaller] < SHORT_SECONDS and cpu_seconds[larger] < SHORT_SECONDS * max(1, larger / max(smaller, 1)):
        verdict = "short"
    else:
        allowed = max(cpu_seconds[smaller], SHORT_SECONDS) * larger / max(smaller, 1) * LINEAR_WITHIN
        verdict = "linear" if cpu_seconds[larger] <= allowed else "worse than linear"
    return {"verdict": verdict, "us_per_item": each}


def summarise(series, rounds):
    names = ["cpu_us", "user_us", "sys_us", "beside_us_per_s", "rest_us_per_s", "requests_per_second", "p50_us", "p99_us",
             "others", "pss_bytes"]
    names += ["start_s", "reload_s", "reload_cpu_s", "metrics_bytes", "metrics_s"] if series.reloads else []
    figures = {size: {name: spread([one[name] for one in runs]) for name in names} for size, runs in rounds.items()}
    for size, runs in rounds.items():  # of the first round: later ones keep the heap that pages of metrics have taken
        figures[size]["pss_bytes"] = spread([runs[0]["pss_bytes"]])
    made = {"figures": figures, "growth": growth({size: each["cpu_us"] for size, each in figures.items()}),
            "pss_bytes_per_item": per_item({size: each["pss_bytes"]["median"] for size, each in figures.items()}),
            "rest_us_per_s_per_item": per_item({size: each["rest_us_per_s"]["median"] for size, each in figures.items()})}
    if series.reloads:
        made["reload"] = reload_growth({size: each["reload_cpu_s"]["median"] for size, each in figures.items()})
    return made


def describe(series, summary):
    head = ["size", "CPU us/request", "min-max", "user + sys", "requests/s", "p99 us", "beside ms/s", "at rest", "PSS MiB", "others"]
    head += ["start s", "reload ms", "of CPU", "metrics MiB", "ms"] if series.reloads else []
    lines = []
    for size, figures in summary["figures"].items():
        def median(name):
            return figures[name]["median"]
        cpu = figures["cpu_us"]
        line = [f"{size:,}", f"{cpu['median']:.1f}", f"{cpu['min']:.1f}-{cpu['max']:.1f}",
                f"{median('user_us'):.1f} + {median('sys_us'):.1f}", f"{median('requests_per_second'):,.0f}",
                f"{median('p99_us'):,.0f}", f"{median('beside_us_per_s') / 1000:.1f}",
                f"{median('rest_us_per_s') / 1000:.1f}", f"{median('pss_bytes') / 2**20:.1f}",
                f"{median('others') * 100:.0f} %"]
        if series.reloads:
            line += [f"{median('start_s'):.2f}", f"{median('reload_s') * 1000:.0f}", f"{median('reload_cpu_s') * 1000:.0f}",
                     f"{median('metrics_bytes') / 2**20:.2f}", f"{median('metrics_s') * 1000:.0f}"]
        lines.append(line)
    grown = summary["growth"]
    text = (f"\n### {series.name}: {series.what}\n\n" + table(head, lines) + f"\n\nCPU per request: {grown['verdict']}"
            + (f", {grown['per_item_us'] * 1000:.2f} ns for each" if grown["verdict"] == "grows" else "")
            + f"; memory: {summary['pss_bytes_per_item'] / 1024:.2f} KiB for each"
            + f"; at rest: {summary['rest_us_per_s_per_item']:.2f} us/s for each")
    if series.reloads:
        again = summary["reload"]
        text += f"; reload: {again['verdict']}, " + ", ".join(
            f"{us:,.1f} us of CPU for each of {int(size):,}" for size, us in again["us_per_item"].items())
    return text
