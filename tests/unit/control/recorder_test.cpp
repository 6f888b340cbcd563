#include "control/recorder.hpp"
#include "unit/control/configurations.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

// A recorder of two services whose requests the test counts.
struct fixture {
    base::asio::io_context io{1};
    discovery names{io.get_executor()};
    assembly build{1};
    telemetry::service_metrics unmatched{"", "", 1};
    int gathered = 0;
    recorder past{io.get_executor(), build, unmatched, [this] { ++gathered; }};
    std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
    std::shared_ptr<const routing::snapshot> snapshot;

    fixture() {
        const auto wanted = settings_of({service_named("iris", {}), service_named("other", {})});
        snapshot = build.build(wanted, names, [](const std::string&) { return auth::credentials{}; }, {});
    }
    void score(std::chrono::nanoseconds took) {
        auto& core = snapshot->services().front().targets.front().metrics->at(0);
        core.requests.add(base::fault::none, 200);
        core.request_duration.observe(took);
    }
    void look() {
        now += 5s;
        past.look(now);
    }
};

} // namespace

TEST_CASE("before the first sample there is a report without any") {
    fixture at;
    const auto report = at.past.report(0);
    CHECK(report.at("turn") == 0);
    CHECK(report.at("services") == json::object());
    CHECK(report.at("seconds") == json::array());
    CHECK(report.at("errors") == json::array());
    CHECK(report.at("services_left_out") == 0);
}

TEST_CASE("a report has each service's samples, now, and all that is kept") {
    fixture at;
    at.score(3ms);
    at.look();
    at.look();
    const auto report = at.past.report(0);
    CHECK(report.at("turn") == 2);
    CHECK(report.at("seconds").size() == 2);
    CHECK(report.at("services").size() == 3); // and what no service took
    const auto& iris = report.at("services").at("iris");
    CHECK(iris.at("samples").at("requests") == json{1, 0});
    CHECK(iris.at("samples").at("p50_ms") == json{3.75, nullptr});
    CHECK(iris.at("now").at("requests") == 1);
    CHECK(iris.at("now").at("error_ratio") == 0.0);
    CHECK(iris.at("recent").at("p99_ms") == 4.975);
    CHECK(report.at("services").at("other").at("now").at("error_ratio") == nullptr);
}

TEST_CASE("who asks again gets what is new") {
    fixture at;
    for (int n = 0; n < 4; ++n) at.look();
    CHECK(at.past.report(3).at("seconds").size() == 1);
    CHECK(at.past.report(3).at("services").at("iris").at("samples").at("requests").size() == 1);
    for (const auto none : {std::uint64_t{4}, std::uint64_t{5}, ~std::uint64_t{0}}) {
        const auto report = at.past.report(none);
        CHECK(report.at("turn") == 4);
        CHECK(report.at("seconds").empty());
        CHECK(report.at("services").at("iris").at("samples").at("p99_ms").empty());
    }
}

TEST_CASE("a 5xx of the model's own is an error of the replica without a token") {
    fixture at;
    telemetry::failed_request one;
    one.status = 503;
    at.past.add({one});
    const auto told = at.past.report(0).at("errors").at(0);
    CHECK(told.at("token") == "");
    CHECK(told.at("side") == "replica");
    CHECK(told.at("status") == 503);
}

TEST_CASE("the last errors are told by token, side and request id") {
    fixture at;
    telemetry::failed_request one;
    one.at = std::chrono::system_clock::time_point(1700000000s);
    one.fault = base::fault::connect_failed;
    one.status = 502;
    one.service = decltype(one.service)("iris");
    one.deployment = decltype(one.deployment)("blue");
    one.replica = decltype(one.replica)("http://127.0.0.1:5001");
    one.request_id = decltype(one.request_id)("0b0e6b0c-0000-4000-8000-000000000001");
    at.past.add({one});
    CHECK(at.past.report(0).at("errors") == json::array({{{"at", "2023-11-14T22:13:20Z"},
                                                          {"token", "connect_failed"},
                                                          {"side", "replica"},
                                                          {"status", 502},
                                                          {"service", "iris"},
                                                          {"deployment", "blue"},
                                                          {"replica", "http://127.0.0.1:5001"},
                                                          {"request_id", "0b0e6b0c-0000-4000-8000-000000000001"}}}));
}
