// Against documents written by hand from the OTLP specification.
#include "telemetry/otlp.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;
using base::fault;
using nlohmann::json;

namespace {

const std::chrono::steady_clock::time_point start{1000s};

template <std::size_t Size>
std::array<char, Size> id(std::string_view text) {
    std::array<char, Size> made{};
    REQUIRE(text.size() == Size);
    std::copy(text.begin(), text.end(), made.begin());
    return made;
}

trace scored() {
    trace made;
    made.began_at = std::chrono::system_clock::time_point(1544712660s + 300ms);
    made.began = start;
    made.ended = start + 50ms;
    made.id = id<32>("5b8efff798038103d269b633813fc60c");
    made.own = id<16>("eee19b7ec3c1b174");
    made.method = "POST";
    made.path = "/api/v1/service/iris/score";
    made.scheme = "https";
    made.route = "/score";
    made.replica_path = "/score";
    made.status = 200;
    return made;
}

stage_span model_of(const trace&) {
    stage_span made;
    made.what = stage::model;
    made.id = id<16>("eee19b7ec3c1b175");
    made.begin = start + 10ms;
    made.end = start + 40ms;
    made.replica = "http://127.0.0.1:5001";
    made.status = 200;
    return made;
}

json encoded(trace one) {
    trace_log::traces all;
    all.push_back(std::make_unique<const trace>(std::move(one)));
    return json::parse(otlp_json(all, {"front", "0.1.0", "run-1"}));
}

json spans_of(trace one) { return encoded(std::move(one))["resourceSpans"][0]["scopeSpans"][0]["spans"]; }

// The value of an attribute as it is encoded; null: it is not there.
json attribute(const json& span, const std::string& key) {
    for (const auto& each : span["attributes"])
        if (each["key"] == key) return each["value"];
    return {};
}

} // namespace

TEST_CASE("a request that did nothing else is one span of a server") {
    auto one = scored();
    one.protocol = "HTTP/1.1";
    one.client_ip = "203.0.113.7";
    one.service = "iris";
    one.request_id = "0b1c";
    one.bytes_in = 12345678901234567890U;
    CHECK(encoded(one) == R"({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "front"}},
            {"key": "service.version", "value": {"stringValue": "0.1.0"}},
            {"key": "service.instance.id", "value": {"stringValue": "run-1"}}]},
        "scopeSpans": [{
            "scope": {"name": "scoregate", "version": "0.1.0"},
            "spans": [{
                "traceId": "5b8efff798038103d269b633813fc60c",
                "spanId": "eee19b7ec3c1b174",
                "name": "POST /score",
                "kind": 2,
                "startTimeUnixNano": "1544712660300000000",
                "endTimeUnixNano": "1544712660350000000",
                "attributes": [
                    {"key": "http.request.method", "value": {"stringValue": "POST"}},
                    {"key": "url.path", "value": {"stringValue": "/api/v1/service/iris/score"}},
                    {"key": "url.scheme", "value": {"stringValue": "https"}},
                    {"key": "http.route", "value": {"stringValue": "/score"}},
                    {"key": "network.protocol.version", "value": {"stringValue": "1.1"}},
                    {"key": "http.response.status_code", "value": {"intValue": "200"}},
                    {"key": "client.address", "value": {"stringValue": "203.0.113.7"}},
                    {"key": "scoregate.service", "value": {"stringValue": "iris"}},
                    {"key": "scoregate.request_id", "value": {"stringValue": "0b1c"}},
                    {"key": "scoregate.attempts", "value": {"intValue": "0"}},
                    {"key": "scoregate.bytes_in", "value": {"intValue": "9223372036854775807"}},
                    {"key": "scoregate.bytes_out", "value": {"intValue": "0"}}]}]}]}]})"_json);
}

TEST_CASE("a model's span is a client's, beneath the request's") {
    auto one = scored();
    one.parent = id<16>("00f067aa0ba902b7");
    auto model = model_of(one);
    model.request_sent = start + 11ms;
    model.head = start + 39ms;
    model.tries_before = 1;
    one.stages.push_back(model);
    const auto spans = spans_of(one);
    REQUIRE(spans.size() == 2);
    CHECK(spans[0]["parentSpanId"] == "00f067aa0ba902b7");
    CHECK(spans[1] == R"({
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b175",
        "parentSpanId": "eee19b7ec3c1b174",
        "name": "POST",
        "kind": 3,
        "startTimeUnixNano": "1544712660310000000",
        "endTimeUnixNano": "1544712660340000000",
        "events": [
            {"name": "request sent", "timeUnixNano": "1544712660311000000"},
            {"name": "reply head", "timeUnixNano": "1544712660339000000"}],
        "attributes": [
            {"key": "scoregate.stage", "value": {"stringValue": "model"}},
            {"key": "scoregate.replica", "value": {"stringValue": "http://127.0.0.1:5001"}},
            {"key": "server.address", "value": {"stringValue": "127.0.0.1"}},
            {"key": "server.port", "value": {"intValue": "5001"}},
            {"key": "http.request.method", "value": {"stringValue": "POST"}},
            {"key": "url.full", "value": {"stringValue": "http://127.0.0.1:5001/score"}},
            {"key": "http.request.resend_count", "value": {"intValue": "1"}},
            {"key": "http.response.status_code", "value": {"intValue": "200"}}]})"_json);
}

TEST_CASE("waits are internal spans; one that came to nothing says why") {
    auto one = scored();
    stage_span queue;
    queue.id = id<16>("eee19b7ec3c1b176");
    queue.begin = start;
    queue.end = start + 5ms;
    queue.why = fault::queue_timeout;
    auto connect = queue;
    connect.what = stage::connect;
    connect.why = fault::none;
    connect.replica = "https://[::1]";
    one.stages = {queue, connect};
    const auto spans = spans_of(one);
    REQUIRE(spans.size() == 3);
    CHECK(spans[1] == R"({
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b176",
        "parentSpanId": "eee19b7ec3c1b174",
        "name": "queue",
        "kind": 1,
        "startTimeUnixNano": "1544712660300000000",
        "endTimeUnixNano": "1544712660305000000",
        "status": {"code": 2, "message": "queue_timeout"},
        "attributes": [
            {"key": "scoregate.stage", "value": {"stringValue": "queue"}},
            {"key": "error.type", "value": {"stringValue": "queue_timeout"}},
            {"key": "scoregate.side", "value": {"stringValue": "proxy"}}]})"_json);
    CHECK(spans[2]["name"] == "connect");
    CHECK_FALSE(spans[2].contains("status"));
    CHECK(attribute(spans[2], "server.address") == json{{"stringValue", "::1"}});
    CHECK(attribute(spans[2], "server.port") == json{{"intValue", "443"}});
}

TEST_CASE("what is an error of a request, and what is not") {
    struct row {
        fault why;
        std::uint16_t status;
        bool error;
        std::string type;
    };
    const auto each = GENERATE(values<row>({
        {fault::none, 200, false, ""},
        {fault::none, 404, false, ""}, // the model's
        {fault::none, 503, true, "503"},
        {fault::auth_wrong, 401, false, "auth_wrong"}, // a client's own
        {fault::client_gone, 499, false, "client_gone"},
        {fault::queue_full, 503, true, "queue_full"},
        {fault::request_timeout, 504, true, "request_timeout"},
        {fault::replica_closed, 424, true, "replica_closed"}, // as managed endpoints tell it
        {fault::stream_broken, 200, true, "stream_broken"},   // after a good head
    }));
    INFO(each.type << " " << each.status);
    auto one = scored();
    one.fault = each.why;
    one.status = each.status;
    const auto span = spans_of(one)[0];
    CHECK(span.contains("status") == each.error);
    if (each.error) CHECK(span["status"]["code"] == 2);
    CHECK(attribute(span, "error.type") == (each.type.empty() ? json() : json{{"stringValue", each.type}}));
}

TEST_CASE("a replica's 4xx is an error of its span, though not of the request's") {
    auto one = scored();
    one.status = 404;
    auto model = model_of(one);
    model.status = 404;
    one.stages = {model};
    const auto spans = spans_of(one);
    CHECK_FALSE(spans[0].contains("status"));
    CHECK(spans[1]["status"] == json{{"code", 2}});
    CHECK(attribute(spans[1], "error.type") == json{{"stringValue", "404"}});
}

TEST_CASE("methods, texts and replicas of any kind") {
    auto one = scored();
    one.method = "BREW";
    one.known_method = false;
    one.route.clear();
    one.user_agent = "caf\xe9 \"quoted\"\n";
    auto model = model_of(one);
    model.replica = "http+unix:///run/model.sock";
    one.stages = {model};
    const auto spans = spans_of(one);
    CHECK(spans[0]["name"] == "HTTP");
    CHECK(attribute(spans[0], "http.request.method") == json{{"stringValue", "_OTHER"}});
    CHECK(attribute(spans[0], "http.request.method_original") == json{{"stringValue", "BREW"}});
    CHECK(attribute(spans[0], "user_agent.original") == json{{"stringValue", "caf\xef\xbf\xbd \"quoted\"\n"}});
    CHECK(spans[1]["name"] == "HTTP");
    CHECK(attribute(spans[1], "server.address") == json{{"stringValue", "/run/model.sock"}});
    CHECK(attribute(spans[1], "server.port") == json());
    CHECK(attribute(spans[1], "url.full") == json());
}

TEST_CASE("the traces of a batch stand in one list") {
    trace_log::traces all;
    for (int i = 0; i < 3; ++i) all.push_back(std::make_unique<const trace>(scored()));
    const auto made = json::parse(otlp_json(all, {"front", "0.1.0", "run-1"}));
    CHECK(made["resourceSpans"].size() == 1);
    CHECK(made["resourceSpans"][0]["scopeSpans"][0]["spans"].size() == 3);
    CHECK(json::parse(otlp_json({}, {"front", "", ""}))["resourceSpans"][0]["scopeSpans"][0]["spans"].empty());
}
