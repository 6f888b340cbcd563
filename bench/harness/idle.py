"""The row of idle connections: what each of them costs in memory after its request, after one more, and some time later."""
import time

from .load import Generator, problems
from .processes import allow_files
from .rows import CHEAPER, KIB, Mark, Row

FEW, MANY = 1000, 10000
BEFORE = 8  # connections that come and go, so that what all share is there before any is counted


class Idle(Row):
    figures = ("few_kib", "many_kib", "again_kib", "later_kib", "few", "many")
    compared = {"": "many_kib", "few": "few_kib", "later": "later_kib"}
    columns = {"connections": "{few:,.0f}, {many:,.0f}", "KiB each of the few": "{few_kib:.1f}", "of the many": "{many_kib:.1f}",
               "min-max": "{many_kib_min:.1f}-{many_kib_max:.1f}", "just after another request": "{again_kib:.1f}",
               "idle again": "{later_kib:.1f}"}
    progress = ("{few_kib:.1f} KiB each of {few}, {many_kib:.1f} of {many}; {again_kib:.1f} after another request, "
                "{later_kib:.1f} later")
    afresh = True  # memory that was once taken stays with the process
    most_rounds = 2  # half a minute each, and memory hardly differs

    def measure(self, proxy, model, plan, turn):
        share, quiet, later = (10, 0.5, 1) if plan.quick else (1, 2, 15)
        few = FEW // share
        many = min(MANY // share, allow_files() - 1000)  # one descriptor each, in proxy and load
        wrong = []

        def check(result, connections):
            if result["requests"] != connections:
                wrong.append(f"{result['requests']} requests on {connections} connections")
            wrong.extend(problems(result))

        def each(connections):
            return (proxy.process.pss_bytes() - bare) / connections / KIB

        with Generator("idle", proxy.url(), plan.load_core, connections=BEFORE) as first_of_all:
            check(first_of_all.result(), BEFORE)
        time.sleep(quiet)
        bare = proxy.process.pss_bytes()
        with Generator("idle", proxy.url(), plan.load_core, connections=few) as some:
            check(some.result(), few)
            time.sleep(quiet)
            one = {"few": few, "many": many, "few_kib": each(few), "problems": wrong}
            with Generator("idle", proxy.url(), plan.load_core, connections=many - few) as rest:
                check(rest.result(), many - few)
                time.sleep(quiet)
                one["many_kib"] = each(many)
                check(some.again(), few)
                check(rest.again(), many - few)
                one["again_kib"] = each(many)
                time.sleep(later)
                one["later_kib"] = each(many)
        return one


ROWS = (
    Idle("idle", "memory (PSS) of idle TLS connections that have had a request", connections=MANY,
         marks=(Mark("memory per connection", CHEAPER, goal=1.0),)),
)
