"""Traces: every span of a request, as a collector gets them; what replicas hang beneath; what becomes of them when the
collector is away."""
import json
import ssl
import threading

import pytest

import pem
from collector import Collector
from process import wait_until
from replica import Replica
from scoregate import command, configuration, read_reply, send, service

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PATH = "/api/v1/service/iris/score"
ONE_SLOT = {"max_concurrent_requests_per_instance": 1, "max_queue_wait_ms": 10000}


def sent(flags="01", **more):
    return {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", **more}


def tracing(collector, ratio=1, **more):
    return {"endpoint": collector.url, "ratio": ratio, **more}


@pytest.fixture
def collector():
    with Collector() as one:
        yield one


def same(milliseconds, logged):
    assert abs(milliseconds - logged) < 0.002, (milliseconds, logged)


def check_against(trace, line):
    """The trace and the line of the access log tell the same."""
    assert trace.request.trace == line["trace_id"]
    assert trace.attributes["scoregate.request_id"] == line["request_id"]
    assert trace.attributes["http.response.status_code"] == line["status"]
    assert trace.attributes["scoregate.attempts"] == line["attempts"]
    assert trace.attributes.get("scoregate.side") == line.get("side")
    if "fault" in line:
        assert trace.attributes["error.type"] == line["fault"]
    same(trace.request.milliseconds, line["duration_ms"])
    same(sum(span.milliseconds for span in trace.of("queue")), line.get("queue_ms", 0))
    same(sum(span.milliseconds for span in trace.of("connect")), line.get("connect_ms", 0))
    if "first_byte_ms" in line:
        events = trace.of("model")[-1].events
        same((events["reply head"] - events["request sent"]) / 1e6, line["first_byte_ms"])


def lines(gate, count):
    return [json.loads(line) for line in gate.stdout.wait_count(count)]


def test_a_request_and_its_replica_hang_beneath_the_client(start, replica, collector):
    gate = start({"iris": service(replica.url)}, tracing=tracing(collector, 0, service_name="front"))
    answer = []
    asking = threading.Thread(target=lambda: answer.append(
        gate.request("POST", PATH + "?key=s3cret", b"{}", sent(tracestate="a=1,b=2", **{"User-Agent": "test"}))))
    asking.start()
    asked = replica.request()
    asked.body()
    asked.reply(b"{}")
    asking.join()
    assert answer[0].status == 200

    (trace,) = collector.wait(1)
    check_against(trace, *lines(gate, 1))
    request = trace.request
    assert (request.trace, request.parent, request.name, request.status) == (TRACE, SPAN, "POST /score", None)
    expected = {"http.request.method": "POST", "http.route": "/score", "url.path": PATH, "url.scheme": "https",
                "network.protocol.version": "1.1", "user_agent.original": "test", "client.address": "127.0.0.1",
                "scoregate.service": "iris", "scoregate.deployment": "blue"}
    assert expected.items() <= request.attributes.items()
    assert trace.names == ["connect", "model"]
    (model,) = trace.of("model")
    assert asked.headers.get_all("traceparent") == [f"00-{TRACE}-{model.id}-01"]
    assert asked.headers.get_all("tracestate") == ["a=1,b=2"]
    expected = {"http.request.method": "POST", "http.response.status_code": 200, "url.full": replica.url + "/score",
                "server.address": "127.0.0.1", "server.port": replica.port, "scoregate.replica": replica.url}
    assert expected.items() <= model.attributes.items()
    assert model.status is None and "http.request.resend_count" not in model.attributes

    resource = collector.resources[0]
    assert resource["service.name"] == "front" and resource["service.version"] and resource["service.instance.id"]
    _, method, target, headers, body = collector.posts[0]
    assert (method, target, headers["Content-Type"]) == ("POST", "/v1/traces", "application/json")
    assert b"s3cret" not in body
    wait_until(lambda: gate.metric("scoregate_traces_exported_total") == 1)
    assert gate.metric("scoregate_traces_dropped_total") == 0


def test_a_wait_for_a_slot(start, replica, collector):
    gate = start({"iris": service(replica.url, request_settings=ONE_SLOT)}, tracing=tracing(collector))
    with gate.tls_socket() as first, gate.tls_socket() as second:
        send(first, "POST", PATH, b"1")
        asked = replica.request()
        send(second, "POST", PATH, b"2")
        wait_until(lambda: gate.metric("scoregate_queue_depth") == 1)
        asked.body()
        asked.reply(b"{}")
        assert read_reply(first).status == 200
        asked = replica.request()
        asked.body()
        asked.reply(b"{}")
        assert read_reply(second).status == 200
    early, late = collector.wait(2)
    for trace, line in zip((early, late), lines(gate, 2)):
        check_against(trace, line)
        assert trace.request.parent is None
    assert early.names == ["connect", "model"]
    assert late.names == ["queue", "model"]
    assert late.of("queue")[0].end <= late.of("model")[0].begin
    assert early.request.trace != late.request.trace


def test_each_try_has_a_span_that_its_replica_hangs_beneath(start, collector):
    seen = {}

    def answer(status):
        def answer_one(request):
            seen[request.headers["traceparent"]] = status
            request.body()
            request.reply(b"{}", status)
        return answer_one

    with Replica(answer("503 Busy")) as busy, Replica(answer("200 OK")) as good:
        gate = start({"iris": service(busy.url, good.url)}, tracing=tracing(collector))
        for count in range(1, 20):
            assert gate.request("POST", PATH, b"{}", sent()).status == 200
            trace = collector.wait(count)[-1]
            check_against(trace, lines(gate, count)[-1])
            if trace.attributes["scoregate.attempts"] == 2:
                break
    first, second = trace.of("model")
    assert first.attributes["http.response.status_code"] == 503
    assert first.attributes["error.type"] == "503" and first.status == {"code": 2}
    assert second.attributes["http.request.resend_count"] == 1 and second.status is None
    assert trace.request.status is None
    assert seen[f"00-{TRACE}-{first.id}-01"] == "503 Busy"
    assert seen[f"00-{TRACE}-{second.id}-01"] == "200 OK"


def test_a_fault_stands_where_it_happened(start, replica, collector):
    settings = {"request_timeout_ms": 200, "on_abandon": "cancel"}
    gate = start({"iris": service(replica.url, request_settings=settings)}, tracing=tracing(collector))
    assert gate.request("POST", PATH, b"{}").fault == "request_timeout"
    assert gate.request("GET", "/api/v1/service/none/score").fault == "no_route"
    late, lost = collector.wait(2)
    for trace, line in zip((late, lost), lines(gate, 2)):
        check_against(trace, line)
    assert late.names == ["connect", "model"]
    (model,) = late.of("model")
    for span in (late.request, model):
        assert span.status == {"code": 2, "message": "request_timeout"}
        assert span.attributes["error.type"] == "request_timeout"
        assert span.attributes["scoregate.side"] == "replica"
    assert "reply head" not in model.events
    assert late.of("connect")[0].status is None
    assert lost.names == [] and lost.request.status is None  # the client's own fault
    assert lost.request.name == "GET"


def test_what_nobody_asked_for_is_not_recorded(start, replica, collector):
    gate = start({"iris": service(replica.url)}, tracing=tracing(collector, 0))
    with gate.tls_socket() as client:
        for headers in ({}, sent("00", tracestate="a=1"), sent("0x", tracestate="a=1"), sent()):
            send(client, "POST", PATH, b"{}", headers)
            asked = replica.request()
            asked.body()
            asked.reply(b"{}")
            assert read_reply(client).status == 200
            parent, state = asked.headers["traceparent"], asked.headers["tracestate"]
            if headers == sent("00", tracestate="a=1"):
                assert (parent, state) == (headers["traceparent"], "a=1")
            elif headers != sent():
                assert parent.endswith("-00") and TRACE not in parent and state is None
    gate.signal(15)  # it sends all that there is before it ends
    assert gate.wait() == 0
    (trace,) = collector.traces()
    assert trace.request.trace == TRACE


def test_a_busy_collector_gets_them_again(start, echoing, tmp_path):
    (tmp_path / "headers").write_text("X-Api-Key: k3y\n")
    with Collector(503, 429) as collector:
        gate = start({"iris": service(echoing.url)}, tracing=tracing(collector, headers_file="headers"))
        assert gate.request("POST", PATH, b"{}").status == 200
        posts = collector.wait_posts(3)
        collector.wait(1)
        assert [status for status, *_ in posts[:3]] == [503, 429, 200]
        assert len({body for *_, body in posts[:3]}) == 1
        assert {headers["X-Api-Key"] for *_, headers, _ in posts} == {"k3y"}
        wait_until(lambda: gate.metric("scoregate_traces_exported_total") == 1)
        assert gate.metric("scoregate_traces_dropped_total") == 0
        gate.stderr.wait_for(r"traces: http://127\.0\.0\.1:\d+ does not take them: it answers 503")
        gate.stderr.wait_for("the collector takes them again")
        assert "k3y" not in gate.stderr.text


def test_a_collector_that_refuses_costs_its_traces_and_no_request(start, echoing):
    with Collector(*[400] * 100) as collector:
        gate = start({"iris": service(echoing.url)}, tracing=tracing(collector))
        assert gate.request("POST", PATH, b"{}").status == 200
        wait_until(lambda: gate.metric("scoregate_traces_dropped_total") == 1)
        assert gate.request("POST", PATH, b"{}").status == 200


def test_the_last_traces_are_sent_before_it_ends(start, echoing, collector):
    gate = start({"iris": service(echoing.url)}, tracing=tracing(collector))
    for _ in range(300):
        assert gate.request("POST", PATH, b"{}").status == 200
    gate.signal(15)
    assert gate.wait() == 0
    assert len(collector.traces()) == 300


def test_a_collector_over_tls_has_to_prove_itself(start, echoing, tmp_path):
    for name in ("collector", "other"):
        (tmp_path / name).mkdir()
    pair, other = (pem.self_signed(tmp_path / name) for name in ("collector", "other"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with Collector(tls=context) as collector:
        gate = start({"iris": service(echoing.url)}, tracing=tracing(collector, ca_file=str(pair.ca)))
        assert gate.request("POST", PATH, b"{}").status == 200
        collector.wait(1)
        gate = start({"iris": service(echoing.url)}, tracing=tracing(collector, ca_file=str(other.ca)))
        assert gate.request("POST", PATH, b"{}").status == 200
        gate.stderr.wait_for(r"traces: https://localhost:\d+ does not take them: no connection")
        gate.stderr.wait_for(r"tracing.endpoint https://localhost:\d+: no TLS with it: .*check tracing.ca_file")
        assert len(collector.posts) == 1


def test_a_collector_that_is_gone_does_not_hold_up_the_end(start, echoing):
    with Replica() as silent:  # takes connections and answers nothing
        gate = start({"iris": service(echoing.url)}, tracing={"endpoint": silent.url, "ratio": 1})
        assert gate.request("POST", PATH, b"{}").status == 200
        silent.request()
        gate.signal(15)
        assert gate.wait() == 0


def test_check_reads_what_tracing_names(tmp_path, echoing):
    file = tmp_path / "scoregate.json"
    settings = configuration({"iris": service(echoing.url)}, None, allowInsecureConnections=True,
                             tracing={"endpoint": "https://collector", "ratio": 1, "ca_file": "absent.pem", "headers_file": "absent"})
    file.write_text(json.dumps(settings))
    done = command("check", "--config", file)
    assert done.returncode == 2
    assert "/tracing/ca_file: " in done.stdout + done.stderr and "/tracing/headers_file: " in done.stdout + done.stderr
