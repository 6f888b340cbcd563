"""The rows in which replicas take one request at a time and clients ask for more: is a replica ever idle while somebody
waits, does everybody get as much as the others, is the limit kept?"""
import dataclasses
import json
import pathlib
import resource
import statistics
import subprocess
import sys

from . import servers
from .load import pinned
from .processes import Failure, core_busy_seconds, now
from .rows import Mark, Row


@dataclasses.dataclass(frozen=True)
class Queue(Row):
    microseconds: int = 5000  # of a request at its replica
    replicas: int = 4
    connections: int = 32
    load: float = 2  # times what the replicas can do; 0: every client asks again as soon as it is answered
    queue: int = 4  # requests that may wait; beyond it they are refused

    figures = ("busy", "least_busy", "throughput", "offered", "rejected", "jain", "least_to_most", "p50_us", "p99_us", "cpu_us",
               "others")
    columns = {"busy": "{busy:.1%}", "min-max": "{busy_min:.1%}-{busy_max:.1%}", "least busy": "{least_busy_min:.1%}",
               "of the ideal": "{throughput:.3f}", "offered": "{offered:.2f}", "refused": "{rejected:.0%}",
               "Jain": "{jain_together:.4f}", "least/most": "{least_to_most_together:.2f}", "most at once": "{most}",
               "p50, p99 us": "{p50_us:,.0f}, {p99_us:,.0f}", "CPU us/request": "{cpu_us:.0f}", "others": "{others:.0%}"}
    progress = ("busy {busy:.4f}, {throughput:.3f} of the ideal, {rejected:.0%} refused, least to most {least_to_most:.2f}, "
                "others {others:.0%}")

    @property
    def ideal(self):
        """Requests per second."""
        return self.replicas * 1e6 / self.microseconds

    def start_model(self, directory, running, plan):
        """None: each proxy has replicas of its own. They may run on both cores: they only wait."""

    def configure(self, kind, directory, model, plan):
        return kind(directory, model, self, plan.proxy_core)

    def start(self, kind, directory, model, running, plan):
        models = []
        for number in range(self.replicas):
            place = directory / str(number)
            place.mkdir()
            one = servers.SlowModel(servers.binary("SLOW_MODEL", "slow_model"), place, self.microseconds)
            running.callback(one.process.stop)
            models.append(one)
        return super().start(kind, directory, models, running, plan)

    def measure(self, proxy, model, plan, turn):
        usage = Usage(proxy, (plan.proxy_core, plan.load_core))
        done = subprocess.run(
            [sys.executable, pathlib.Path(__file__).with_name("queue_load.py"), "--port", str(proxy.https_port),
             "--certificate", proxy.directory / "cert.pem", "--models", ",".join(str(each.port) for each in proxy.models),
             "--clients", str(self.connections), "--rate", str(self.load * self.ideal / self.connections), "--warm-up", "1",
             "--seconds", str(plan.seconds), "--seed", str(turn)],
            capture_output=True, text=True, preexec_fn=pinned(plan.load_core))
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
        per_second = 1 / plan.seconds / self.ideal
        return {"busy": statistics.mean(result["busy"]), "least_busy": min(result["busy"]),
                "throughput": served * per_second, "offered": (served + result["rejected"]) * per_second,
                "rejected": result["rejected"] / (served + result["rejected"]) if served else 1,
                "jain": jain(result["served"]), "least_to_most": min(result["served"]) / max(1, max(result["served"])),
                "most": result["most"], "served": result["served"], "p50_us": result["p50_us"], "p99_us": result["p99_us"],
                "cpu_us": usage.proxy / result["answered"] * 1e6, "others": usage.others, "problems": wrong}

    def together(self, runs):
        """Fairness is that of all rounds together: what one client was served in each."""
        served = [sum(each) for each in zip(*(one["served"] for one in runs))]
        return {"jain_together": jain(served), "least_to_most_together": min(served) / max(served),
                "most": max(one["most"] for one in runs)}


class Scoregate(servers.Scoregate):
    def __init__(self, directory, models, row, core):
        self.models, self.row = models, row
        super().__init__(directory, None, core)

    def service(self):
        service = self.open_service(1, max_queue_length=self.row.queue, max_queue_wait_ms=10000)
        service["deployments"]["blue"]["replicas"] = [f"http://127.0.0.1:{model.port}" for model in self.models]
        return service


class Haproxy(servers.Haproxy):
    def __init__(self, directory, models, row, core):
        self.models, self.row = models, row
        super().__init__(directory, None, core)

    def more_names(self):
        one_each = "\n    ".join(f"server blue{i} 127.0.0.1:{model.port} maxconn 1" for i, model in enumerate(self.models))
        return {"ADMISSION": f"http-request return status 503 if {{ queue(model) ge {self.row.queue} }}",
                "SERVERS": "balance leastconn\n    timeout queue 10s\n    " + one_each}


def jain(values):
    """1 when all have the same, 1/n when one has everything (Jain, Chiu, Hawe 1984)."""
    return sum(values) ** 2 / (len(values) * sum(each * each for each in values)) if any(values) else 0


class Usage:
    """CPU time since this was made: of the proxy, and on both cores of what belongs to none of us."""

    def __init__(self, proxy, cores):
        self._proxy, self._cores = proxy, cores
        self._begin = self._now()

    def _now(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)  # the load, once it has ended
        proxy = sum(self._proxy.process.cpu_seconds())
        models = sum(sum(model.process.cpu_seconds()) for model in self._proxy.models)
        return (now(), sum(map(core_busy_seconds, self._cores)), proxy,
                proxy + models + children.ru_utime + children.ru_stime)

    def end(self):
        elapsed, busy, self.proxy, ours = (after - before for after, before in zip(self._now(), self._begin))
        self.others = max(0, busy - ours) / elapsed / len(self._cores)


KINDS = {"kinds": (Scoregate, Haproxy), "lacking": {"nginx": "no queue: its max_conns refuses at once, and counts per worker"},
         "marks": (Mark("replicas busy", "busy", bar=0.97, at_least=True),)}
ROWS = (
    Queue("queue", "4 replicas of 5 ms, one request each; offered twice what they can do, 4 may wait", **KINDS),
    Queue("queue_20ms", "the same with 20 ms", microseconds=20000, **KINDS),
    Queue("queue_waiting", "4 replicas of 5 ms, one request each; 32 clients always wait, nobody is refused", load=0,
          queue=64, **KINDS),
)
