"""The rows in which replicas take one request at a time and clients ask for more: is a replica ever idle while somebody
waits, does everybody get as much as the others, is the limit kept?"""
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

from . import servers
from .processes import Failure, core_busy_seconds
from .report import spread, table

BUSY_ENOUGH = 0.97
FIGURES = ("busy", "least_busy", "throughput", "offered", "rejected", "jain", "least_to_most", "p50_us", "p99_us", "cpu_us", "others")


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    what: str
    microseconds: int  # of a request at its replica
    replicas: int = 4
    connections: int = 32
    load: float = 2  # times what the replicas can do; 0: every client asks again as soon as it is answered
    queue: int = 4  # requests that may wait; beyond it they are refused

    peers = True  # it is compared with others

    @property
    def ideal(self):
        """Requests per second."""
        return self.replicas * 1e6 / self.microseconds


ROWS = {row.name: row for row in (
    Row("queue", "4 replicas of 5 ms, one request each; offered twice what they can do, 4 may wait", 5000),
    Row("queue_20ms", "the same with 20 ms", 20000),
    Row("queue_waiting", "4 replicas of 5 ms, one request each; 32 clients always wait, nobody is refused", 5000, load=0, queue=64),
)}


class Scoregate(servers.Scoregate):
    def __init__(self, directory, models, row, core):
        self.models, self.row = models, row
        super().__init__(directory, None, core)

    def service(self):
        service = self.open_service(1, max_queue_length=self.row.queue, max_queue_wait_ms=10000)
        service["deployments"]["blue"]["replicas"] = [f"http://127.0.0.1:{port}" for port in self.models]
        return service


class Haproxy(servers.Haproxy):
    def __init__(self, directory, models, row, core):
        self.models, self.row = models, row
        super().__init__(directory, None, core)

    def more_names(self):
        one_each = "\n    ".join(f"server blue{i} 127.0.0.1:{port} maxconn 1" for i, port in enumerate(self.models))
        return {"ADMISSION": f"http-request return status 503 if {{ queue(model) ge {self.row.queue} }}",
                "SERVERS": "balance leastconn\n    timeout queue 10s\n    " + one_each}


# nginx has no queue: `max_conns` refuses at once, and counts per worker.
PROXIES = {"scoregate": Scoregate, "haproxy": Haproxy}


def jain(values):
    """1 when all have the same, 1/n when one has everything (Jain, Chiu, Hawe 1984)."""
    return sum(values) ** 2 / (len(values) * sum(each * each for each in values)) if any(values) else 0


class Usage:
    """CPU time since this was made: of the proxy, and on both cores of what belongs to none of us."""

    def __init__(self, proxy, models, cores):
        self._proxy, self._models, self._cores = proxy, models, cores
        self._begin = self._now()

    def _now(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)  # the load, once it has ended
        proxy = sum(self._proxy.process.cpu_seconds())
        models = sum(sum(model.process.cpu_seconds()) for model in self._models)
        return (time.monotonic(), sum(map(core_busy_seconds, self._cores)), proxy,
                proxy + models + children.ru_utime + children.ru_stime)

    def end(self):
        elapsed, busy, self.proxy, ours = (after - before for after, before in zip(self._now(), self._begin))
        self.others = max(0, busy - ours) / elapsed / len(self._cores)


def measure(row, proxy, models, seconds, turn, cores):
    rate = row.load * row.ideal / row.connections
    usage = Usage(proxy, models, cores)
    done = subprocess.run(
        [sys.executable, pathlib.Path(__file__).with_name("queue_load.py"), "--port", str(proxy.https_port),
         "--certificate", proxy.directory / "cert.pem", "--models", ",".join(str(model.port) for model in models),
         "--clients", str(row.connections), "--rate", str(rate), "--warm-up", "1", "--seconds", str(seconds), "--seed", str(turn)],
        capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {cores[1]}))
    usage.end()
    if done.returncode:
        raise Failure(f"the load ended with {done.returncode}: {done.stderr}")
    result = json.loads(done.stdout)
    served = sum(result["served"])
    wrong = []
    if result["wrong"] or not served:
        wrong.append(f"{result['wrong']} replies neither 200 nor 503, {served} of 200")
    if result["most"] > 1:
        wrong.append(f"{result['most']} requests at a replica at once")
    return {"busy": statistics.mean(result["busy"]), "least_busy": min(result["busy"]),
            "throughput": served / seconds / row.ideal, "offered": (served + result["rejected"]) / seconds / row.ideal,
            "rejected": result["rejected"] / (served + result["rejected"]) if served else 1,
            "jain": jain(result["served"]), "least_to_most": min(result["served"]) / max(1, max(result["served"])),
            "most": result["most"], "served": result["served"], "p50_us": result["p50_us"], "p99_us": result["p99_us"],
            "cpu_us": usage.proxy / result["answered"] * 1e6, "others": usage.others, "problems": wrong}


def run(row, directory, only, rounds, seconds, proxy_core, load_core, tell):
    """{proxy: [round, ...]}, in turns. The models may run on both cores: they only wait."""
    measured = {name: [] for name in only if name in PROXIES}
    with contextlib.ExitStack() as running:
        proxies = []
        for name in measured:
            own = directory / name
            own.mkdir()
            servers.make_certificate(own)
            models = []
            for number in range(row.replicas):
                place = own / str(number)
                place.mkdir()
                model = servers.SlowModel(servers.binary("SLOW_MODEL", "slow_model"), place, row.microseconds)
                running.callback(model.process.stop)
                models.append(model)
            proxy = PROXIES[name](own, [model.port for model in models], row, proxy_core)
            running.callback(proxy.process.stop)
            proxies.append((proxy, models))
        for turn in range(1, rounds + 1):
            for proxy, models in proxies:
                one = measure(row, proxy, models, seconds, turn, (proxy_core, load_core))
                measured[proxy.name].append(one)
                tell(f"{row.name} {turn}/{rounds} {proxy.name:9}: busy {one['busy']:.4f}, {one['throughput']:.3f} of the ideal, "
                     f"{one['rejected'] * 100:.0f} % refused, least to most {one['least_to_most']:.2f}, "
                     f"others {one['others'] * 100:.0f} %"
                     + "".join(f"  WRONG: {problem}" for problem in one["problems"]))
    return measured


def summarise(rounds):
    """Fairness is that of all rounds together: what one client was served in each."""
    figures = {}
    for name, runs in rounds.items():
        figures[name] = {figure: spread([one[figure] for one in runs]) for figure in FIGURES}
        together = [sum(each) for each in zip(*(one["served"] for one in runs))]
        figures[name] |= {"jain_together": jain(together), "least_to_most_together": min(together) / max(together),
                          "most": max(one["most"] for one in runs)}
    return {"figures": figures}


def describe(row, summary):
    lines = []
    for name, figures in summary["figures"].items():
        def median(figure):
            return figures[figure]["median"]
        busy = figures["busy"]
        lines.append([
            name, f"{busy['median'] * 100:.1f} %", f"{busy['min'] * 100:.1f}-{busy['max'] * 100:.1f}",
            f"{figures['least_busy']['min'] * 100:.1f} %", f"{median('throughput'):.3f}", f"{median('offered'):.2f}",
            f"{median('rejected') * 100:.0f} %", f"{figures['jain_together']:.4f}", f"{figures['least_to_most_together']:.2f}",
            str(figures["most"]), f"{median('p50_us') / 1000:.1f}", f"{median('p99_us') / 1000:.1f}", f"{median('cpu_us'):.0f}",
            f"{median('others') * 100:.0f} %"])
    return f"\n### {row.name}: {row.what}; {row.connections} connections\n\n" + table(
        ["proxy", "busy", "min-max", "least busy", "of the ideal", "offered", "refused", "Jain", "least/most", "most at once",
         "p50 ms", "p99 ms", "CPU us/request", "others"], lines)
