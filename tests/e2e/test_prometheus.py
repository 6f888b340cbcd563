"""A real Prometheus scrapes: what docs/metrics.md has one ask, the dashboard's queries and the alerts find what is there."""
import math
import subprocess

import pytest

from process import wait_until
from prometheus import Prometheus, monitoring
from replica import Replica, echo
from scoregate import service

ONE_SLOT = {"max_concurrent_requests_per_instance": 1}
GOOD, BAD, LOST = 7, 3, 2
# Nothing of these happens here; until it does there is no sample.
EMPTY = ("scoregate_rejected_total", "scoregate_probes_total")


def score(gate, name):
    return gate.request("POST", f"/api/v1/service/{name}/score", b"{}").status


def under_traffic(gate, condition):
    """Waits until it holds. A rate needs two scrapes between which something has happened."""
    def met():
        score(gate, "good"), score(gate, "dead")
        return condition()

    wait_until(met, timeout=20)


def has_number(samples):
    return any(not math.isnan(number) for _, number in samples)


@pytest.fixture
def watched(start, tmp_path):
    """A scoregate with a good service and one whose replica is not there, and the Prometheus that watches it."""
    with Replica(echo) as replica:
        gate = start({"good": service(replica.url, request_settings=ONE_SLOT), "dead": service("http://127.0.0.1:1")}, workers=2)
        with Prometheus(tmp_path, f"127.0.0.1:{gate.admin}") as prometheus:
            wait_until(lambda: prometheus.value("up") == 1)
            yield gate, prometheus


def test_promtool_has_nothing_to_say_of_the_page(watched):
    gate, _ = watched
    assert score(gate, "good") == 200
    page = gate.ask_admin("/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, timeout=10)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_prometheus_counts_what_clients_did(watched):
    """Exactly, and by whose doing it was that a request failed."""
    gate, prometheus = watched
    assert [score(gate, "good") for _ in range(GOOD)] == [200] * GOOD
    assert [score(gate, "dead") for _ in range(BAD)] == [502] * BAD
    assert [gate.request("GET", "/nothing").status for _ in range(LOST)] == [404] * LOST

    wait_until(lambda: prometheus.value("sum(scoregate_requests_total)") == GOOD + BAD + LOST)
    prometheus.scrape()  # a request is counted in several places, one after the other
    expected = {
        'sum(scoregate_requests_total{service="good", deployment="blue", code="200", fault=""})': GOOD,
        'sum(scoregate_requests_total{service="dead", code="502", fault="connect_failed"})': BAD,
        'sum(scoregate_requests_total{service="", code="404", fault="no_route"})': LOST,
        'sum(scoregate_errors_total{service="good"})': 0,
        'sum(scoregate_errors_total{service="dead", side="replica"})': BAD,
        'sum(scoregate_errors_total{service="", side="client"})': LOST,
        "sum(scoregate_errors_total)": BAD + LOST,
        'sum(scoregate_request_duration_seconds_count{service="good"})': GOOD,
        'sum(scoregate_request_duration_seconds_bucket{service="good", le="300"})': GOOD,
        'sum(scoregate_tls_handshakes_total{resumed="false"})': GOOD + BAD + LOST,
        "count(scoregate_core_cpu_seconds_total > 0)": 2,
    }
    assert {query: prometheus.value(query) for query in expected} == expected


def test_every_documented_query_returns(watched):
    gate, prometheus = watched
    for question in monitoring.questions():
        under_traffic(gate, lambda: has_number(prometheus.query(question)))
    assert prometheus.value('scoregate_slots{service="good"}') == 1


def test_every_panel_of_the_dashboard_has_something_to_show(watched):
    gate, prometheus = watched
    for title, queries in monitoring.panels().items():
        for query in queries:
            if any(name in query for name in EMPTY):
                assert prometheus.query(query) == [], title
            else:
                under_traffic(gate, lambda: prometheus.query(query))


def test_alerts_are_judged_and_one_fires_and_ends(watched):
    gate, prometheus = watched
    wait_until(lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"})
    assert {rule["name"] for rule in prometheus.rules() if rule["type"] == "alerting"} == set(monitoring.alerts())
    assert prometheus.firing("ScoregateReloadFailed") == []

    gate.file.write_text("{")
    assert gate.reload().status == 422
    (labels,) = wait_until(lambda: prometheus.firing("ScoregateReloadFailed"))
    assert (labels["unit"], labels["severity"]) == ("configuration", "warning")
    gate.configure(gate.settings)
    assert gate.reload().status == 200
    wait_until(lambda: not prometheus.firing("ScoregateReloadFailed"))
