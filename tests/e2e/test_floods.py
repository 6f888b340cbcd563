"""Thousands of clients that mean no good, in every state that they can keep a connection in: others are served as ever,
memory stays under what docs/limits.md says of that state, and everything is given back when they have gone.
"""
import contextlib
import json
import re

import pytest

from flood import PATIENT, Flood, GoodClients, descriptors, flooded_service, wait_connections
from hostile import STATES
from process import ROOT, Memory, wait_until
from scoregate import service

KIB, MIB = 1 << 10, 1 << 20


def documented():
    """The table of docs/limits.md: its first column's name to its column "At most", as a sum of KiB and of settings."""
    page = (ROOT / "docs/limits.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(?:[^|]*\|){3} ([^|]+) \|", page, re.MULTILINE)
    defaults = json.loads((ROOT / "config/scoregate.schema.json").read_text())["properties"]["limits"]["properties"]

    def bytes_of(term):
        if size := re.fullmatch(r"(\d+) KiB", term):
            return int(size.group(1)) * KIB
        return defaults[re.fullmatch(r"`(\w+)`", term).group(1)]["default"]

    return {name: sum(map(bytes_of, most.split(" + "))) for name, most in rows}


MOST_BYTES = documented()
# TLS costs the clients time, and what nobody reads the kernel memory.
COUNTS = {"silent": 4000, "hello": 4000, "flight": 4000, "long_pipeline": 500}
AS_FAST_AS_THEY_MUST = {"fast_upload", "fast_reader"}


@pytest.fixture
def begin(start, quick_replica):
    """begin(**settings): a scoregate that has served before, so that what it keeps is there, and that lets clients read
    as slowly as they like."""
    def begin_one(limits=None, keep=(True, False, True, False), **settings):
        gate = start(flooded_service(quick_replica), workers=2, access_log=None,
                     limits={"min_reply_rate": 0} | (limits or {}), **settings)
        with GoodClients(gate, keep) as good:
            good.wait_served()
        wait_connections(gate, 0)
        return gate
    return begin_one


def test_the_page_has_every_state():
    assert {*MOST_BYTES, "collected", "renegotiation"} == {*STATES}


@pytest.mark.parametrize("state", MOST_BYTES)
def test_thousands_harm_nobody(begin, state):
    gate = begin(timeouts=PATIENT)
    memory, descriptors_before = Memory(gate.pid), descriptors(gate)
    count = COUNTS.get(state, 2000)
    with GoodClients(gate) as good, Flood(state, gate, count) as flood:
        flood.wait_held()
        good.wait_served()
        assert gate.metric("scoregate_connections") >= count
        assert gate.status()["version"]
        assert memory.growth / count < MOST_BYTES[state]
    wait_connections(gate, 0)
    wait_until(lambda: descriptors(gate) <= descriptors_before)


def test_what_a_flood_took_serves_the_next(begin):
    """All states at once, again and again: memory that was freed is used again."""
    gate = begin(timeouts=PATIENT)
    memory, descriptors_before, grown = Memory(gate.pid), descriptors(gate), []
    for _ in range(3):
        with GoodClients(gate) as good, contextlib.ExitStack() as floods:
            for flood in [floods.enter_context(Flood(state, gate, 150)) for state in MOST_BYTES]:
                flood.wait_held()
            good.wait_served()
        wait_connections(gate, 0)
        wait_until(lambda: descriptors(gate) <= descriptors_before)
        grown.append(memory.growth)
    assert grown[-1] < 1.3 * grown[0], grown  # holes between what is in use cost a part; from the eighth on it stays


def test_each_is_ended_by_its_limit(begin):
    gate = begin(timeouts={name: 500 for name in PATIENT})
    with contextlib.ExitStack() as floods:
        states = MOST_BYTES.keys() - AS_FAST_AS_THEY_MUST
        for flood in [floods.enter_context(Flood(state, gate, 100)) for state in states]:
            flood.wait_ended()
        wait_connections(gate, 0)


def test_an_attempt_to_renegotiate_is_the_last(begin):
    gate = begin(timeouts=PATIENT)
    memory, count = Memory(gate.pid), 2000
    with GoodClients(gate) as good, Flood("renegotiation", gate, count) as flood:
        flood.wait_ended()
        good.wait_served()
    wait_connections(gate, 0)
    assert memory.growth / count < MOST_BYTES["flight"]


def test_a_connection_ends_with_its_last_request(begin):
    once = [False] * 4
    gate = begin(limits={"max_requests_per_connection": 4}, keep=once, timeouts=PATIENT)
    with GoodClients(gate, once) as good, Flood("requests", gate, 500) as flood:
        flood.wait_ended()
        good.wait_served()
    wait_connections(gate, 0)


def test_a_slow_body_ends_and_one_that_keeps_the_rate_goes_on(begin):
    gate = begin(limits={"min_body_rate": 1000}, timeouts=PATIENT)
    with GoodClients(gate) as good, Flood("fast_upload", gate, 500) as fast, Flood("upload", gate, 500) as slow:
        fast.wait_held()
        slow.wait_ended()
        assert gate.metric("scoregate_requests_total", fault="client_timeout") == 500
        assert gate.metric("scoregate_in_flight", service="model", deployment="blue") >= 500
        good.wait_served()


def test_a_slow_reader_ends_and_one_that_keeps_the_rate_goes_on(begin):
    gate = begin(limits={"min_reply_rate": 1000}, timeouts=PATIENT)
    with GoodClients(gate) as good, Flood("fast_reader", gate, 500) as fast, Flood("slow_reader", gate, 500) as slow:
        fast.wait_held()
        slow.wait_ended()
        assert gate.metric("scoregate_requests_total", fault="client_timeout") == 500
        assert gate.metric("scoregate_connections") >= 500
        good.wait_served()


def test_bodies_that_never_end_share_their_memory(begin):
    """Those that it does not suffice for are refused; bodies of a few KiB, as the good clients', need none of it."""
    most = 16 * MIB
    gate = begin(limits={"buffer_memory_bytes": most}, timeouts=PATIENT)
    memory = Memory(gate.pid)
    with GoodClients(gate) as good, Flood("collected", gate, 2000) as flood:
        flood.wait_held()
        good.wait_served()
        wait_until(lambda: gate.metric("scoregate_requests_total", fault="overloaded") > 1000)
        assert memory.growth < most + 2000 * 96 * KIB  # those that were refused linger; 290 MiB if none were
    wait_connections(gate, 0)


def test_connections_that_come_and_go(begin):
    gate = begin()
    memory, descriptors_before = Memory(gate.pid), descriptors(gate)
    with GoodClients(gate) as good, Flood("churn", gate, 0) as flood:
        flood.stdout.wait_for("^5000 connections", timeout=60)
        good.wait_served()
    wait_connections(gate, 0)
    wait_until(lambda: descriptors(gate) <= descriptors_before)
    assert memory.growth < 8 * MIB


def test_tickets_of_others_are_worth_nothing(begin, start, tmp_path):
    (tmp_path / "other").mkdir()
    other = start({"model": service("http://127.0.0.1:1")}, directory=tmp_path / "other")
    gate = begin()
    full = gate.metric("scoregate_tls_handshakes_total", resumed="false")
    memory = Memory(gate.pid)
    with GoodClients(gate) as good, Flood("idle", gate, 2000, other=other) as flood:
        flood.wait_held()
        good.wait_served()
        assert gate.metric("scoregate_tls_handshakes_total", resumed="false") >= full + 2000
        assert gate.metric("scoregate_tls_handshakes_total", resumed="true") == 0
        assert memory.growth / 2000 < MOST_BYTES["idle"]
