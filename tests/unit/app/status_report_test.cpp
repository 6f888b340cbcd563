#include "app/status_report.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

using namespace scoregate::app;
using nlohmann::json;

namespace {

json some_status() {
    return json::parse(R"({
        "version": "0.1.0", "uptime_s": 7500, "ready": true, "draining": false, "connections": {"open": 12},
        "certificates": [{"cname": "localhost", "serial": "01AB", "expiry": "week", "days_left": 5,
                          "not_after": "2030-01-06T00:00:00Z"}],
        "services": {"iris": {"deployments": {"blue": {"traffic": 100, "queued": 0, "replicas": [
            {"url": "http://127.0.0.1:5001", "ready": true, "standing": "ready", "in_flight": 1},
            {"url": "http://gone:5001", "ready": false, "standing": "ready", "in_flight": 0, "since": "2030-01-01T00:00:00Z",
             "why": "its name does not resolve, or not yet"}]}}}},
        "reloads": {"configuration": {"succeeded": 2, "failed": 1, "last_result": "failed",
                                      "last_at": "2030-01-01T00:00:00Z", "problems": ["a.json: /x: is unknown"]}}})");
}

json some_history() {
    return json::parse(R"({
        "health": {"level": "warning", "findings": [{"level": "warning", "text": "iris/blue: 1 of 2"}]},
        "services": {
            "": {"now": {"rate": 0}, "recent": {"requests": 0}},
            "iris": {"now": {"rate": 12.345, "error_ratio": 0.02, "errors": 4, "p50_ms": 3.75, "p99_ms": 1250,
                             "queued": 3, "in_flight": 2},
                     "recent": {"requests": 9, "rate": 0.01, "error_ratio": null, "errors": 0, "p50_ms": null,
                                "p99_ms": null, "queued": 8}}},
        "services_left_out": 2,
        "errors": [{"at": "2030-01-01T00:00:00Z", "token": "connect_failed", "side": "replica", "status": 502,
                    "service": "iris", "deployment": "blue", "replica": "http://gone:5001",
                    "request_id": "0b0e6b0c-0000-4000-8000-000000000001"}]})");
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string line_with(const std::string& text, const std::string& part) {
    const auto at = text.find(part);
    REQUIRE(at != std::string::npos);
    const auto begin = text.rfind('\n', at) + 1;
    return text.substr(begin, text.find('\n', at) - begin);
}

} // namespace

TEST_CASE("the first line answers the first question") {
    const auto report = to_report(some_status(), some_history(), colours::none);
    CHECK(report.starts_with("scoregate 0.1.0: healthy, with warnings, up 2 h 5 min, 12 connections\n"));
    CHECK(has(report, "  - iris/blue: 1 of 2\n"));
    auto drained = some_status();
    drained["draining"] = true;
    CHECK(has(to_report(drained, some_history(), colours::none), "(draining)"));
}

TEST_CASE("what is told of services, replicas, certificates, reloads and errors") {
    const auto report = to_report(some_status(), some_history(), colours::none);
    const auto iris = line_with(report, "12.3");
    for (const auto* part : {"iris", "2.0 %", "3.75 ms", "1.25 s", " 3 ", "0.01", " - "}) {
        INFO(iris << ": " << part);
        CHECK(has(iris, part));
    }
    CHECK_FALSE(has(report, "(no service)")); // nothing came there
    CHECK(has(report, "and 2 more, without history"));
    CHECK(line_with(report, "unresolved") == "  http://gone:5001       iris/blue   unresolved  2030-01-01T00:00:00Z  0 "
                                             "         its name does not resolve, or not yet");
    CHECK(has(line_with(report, "localhost"), "2030-01-06T00:00:00Z  01AB"));
    CHECK(has(line_with(report, "configuration"),
              "failed  2030-01-01T00:00:00Z  2          1       a.json: /x: is unknown"));
    CHECK(has(line_with(report, "connect_failed"), "replica  502     iris/blue   http://gone:5001  0b0e6b0c-"));
    CHECK_FALSE(has(report, "\x1b"));
}

TEST_CASE("colours change nothing but colours") {
    auto report = to_report(some_status(), some_history(), colours::ansi);
    CHECK(has(report, "\x1b[33mhealthy, with warnings\x1b[0m"));
    CHECK(has(report, "\x1b[31munresolved\x1b[0m"));
    for (auto at = report.find('\x1b'); at != std::string::npos; at = report.find('\x1b'))
        report.erase(at, report.find('m', at) - at + 1);
    CHECK(report == to_report(some_status(), some_history(), colours::none));
}

TEST_CASE("no text moves the cursor or pretends to be another line") {
    auto status = some_status();
    status["reloads"]["configuration"]["problems"] = json::array({"two\nlines \x1b[2J and \xc2\x9b"
                                                                  "31m \x7f"});
    status["services"]["\x1b]0;title\a"] = status["services"]["iris"];
    const auto report = to_report(status, some_history(), colours::none);
    CHECK(has(report, "two?lines ?[2J and ?31m ?"));
    CHECK(std::none_of(report.begin(), report.end(),
                       [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f; }));
    CHECK_FALSE(has(report, "\xc2\x9b"));
}

TEST_CASE("what says something else than expected is printed without it") {
    for (const auto* text : {"null", "{}", "[]", "7", "\"x\""}) {
        const auto odd = json::parse(text);
        CHECK(has(to_report(odd, odd, colours::none), "health not known"));
        for (const auto* name : {"certificates", "services", "reloads", "connections", "version", "health", "errors"}) {
            auto status = some_status(), history = some_history();
            status[name] = history[name] = odd;
            CHECK(has(to_report(status, history, colours::ansi), "scoregate"));
        }
    }
}
