"""More clients than connections, descriptors or memory suffice for: new ones are turned away or the idlest make way, the
admin port answers all the time, requests under way go on, and it recovers by itself.
"""
import contextlib
import http.client
import resource

import pytest

from flood import PATIENT, Flood, GoodClients, flooded_service, wait_connections
from process import Memory, wait_until
from scoregate import exchange

MIB = 1 << 20
PATH = "/api/v1/service/model/score"


@pytest.fixture
def begin(start, quick_replica):
    def begin_one(**settings):
        return start(flooded_service(quick_replica), **({"workers": 2, "access_log": None, "timeouts": PATIENT} | settings))
    return begin_one


def refused(gate, reason):
    return gate.metric("scoregate_connections_refused_total", reason=reason)


def evicted(gate, reason):
    return gate.metric("scoregate_connections_evicted_total", reason=reason)


def short_of(gate, what):
    return gate.metric("scoregate_overload_state", resource=what) == 1


def scores(gate):
    try:
        return gate.request("GET", PATH).body == b"ok"
    except (OSError, http.client.HTTPException):
        return False


def get_in(gate, count):
    """Whether so many new clients are served, each while those before it are there."""
    with contextlib.ExitStack() as those_before:
        try:
            return all(exchange(those_before.enter_context(gate.tls_socket()), "GET", PATH, keep=True).body == b"ok"
                       for _ in range(count))
        except (OSError, http.client.HTTPException):
            return False


def test_a_lack_of_descriptors_keeps_new_clients_out_and_nothing_else(begin):
    """Each client of the flood takes two; those that are served need a new one for each request."""
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))}
    gate = begin(options=few)
    with GoodClients(gate, keep=[True] * 4, path="last") as good:
        good.wait_served()
        with Flood("expect", gate, 300) as flood:
            flood.wait_held()
            good.wait_served()
            assert refused(gate, "descriptors") > 0
            wait_until(lambda: not scores(gate) and short_of(gate, "descriptors"))
            assert gate.status()["version"]
            good.wait_served()
        wait_until(lambda: scores(gate))
        wait_until(lambda: not short_of(gate, "descriptors"))
    with GoodClients(gate) as good:
        good.wait_served()


def test_the_idlest_connections_make_way(begin):
    gate = begin(limits={"max_connections": 200})
    with Flood("idle", gate, 200) as flood:
        flood.wait_held()
        wait_until(lambda: get_in(gate, 20))  # until so many have been idle for long enough
        with GoodClients(gate, keep=[False] * 4) as good:
            good.wait_served(20)
        assert evicted(gate, "max_connections") >= 20
        assert gate.metric("scoregate_connections") <= 200
        assert gate.status()["version"]


def test_the_slowest_handshakes_make_way(begin):
    gate = begin(limits={"max_handshakes": 100})
    with GoodClients(gate, keep=[True] * 4) as good:
        good.wait_served()
        with Flood("flight", gate, 1000) as flood:
            flood.wait_held()
            good.wait_served()
            wait_until(lambda: scores(gate))  # until the first of them have been slow for long enough
        assert evicted(gate, "max_handshakes") > 0
        assert evicted(gate, "max_handshakes") + refused(gate, "max_handshakes") >= 900
    assert refused(gate, "max_connections") == 0


@pytest.mark.parametrize("state", ["idle", "flight"])
def test_a_lack_of_memory_keeps_new_clients_out_until_there_is_enough(begin, state):
    """Idle connections are closed for it; handshakes end by their own limit."""
    gate = begin(limits={"max_memory_bytes": 64 * MIB}, timeouts=PATIENT | {"handshake_ms": 3000})
    memory = Memory(gate.pid)
    with GoodClients(gate, keep=[True] * 4) as good, Flood(state, gate, 4000):
        wait_until(lambda: refused(gate, "memory") > 0, timeout=30)
        assert gate.status()["version"]
        good.wait_served()
        if state == "idle":
            wait_until(lambda: evicted(gate, "memory") > 0)
        wait_until(lambda: scores(gate), timeout=20)  # the flood goes on
    assert memory.growth < 96 * MIB
    wait_connections(gate, 0)
    wait_until(lambda: not short_of(gate, "memory"))
    with GoodClients(gate) as good:
        good.wait_served()
