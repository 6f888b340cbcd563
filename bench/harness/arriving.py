"""Rows of an open loop: requests are due at moments of their own, whether earlier ones were answered or not, and waiting
counts from when one was due. So a delay is one that clients would have, not what a full proxy makes of itself."""
import pathlib

from . import closed, servers
from .load import Generator, generate, problems, run_wrk
from .processes import TICKS_PER_SECOND, Failure
from .rows import CHEAPER, Mark, Row, Samples, Window, cpu_per

SHARES = (25, 50, 75)  # percent of the slowest proxy's peak
PERCENTILES = ("p50", "p99", "p999")
USUAL = ("usual_p50", "usual_p99")  # the median of windows
CALLED = {"p999": "p99.9", "usual_p50": "usual p50", "usual_p99": "usual p99"}
WINDOW_MS = 100
KEEPALIVE = closed.ROWS[0]


def peak(proxy, plan):
    """Requests per second of a closed loop."""
    if plan.warm_up:
        run_wrk(KEEPALIVE, proxy.url(), plan.warm_up, plan.load_core)
    result = run_wrk(KEEPALIVE, proxy.url(), min(2, plan.seconds), plan.load_core)
    if wrong := problems(result):
        raise Failure(f"{proxy.name} at its peak: {'; '.join(wrong)}; {proxy.process.errors()}")
    return result["requests"] / result["seconds"]


def settling(plan):
    """Seconds at the beginning of an open loop that are not counted."""
    return max(0.3, plan.warm_up)


class ManyTurns(Row):
    """Short turns, and many of them: a machine that stands still for a moment spoils few, and the turns tell how sure their
    median is."""

    settle = 0.3  # seconds, not counted: nothing that was started for the turn but the load's connections

    def turns(self, plan):
        return 1 if plan.quick else 3 * plan.rounds

    def seconds(self, plan):
        return plan.seconds / 2


class Latency(ManyTurns):
    """All proxies are asked at the same rates. What load and model take by themselves is measured at the same rates, once in
    each turn, and is taken off what each proxy shows."""

    figures = tuple(f"{kind}_{percentile}_us_{share}" for share in SHARES for kind in ("added", "direct")
                    for percentile in PERCENTILES + USUAL) + tuple(
                        f"{figure}_{share}" for share in SHARES for figure in ("rate", "requests", "late_us")) + (
                            "peak", "others")
    compared = {f"{CALLED.get(percentile, percentile)} at {share} %": f"added_{percentile}_us_{share}"
                for share in SHARES for percentile in USUAL + PERCENTILES}
    columns = {"peak/s": "{peak:,.0f}", "asked/s": ", ".join(f"{{rate_{share}:,.0f}}" for share in SHARES)} | {
        f"added at {share} %, us: usual p50, p99; whole p50, p99, p99.9":
            ", ".join(f"{{added_{p}_us_{share}:,.0f}}" for p in USUAL)
            + "; " + ", ".join(f"{{added_{p}_us_{share}:,.0f}}" for p in PERCENTILES)
        for share in SHARES} | {
            "direct at 50 %": "; ".join(", ".join(f"{{direct_{p}_us_50:,.0f}}" for p in which) for which in (USUAL, PERCENTILES)),
            "load late, p99 us": ", ".join(f"{{late_us_{share}:,.0f}}" for share in SHARES), "others": "{others:.0%}"}
    progress = "usually added " + ", ".join(
        f"at {rate} {{added_usual_p50_us_{share}:.0f}} us, p99 {{added_usual_p99_us_{share}:.0f}}"
        for share, rate in ((share, f"{{rate_{share}:,}}/s") for share in SHARES))

    def prepare(self, proxies, plan):
        peaks = {proxy: peak(proxy, plan) for proxy in proxies}
        for proxy in proxies:
            proxy.peak, proxy.slowest = peaks[proxy], min(peaks.values())

    def measure(self, proxy, model, plan, turn):
        one = {"peak": proxy.peak, "problems": []}
        others = []
        if getattr(model, "turn", 0) != turn:
            model.turn, model.direct = turn, {}
        for share in SHARES:
            rate = round(proxy.slowest * share / 100)
            options = {"rate": rate, "connections": self.connections, "seconds": self.seconds(plan), "warm_up": self.settle,
                       "window_ms": WINDOW_MS, "seed": turn}
            if share not in model.direct:
                model.direct[share] = generate("open", f"http://127.0.0.1:{model.port}/score", plan.load_core, **options)
                one["problems"] += problems(model.direct[share])
            direct = model.direct[share]
            window = Window(proxy, plan.proxy_core)
            through = generate("open", proxy.url(), plan.load_core, **options)
            others.append(window.end()["core_others"])
            one["problems"] += problems(through)
            if (got := through["requests"] / through["seconds"]) < 0.9 * rate:
                one["problems"].append(f"{got:,.0f} requests/s in place of {rate:,}")
            for percentile in PERCENTILES + USUAL:
                key = f"{percentile}_us"
                one[f"direct_{key}_{share}"] = direct[key]
                # Two runs, so the difference of rare delays can come out below nothing.
                one[f"added_{key}_{share}"] = max(1, through[key] - direct[key])
            one |= {f"rate_{share}": rate, f"requests_{share}": through["requests"], f"late_us_{share}": through["late_p99_us"]}
        return one | {"others": max(others)}


class Storm(ManyTurns):
    """The load of the handshakes takes of its core what requests and model leave."""

    figures = ("usual_p50_us", "usual_p99_us", "p50_us", "p99_us", "p999_us", "late_us", "requests", "handshakes_per_second",
               "core_busy", "core_others")
    compared = {"": "p99_us", "p50": "p50_us", "usual p99": "usual_p99_us", "usual p50": "usual_p50_us"}
    columns = {"p99 us": "{p99_us:,.0f}", "min-max": "{p99_us_min:,.0f}-{p99_us_max:,.0f}",
               "usual p99 us": "{usual_p99_us:,.0f}", "p50 us": "{p50_us:,.0f}",
               "p99.9 us": "{p999_us:,.0f}", "load late, p99 us": "{late_us:,.0f}", "requests of a turn": "{requests:,.0f}",
               "handshakes/s": "{handshakes_per_second:,.0f}", "core busy": "{core_busy:.0%}", "others": "{core_others:.0%}"}
    progress = ("p99 {p99_us:,.0f} us, usually {usual_p99_us:,.0f}, p50 {p50_us:,.0f} us, late {late_us:,.0f}, "
                "{handshakes_per_second:,.0f} handshakes/s, core {core_busy:.0%} busy")
    rate = 4000
    window_ms = 250  # a p99 needs a thousand requests

    def measure(self, proxy, model, plan, turn):
        seconds = self.seconds(plan)
        with Generator("connect", proxy.url(), plan.load_core, leftovers=True, mode="full", connections=self.connections,
                       seconds=seconds + 0.5, warm_up=self.settle) as storm:
            window = Window(proxy, plan.proxy_core)
            requests = generate("open", proxy.url(), plan.load_core, rate=self.rate, connections=16, seconds=seconds,
                                warm_up=self.settle, window_ms=self.window_ms, seed=turn)
            used = window.end()
            handshakes = storm.result()
        return {key: requests[key] for key in ("usual_p50_us", "usual_p99_us", "p50_us", "p99_us", "p999_us", "requests")} | {
            "late_us": requests["late_p99_us"], "handshakes_per_second": handshakes["full"] / handshakes["seconds"],
            "core_busy": used["core_busy"], "core_others": used["core_others"],
            "problems": problems(requests) + problems(handshakes)}


class Workers(Row):
    """Two loads of one rate at once: few connections with half of the requests, many with the other half. Proxies, load and
    model have both cores. That two workers can do more than one is not shown: it needs more cores."""

    figures = ("cpu_us", "user_us", "sys_us", "rate", "light_p50_us", "light_p99_us", "heavy_p50_us", "heavy_p99_us", "even",
               "core_busy", "core_others")
    compared = {"": "cpu_us", "p99": "light_p99_us"}
    columns = {"CPU us/request": "{cpu_us:.1f}", "min-max": "{cpu_us_min:.1f}-{cpu_us_max:.1f}",
               "user + sys": "{user_us:.1f} + {sys_us:.1f}", "requests/s": "{rate:,.0f}",
               "60 light: p50, p99 us": "{light_p50_us:,.0f}, {light_p99_us:,.0f}",
               "4 heavy: p50, p99 us": "{heavy_p50_us:,.0f}, {heavy_p99_us:,.0f}",
               "least/most busy worker": "{even:.2f}"}
    progress = "{cpu_us:.1f} us/request at {rate:,.0f}/s, p99 {light_p99_us:,.0f} and {heavy_p99_us:,.0f} us, even {even:.2f}"
    rate = 16000  # what one worker can do with half of its core
    heavy = 4

    def configure(self, kind, directory, model, plan):
        return kind(directory, model.port, core=None)

    def measure(self, proxy, model, plan, turn):
        both = {plan.proxy_core, plan.load_core}
        options = {"rate": self.rate // 2, "seconds": plan.seconds, "warm_up": settling(plan)}
        before = thread_seconds(proxy)
        with Samples(proxy, *both) as samples, \
                Generator("open", proxy.url(), both, connections=self.heavy, seed=2 * turn, **options) as few:
            light = generate("open", proxy.url(), both, connections=self.connections - self.heavy, seed=2 * turn + 1, **options)
            heavy = few.result()
        used = samples.middle(plan.seconds)
        rate = sum(each["requests"] / each["seconds"] for each in (light, heavy))
        busiest = sorted((after - before.get(thread, 0) for thread, after in thread_seconds(proxy).items()), reverse=True)
        workers = busiest[:proxy.workers]
        return cpu_per(rate * used["elapsed"], used) | {
            "rate": rate, "even": min(workers) / max(*workers, 1 / TICKS_PER_SECOND),
            "core_busy": used["core_busy"], "core_others": used["core_others"],
            "light_p50_us": light["p50_us"], "light_p99_us": light["p99_us"], "heavy_p50_us": heavy["p50_us"],
            "heavy_p99_us": heavy["p99_us"], "problems": problems(light) + problems(heavy)}


def thread_seconds(proxy):
    """{thread: CPU time}"""
    found = {}
    for pid in proxy.process.pids():
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            found[task.name] = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return found


ROWS = (
    Latency("latency", "what a proxy adds to a request, at 25, 50 and 75 % of the slowest one's peak, the same rates for all",
            marks=(Mark("added p50 at half of peak", f"{CHEAPER}, p50 at 50 %", goal=1.0, if_resolved=True),
                   Mark("added p99 at half of peak", f"{CHEAPER}, p99 at 50 %", goal=1.0, if_resolved=True),
                   Mark("added usual p99 at half of peak", f"{CHEAPER}, usual p99 at 50 %", goal=1.0, if_resolved=True))),
    Storm("storm", "4,000 requests/s over 16 kept connections, while others come with a full handshake each", connections=32,
          marks=(Mark("p99 of the requests", CHEAPER, if_resolved=True, late=("late_us", "p99_us")),
                 Mark("usual p99 of the requests", f"{CHEAPER}, usual p99", if_resolved=True, late=("late_us", "usual_p99_us")))),
    Workers("workers", "2 workers against 1, the same 16,000 requests/s, half of them over 4 of the connections",
            kinds=(servers.TwoWorkers, servers.OneWorker), marks=(Mark("CPU per request", CHEAPER, bar=None, goal=1.05),)),
)
