// Spans of requests: that they say what the access log says, and that replicas hang beneath them.
#include "component/fixture.hpp"

#include <cmath>
#include <set>

using namespace scoregate;
using namespace scoregate::tests;
using telemetry::stage;

namespace {

const std::string trace_of_client = "0af7651916cd43dd8448eb211c80319c", span_of_client = "b7ad6b7169203331";

void trace_all(config::settings& in) {
    in.tracing.emplace();
    in.tracing->ratio = 1;
}

config::settings traced(std::initializer_list<const scripted_replica*> replicas) {
    auto made = settings_of({service_of("iris", replicas)});
    trace_all(made);
    made.limits.request_buffer_bytes = 65536;
    return made;
}

std::string sent_by(const std::string& flags) {
    return "traceparent: 00-" + trace_of_client + "-" + span_of_client + "-" + flags + "\r\n";
}

template <class Id>
std::string text_of(const Id& id) {
    return {id.data(), id.size()};
}

std::string stages(const telemetry::trace& of) {
    std::string text;
    for (const auto& each : of.stages) {
        text += each.what == stage::queue ? "queue" : each.what == stage::connect ? "connect" : "model";
        if (each.why != fault::none) text += ":" + std::string(base::token(each.why));
        if (each.status != 0) text += ":" + std::to_string(each.status);
        text += " ";
    }
    return text;
}

const telemetry::stage_span& model_of(const telemetry::trace& of, std::size_t number = 0) {
    for (const auto& each : of.stages)
        if (each.what == stage::model && number-- == 0) return each;
    throw wire_error("no such try in the trace");
}

// What the log has in milliseconds.
std::int64_t micros(const nlohmann::json& milliseconds) { return std::llround(milliseconds.get<double>() * 1000); }
std::int64_t micros(std::chrono::nanoseconds span) { return span.count() / 1000; }

std::chrono::nanoseconds together(const telemetry::trace& of, stage what) {
    std::chrono::nanoseconds sum{0};
    for (const auto& each : of.stages)
        if (each.what == what) sum += each.end - each.begin;
    return sum;
}

// Whatever became of the request.
void check_against(const telemetry::trace& of, const nlohmann::json& record) {
    INFO(record.dump());
    CHECK(record["trace_id"] == text_of(of.id));
    CHECK(record["request_id"] == of.request_id);
    CHECK(record["status"] == of.status);
    CHECK(record.value("fault", "") == std::string(base::token(of.fault)));
    CHECK(record["attempts"] == of.attempts);
    CHECK(of.service == record.value("service", ""));
    CHECK(of.deployment == record.value("deployment", ""));
    CHECK(micros(of.ended - of.began) == micros(record["duration_ms"]));
    if (record.contains("queue_ms")) CHECK(micros(together(of, stage::queue)) == micros(record["queue_ms"]));
    if (record.contains("connect_ms")) CHECK(micros(together(of, stage::connect)) == micros(record["connect_ms"]));
    auto before = of.began;
    std::set<std::string> ids{text_of(of.own)};
    for (const auto& each : of.stages) { // one after the other, within the request
        CHECK(each.begin >= before);
        CHECK(each.end >= each.begin);
        CHECK(each.end <= of.ended);
        before = each.begin;
        CHECK(ids.insert(text_of(each.id)).second);
    }
}

} // namespace

TEST_CASE("a sampled trace goes on, and the replica hangs beneath the model's span") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), trace_all);
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}", sent_by("01") + "tracestate: a=1,b=2\r\n")).status() == 200);
    const auto trace = world.proxy.next_trace();
    const auto record = world.proxy.next_record();
    check_against(*trace, record);
    CHECK(stages(*trace) == "connect model:200 ");
    CHECK(text_of(trace->id) == trace_of_client);
    REQUIRE(trace->parent);
    CHECK(text_of(*trace->parent) == span_of_client);
    CHECK(trace->route == "/score");
    CHECK(trace->scheme == (what == over::tls ? "https" : "http"));
    CHECK(trace->method == "POST");
    CHECK(trace->path == score);

    const auto& model = model_of(*trace);
    CHECK(world.replica.request(0).field("traceparent") == "00-" + trace_of_client + "-" + text_of(model.id) + "-01");
    CHECK(world.replica.request(0).field("tracestate") == "a=1,b=2");
    CHECK(record["replica"] == model.replica);
    CHECK(model.tries_before == 0);
    REQUIRE(model.request_sent);
    REQUIRE(model.head);
    CHECK(micros(*model.head - *model.request_sent) == micros(record["first_byte_ms"]));
    CHECK(*model.request_sent >= model.begin);
    CHECK(*model.head <= model.end);

    // On a connection that is there already.
    client.ask(post("{}"));
    const auto next = world.proxy.next_trace();
    check_against(*next, world.proxy.next_record());
    CHECK(stages(*next) == "model:200 ");
    CHECK_FALSE(next->parent); // begun here
    CHECK(world.replica.request(1).field("traceparent") ==
          "00-" + text_of(next->id) + "-" + text_of(model_of(*next).id) + "-01");
    CHECK_FALSE(text_of(next->id) == trace_of_client);
}

TEST_CASE("what its beginner does not record is not recorded, and passes as it came") {
    one_replica world(over::plain, always(ok("{}")), trace_all);
    test_client client(world.proxy.port(), world.proxy.terms());
    client.ask(post("{}", sent_by("00")));
    client.ask(post("{}"));
    CHECK(world.replica.request(0).field("traceparent") == "00-" + trace_of_client + "-" + span_of_client + "-00");
    CHECK(text_of(world.proxy.next_trace()->id) == world.replica.request(1).field("traceparent").substr(3, 32));
}

TEST_CASE("with a ratio of 0 only what clients record is recorded") {
    one_replica world(over::plain, always(ok("{}")), [](config::settings& in) { in.tracing.emplace(); });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.ask(post("{}"));
    client.ask(post("{}", sent_by("01")));
    CHECK(world.replica.request(0).field("traceparent").substr(52) == "-00");
    CHECK(text_of(world.proxy.next_trace()->id) == trace_of_client);
}

TEST_CASE("a wait for a slot is a span") {
    event go;
    scripted_replica replica(answer_after(go));
    auto settings = traced({&replica});
    settings.services[0].deployments[0].settings.max_concurrent_requests = 1;
    settings.services[0].deployments[0].settings.max_queue_wait = 60s;
    checked_proxy proxy(over::plain, settings);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("first"));
    replica.request(0);
    second.send(post("second"));
    wait_until([&] { return proxy.state_of("iris").queued == 1; });
    go.set();
    CHECK(first.read_reply().status() == 200);
    CHECK(second.read_reply().status() == 200);
    const auto early = proxy.next_trace(), late = proxy.next_trace();
    check_against(*early, proxy.next_record());
    check_against(*late, proxy.next_record());
    CHECK(stages(*early) == "connect model:200 ");
    CHECK(stages(*late) == "queue model:200 ");
    CHECK(late->stages[0].end <= late->stages[1].begin);
}

TEST_CASE("a wait in vain says so") {
    event go;
    scripted_replica replica(answer_after(go));
    auto settings = traced({&replica});
    settings.services[0].deployments[0].settings.max_concurrent_requests = 1;
    settings.services[0].deployments[0].settings.max_queue_wait = 50ms;
    checked_proxy proxy(over::plain, settings);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("first"));
    replica.request(0);
    check_fault(second.ask(post("second")), 503, "queue_timeout", "proxy");
    const auto trace = proxy.next_trace();
    check_against(*trace, proxy.next_record());
    CHECK(stages(*trace) == "queue:queue_timeout ");
    go.set();
    CHECK(first.read_reply().status() == 200);
}

TEST_CASE("each try has a span, and its replica gets that one's id") {
    scripted_replica busy(always("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")), good(echo);
    checked_proxy proxy(over::plain, traced({&busy, &good}));
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 20; ++i) {
        const auto reply = client.ask(post("whole body", sent_by("01")));
        CHECK(reply.status() == 200);
        CHECK(reply.body == "whole body");
        const auto trace = proxy.next_trace();
        check_against(*trace, proxy.next_record());
        if (trace->attempts == 1) continue;
        CHECK(trace->attempts == 2);
        const auto &first = model_of(*trace, 0), &second = model_of(*trace, 1);
        CHECK(first.status == 503);
        CHECK(first.why == fault::none);
        CHECK(second.status == 200);
        CHECK(second.tries_before == 1);
        const auto last = [](const scripted_replica& of) { return of.request(of.requests() - 1).field("traceparent"); };
        CHECK(last(busy) == "00-" + trace_of_client + "-" + text_of(first.id) + "-01");
        CHECK(last(good) == "00-" + trace_of_client + "-" + text_of(second.id) + "-01");
        return;
    }
    FAIL("no request was sent to the busy one first");
}

TEST_CASE("a replica's failure stands in the span of its try") {
    scripted_replica replica([](conversation& with) {
        with.read_request();
        with.close();
    });
    checked_proxy proxy(over::plain, traced({&replica}));
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("{}")), 502, "replica_closed", "replica");
    const auto trace = proxy.next_trace();
    check_against(*trace, proxy.next_record());
    CHECK(stages(*trace) == "connect model:replica_closed ");
}

TEST_CASE("a connection that is refused is a span without one of a model; what never gets so far has none") {
    auto settings = traced({});
    settings.services[0].deployments[0].replicas.push_back(replica_at(refusing_port()));
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("{}")), 502, "connect_failed", "replica");
    const auto trace = proxy.next_trace();
    check_against(*trace, proxy.next_record());
    CHECK(stages(*trace).starts_with("connect:connect_failed "));
    CHECK(stages(*trace).find("model") == std::string::npos);

    check_fault(client.ask(get("/nowhere")), 404, "no_route", "client");
    const auto lost = proxy.next_trace();
    check_against(*lost, proxy.next_record());
    CHECK(stages(*lost).empty());
    CHECK(lost->route.empty());
}
