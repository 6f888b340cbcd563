"""The row of event streams: many at once, each sends a small event now and then, as models do that write word by word."""
from .load import generate, problems
from .rows import CHEAPER, MIB, Mark, Row, Samples, cpu_per

EVENTS, INTERVAL_MS = 50, 100  # of one stream


class Streams(Row):
    figures = ("cpu_us", "user_us", "sys_us", "events_per_second", "p50_us", "p99_us", "p999_us", "core_busy",
               "core_others", "pss_mib")
    compared = {"": "cpu_us", "user": "user_us", "p99": "p99_us"}
    columns = {"CPU us/event": "{cpu_us:.1f}", "min-max": "{cpu_us_min:.1f}-{cpu_us_max:.1f}",
               "user + sys": "{user_us:.1f} + {sys_us:.1f}", "events/s": "{events_per_second:,.0f}",
               "delay us: p50, p99, p99.9": "{p50_us:,.0f}, {p99_us:,.0f}, {p999_us:,.0f}", "core busy": "{core_busy:.0%}",
               "others": "{core_others:.0%}", "PSS MiB": "{pss_mib:.1f}"}
    progress = ("{cpu_us:.1f} us/event ({user_us:.1f} user + {sys_us:.1f} sys)  {events_per_second:,.0f}/s, "
                "delay p50 {p50_us:.0f} us, p99 {p99_us:.0f}, core {core_busy:.0%} busy")

    def measure(self, proxy, model, plan, turn):
        expected = self.connections * 1000 / INTERVAL_MS
        with Samples(proxy, plan.proxy_core) as samples:
            result = generate("stream", proxy.url(route="stream"), plan.load_core, streams=self.connections, events=EVENTS,
                              interval_ms=INTERVAL_MS, seconds=plan.seconds, warm_up=max(1, plan.warm_up), seed=turn)
        used, rate = samples.middle(plan.seconds), result["events"] / result["seconds"]
        wrong = problems(result | {"requests": result["events"]})
        if rate < 0.9 * expected:
            wrong.append(f"{rate:,.0f} events/s in place of {expected:,.0f}")
        return cpu_per(rate * used["elapsed"], used) | {
            "events_per_second": rate, "p50_us": result["p50_us"], "p99_us": result["p99_us"], "p999_us": result["p999_us"],
            "core_busy": used["core_busy"], "core_others": used["core_others"], "pss_mib": proxy.process.pss_bytes() / MIB,
            "problems": wrong}


ROWS = (
    Streams("stream", f"1,000 event streams at once, an event every {INTERVAL_MS} ms in each", connections=1000,
            marks=(Mark("CPU per event", CHEAPER),)),
)
