"""bench/growth: every series works, whatever is not as it says fails the turn, and its verdicts follow from its figures."""
import dataclasses
import os

import pytest
from test_peers import model_stub, scoregate_missing, servers, slow_model  # noqa: F401 (two fixtures)

from harness import growth
from harness.growth import SERIES, Row
from harness.load import begin_wrk, wrk_result

needs_scoregate = pytest.mark.skipif(scoregate_missing, reason="no SCOREGATE_BINARY and no release build")
CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def run(model_stub, slow_model, tmp_path, monkeypatch):
    """One short round of a series with one size."""
    monkeypatch.setenv("MODEL_STUB", str(model_stub))
    monkeypatch.setenv("SLOW_MODEL", str(slow_model))

    def run_one(name, size, **other):
        series = dataclasses.replace(SERIES[name], sizes=(size,), listeners=min(SERIES[name].listeners, size), **other)
        [one] = growth.run(series, tmp_path, 1, 1, CORES[-1], CORES[0], print)[size]
        return one
    return run_one


@needs_scoregate
@pytest.mark.parametrize("name", SERIES)
def test_every_series_works(run, name):
    one = run(name, {"fields": 20, "queue": 100}.get(name, 3))
    assert one["problems"] == []
    assert one["requests"] > 0 and one["cpu_us"] > 1 and one["pss_bytes"] > 1 << 20
    if SERIES[name].reloads:
        assert 0 < one["start_s"] < 10 and 0 < one["reload_s"] < 10


@needs_scoregate
def test_a_wrong_reply_fails_the_turn(run):
    [problem] = run("services", 2, row=Row(reply_bytes=114))["problems"]
    assert "wrong status or length" in problem


class NoneIdle(growth.IdleConnections):
    def fill(self):
        self.size, size = 0, self.size
        super().fill()
        self.size = size


class OtherName(growth.Services):
    """The ids of the requests are those of other services."""

    def settings(self):
        settings = super().settings()
        self.targets.write_text(self.targets.read_text().replace("s0\n", "s1\n"))
        return settings


class OneIsSpared(growth.Replicas):
    def service(self):
        service = super().service()
        service["deployments"]["blue"]["replicas"].pop()
        return service


class LastIsMissing(growth.Certificates):
    def settings(self):
        settings = super().settings()
        settings["certificates"].pop()
        return settings


class ShortQueue(growth.Queue):
    def check(self, busy):
        self.size *= 2
        try:
            return super().check(busy)
        finally:
            self.size //= 2


@needs_scoregate
@pytest.mark.parametrize("name, kind, says", [
    ("connections", NoneIdle, "64 connections, 20 idle ones were to be beside 64 busy ones"),
    ("services", OtherName, "requests went to another service"),
    ("replicas", OneIsSpared, "19 replicas of 20 had requests"),
    ("certificates", LastIsMissing, "another certificate is served"),
    ("queue", ShortQueue, "requests waited and not"),
])
def test_what_is_not_as_the_series_says_fails_the_turn(run, name, kind, says):
    problems = run(name, 20, kind=kind, reloads=False)["problems"]
    assert len(problems) == 1 and says in problems[0], problems


def test_the_load_sends_as_many_fields_as_it_is_told(model_stub, tmp_path):
    heads = tmp_path / "heads"
    stub = servers.Stub(model_stub, tmp_path, heads=heads)
    try:
        for fields in (0, 20):
            wrk_result(begin_wrk(Row(connections=1), f"http://127.0.0.1:{stub.port}/score", 1, CORES[0], FIELDS=str(fields)))
    finally:
        stub.process.stop()
    counts = {len(head.split("\n", 1)[1].strip().splitlines()) - 1 for head in heads.read_text().split("\n\n") if head.strip()}
    assert counts == {6, 20}


def spread_of(*values):
    return [{"median": value, "min": value - noise, "max": value + noise} for value, noise in values]


@pytest.mark.parametrize("values, verdict", [
    ([(20, 0), (25, 0), (21, 0)], "flat"),
    ([(20, 2), (21, 0), (25, 0)], "flat"),  # within 10 % and what the rounds of the smallest differ by
    ([(20, 0), (25, 0), (26, 0)], "step"),
    ([(20, 0), (22, 0), (30, 0)], "grows"),
    ([(20, 0), (21.5, 2), (25, 0)], "grows"),  # the second size is no dearer than the first
    ([(20, 0), (30, 0)], "grows"),
])
def test_what_a_request_costs_is_judged(values, verdict):
    found = growth.growth(dict(zip((1, 10, 1000), spread_of(*values))))
    assert found["verdict"] == verdict
    if len(values) == 3:
        assert found["per_item_us"] == pytest.approx((values[-1][0] - values[0][0]) / 999)


@pytest.mark.parametrize("cpu_seconds, verdict", [
    ({1: 0.001, 100: 0.001, 1000: 0.019}, "short"),
    ({1: 0.001, 100: 0.1, 1000: 1.2}, "linear"),
    ({1: 0.001, 100: 0.1, 1000: 1.4}, "worse than linear"),
    ({1: 0.001, 100: 0.001, 1000: 1.0}, "worse than linear"),
    ({1: 0.02, 100: 0.02, 1000: 0.02}, "linear"),
])
def test_a_reload_is_judged(cpu_seconds, verdict):
    assert growth.reload_growth(cpu_seconds)["verdict"] == verdict
