"""What every row of the bench is: proxies that take turns at the same work, figures of each turn, what they are held to."""
import contextlib
import dataclasses
import pathlib
import tempfile
import threading

from . import servers
from .processes import TICKS_PER_SECOND, Failure, core_busy_seconds, now

PEERS = (servers.Scoregate, servers.Nginx, servers.Haproxy)
KIB, MIB = 1024, 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long, and on which cores."""

    rounds: int
    seconds: int  # measured, of each turn
    warm_up: int  # before it, thrown away
    proxy_core: int
    load_core: int
    quick: bool = False


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a figure is held to: below `bar` nothing lands as finished, `goal` is what is aimed at."""

    what: str
    key: str  # of summary["ratios"], or of scoregate's figures
    bar: float | None = 1.0
    goal: float | None = None
    at_least: bool = False
    if_resolved: bool = False  # judged only where the turns tell on which side of it the figure is (marks.py)
    late: tuple = ()  # (how late the load was, the figure it has to be small beside); else it is not resolved


CHEAPER = "scoregate/cheaper"


@dataclasses.dataclass(frozen=True)
class Row:
    """A subclass measures one turn and names its figures. Templates are formatted with a turn's figures (progress), or with
    the medians of all turns and FIGURE_min, FIGURE_max (columns)."""

    name: str
    what: str
    connections: int = 64
    kinds: tuple = PEERS  # whom it compares, scoregate first
    lacking: dict = dataclasses.field(default_factory=dict)  # {peer: why it cannot take part}
    marks: tuple = ()
    rsa: bool = False  # RSA-2048 in place of ECDSA P-256
    calls: bool = False  # system calls are counted, in turns of their own

    figures = ()
    compared = {"": "cpu_us"}  # {what a ratio is called: its figure}; less is better
    columns = {}  # {head: template}
    progress = ""
    afresh = False  # a new process for each turn
    most_rounds = 100  # more would say nothing more

    @property
    def peers(self):
        """False: scoregate is compared with itself."""
        return any(issubclass(kind, (servers.Nginx, servers.Haproxy)) for kind in self.kinds)

    def start_model(self, directory, running, plan):
        stub = servers.Stub(servers.binary("MODEL_STUB", "model_stub"), directory, plan.load_core)
        running.callback(stub.process.stop)
        return stub

    def start(self, kind, directory, model, running, plan):
        """A proxy of its own directory and certificate, in front of what start_model() returned."""
        servers.make_certificate(directory, self.rsa)
        proxy = self.configure(kind, directory, model, plan)
        running.callback(proxy.process.stop)
        return proxy

    def configure(self, kind, directory, model, plan):
        return kind(directory, model.port, plan.proxy_core)

    def measure(self, proxy, model, plan, turn):
        """One turn, the first being 1: {figure: number, ..., "problems": [text, ...]}."""
        raise NotImplementedError

    def turns(self, plan):
        return min(plan.rounds, self.most_rounds)

    def prepare(self, proxies, plan):
        """All have been started and none was measured yet; not where each turn has a new process."""

    def together(self, runs):
        """Further figures, of all turns of a proxy together."""
        return {}

    def run(self, plan, kinds, tell):
        """{proxy: [what measure() returned, ...]}: they take turns, so that a slow minute of the machine meets all of them."""
        rounds = {kind.name: [] for kind in kinds}
        started = {}
        with tempfile.TemporaryDirectory(prefix="scoregate-bench-") as directory, contextlib.ExitStack() as running:
            directory = pathlib.Path(directory)
            model = self.start_model(directory, running, plan)
            turns = self.turns(plan)

            def begin(kind, place, until):
                place.mkdir()
                started[kind.name] = self.start(kind, place, model, until, plan)
            if not self.afresh:
                for kind in kinds:
                    begin(kind, directory / kind.name, running)
                self.prepare(list(started.values()), plan)
            for turn in range(1, turns + 1):
                for kind in kinds:
                    with contextlib.ExitStack() as of_turn:
                        if self.afresh:
                            begin(kind, directory / f"{kind.name}{turn}", of_turn)
                        one = self.measure(started[kind.name], model, plan, turn)
                    rounds[kind.name].append(one)
                    tell(f"{self.name} {turn}/{turns} {kind.name:9}: " + self.progress.format_map(one)
                         + "".join(f"  WRONG: {problem}" for problem in one["problems"]))
        return rounds


class Window:
    """What a proxy uses from here to end(), and what else runs on its cores."""

    def __init__(self, proxy, *cores):
        self._proxy, self._cores = proxy, cores
        self._begin = self.sample()

    def sample(self):
        return now(), *self._proxy.process.cpu_seconds(), sum(map(core_busy_seconds, self._cores))

    def end(self):
        """{elapsed, user, system: seconds; core_busy, core_others: shares of elapsed}"""
        return self.between(self._begin, self.sample())

    @staticmethod
    def between(begin, end):
        elapsed, user, system, cores = (after - before for after, before in zip(end, begin))
        return {"elapsed": elapsed, "user": user, "system": system, "core_busy": (user + system) / elapsed,
                "core_others": max(0, cores - user - system) / elapsed}


class Samples:
    """What a proxy uses while a load of constant rate runs: of samples all along, middle() takes those that have nothing of
    its connecting and leaving."""

    def __init__(self, proxy, *cores):
        self._window, self._samples, self._ended = Window(proxy, *cores), [], threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ended.wait(0.05):
            self._samples.append(self._window.sample())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end = now()
        self._ended.set()
        self._thread.join()

    def middle(self, seconds):
        """As Window.end(); for a load that measured for `seconds` and ended with the block."""
        inside = [each for each in self._samples if 0.15 * seconds <= self._end - each[0] <= 0.9 * seconds]
        if len(inside) < 2:
            raise Failure("the load was over before the proxy could be sampled")
        return Window.between(inside[0], inside[-1])


def cpu_per(count, used):
    """The three figures of what `used` (Window.end()) comes to for each of `count` requests or events. The counters have a
    step; what is less counts as one, so that there is a ratio."""
    if not count:
        raise Failure("nothing was answered")
    user, system = (max(seconds, 1 / TICKS_PER_SECOND) for seconds in (used["user"], used["system"]))
    return {"cpu_us": (user + system) / count * 1e6, "user_us": user / count * 1e6, "sys_us": system / count * 1e6}
