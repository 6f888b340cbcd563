"""Rows of an open loop: requests are due at moments of their own, whether earlier ones were answered or not, and waiting
counts from when one was due. So a delay is one that clients would have, not what a full proxy makes of itself."""
import pathlib

from . import closed, servers
from .load import Generator, generate, problems, run_wrk
from .processes import TICKS_PER_SECOND, Failure
from .rows import CHEAPER, Mark, Row, Samples, Window, cpu_per

SHARES = (25, 50, 75)  # percent of a proxy's own peak
PERCENTILES = ("p50", "p99", "p999")


def peak(proxy, plan):
    """Requests per second of a closed loop, once for each proxy."""
    if not hasattr(proxy, "peak"):
        if plan.warm_up:
            run_wrk(KEEPALIVE, proxy.url(), plan.warm_up, plan.load_core)
        result = run_wrk(KEEPALIVE, proxy.url(), min(2, plan.seconds), plan.load_core)
        if wrong := problems(result):
            raise Failure(f"{proxy.name} at its peak: {'; '.join(wrong)}; {proxy.process.errors()}")
        proxy.peak = result["requests"] / result["seconds"]
    return proxy.peak


def settling(plan):
    """Seconds at the beginning of an open loop that are not counted."""
    return max(0.3, plan.warm_up)


KEEPALIVE = closed.ROWS[0]


class Latency(Row):
    figures = tuple(f"{kind}_{percentile}_us_{share}" for share in SHARES for kind in ("added", "direct")
                    for percentile in PERCENTILES) + tuple(f"late_us_{share}" for share in SHARES) + ("peak", "others")
    compared = {f"{percentile.replace('p999', 'p99.9')} at {share} %": f"added_{percentile}_us_{share}"
                for share in SHARES for percentile in PERCENTILES}
    columns = {"peak/s": "{peak:,.0f}"} | {
        f"added at {share} %, us: p50, p99, p99.9": ", ".join(f"{{added_{p}_us_{share}:,.0f}}" for p in PERCENTILES)
        for share in SHARES} | {"load late, p99 us": ", ".join(f"{{late_us_{share}:,.0f}}" for share in SHARES),
                                "others": "{others:.0%}"}
    progress = "peak {peak:,.0f}/s, added " + ", ".join(
        f"at {share} % {{added_p50_us_{share}:.0f}} us, p99 {{added_p99_us_{share}:.0f}}" for share in SHARES)

    def measure(self, proxy, model, plan, turn):
        one = {"peak": peak(proxy, plan), "problems": []}
        others = []
        for share in SHARES:
            options = {"rate": round(one["peak"] * share / 100), "connections": self.connections,
                       "seconds": plan.seconds / 2 if plan.quick else plan.seconds, "warm_up": settling(plan), "seed": turn}
            window = Window(proxy, plan.proxy_core)
            through = generate("open", proxy.url(), plan.load_core, **options)
            others.append(window.end()["core_others"])
            direct = generate("open", f"http://127.0.0.1:{model.port}/score", plan.load_core, **options)
            one["problems"] += problems(through) + problems(direct)
            if (rate := through["requests"] / through["seconds"]) < 0.9 * options["rate"]:
                one["problems"].append(f"{rate:,.0f} requests/s in place of {options['rate']:,}")
            for percentile in PERCENTILES:
                key = f"{percentile}_us"
                one[f"direct_{key}_{share}"] = direct[key]
                # Two runs, so the difference of rare delays can come out below nothing.
                one[f"added_{key}_{share}"] = max(1, through[key] - direct[key])
            one[f"late_us_{share}"] = through["late_p99_us"]
        return one | {"others": max(others)}


class Storm(Row):
    """The load of the handshakes is the nicest process of its core: it takes what requests and model leave."""

    figures = ("p50_us", "p99_us", "p999_us", "late_us", "handshakes_per_second", "core_busy", "core_others")
    compared = {"": "p99_us", "p50": "p50_us"}
    columns = {"p99 us": "{p99_us:,.0f}", "min-max": "{p99_us_min:,.0f}-{p99_us_max:,.0f}", "p50 us": "{p50_us:,.0f}",
               "p99.9 us": "{p999_us:,.0f}", "load late, p99 us": "{late_us:,.0f}",
               "handshakes/s": "{handshakes_per_second:,.0f}", "core busy": "{core_busy:.0%}", "others": "{core_others:.0%}"}
    progress = "p99 {p99_us:,.0f} us, p50 {p50_us:,.0f} us, {handshakes_per_second:,.0f} handshakes/s, core {core_busy:.0%} busy"
    rate = 1000

    def measure(self, proxy, model, plan, turn):
        settle = settling(plan)
        with Generator("connect", proxy.url(), plan.load_core, niceness=19, mode="full", connections=self.connections,
                       seconds=plan.seconds + 1, warm_up=settle) as storm:
            window = Window(proxy, plan.proxy_core)
            requests = generate("open", proxy.url(), plan.load_core, rate=self.rate, connections=16, seconds=plan.seconds,
                                warm_up=settle, seed=turn)
            used = window.end()
            handshakes = storm.result()
        return {"p50_us": requests["p50_us"], "p99_us": requests["p99_us"], "p999_us": requests["p999_us"],
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
    Latency("latency", "what a proxy adds to a request, at 25, 50 and 75 % of its own peak; against the replica directly",
            marks=(Mark("added p50 at half of peak", f"{CHEAPER}, p50 at 50 %", goal=1.0),
                   Mark("added p99 at half of peak", f"{CHEAPER}, p99 at 50 %", goal=1.0))),
    Storm("storm", "1,000 requests/s over 16 kept connections, while others come with a full handshake each", connections=32,
          marks=(Mark("p99 of the requests", CHEAPER),)),
    Workers("workers", "2 workers against 1, the same 16,000 requests/s, half of them over 4 of the connections",
            kinds=(servers.TwoWorkers, servers.OneWorker), marks=(Mark("CPU per request", CHEAPER, bar=None, goal=1.05),)),
)
