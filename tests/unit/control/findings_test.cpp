#include "control/findings.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace scoregate::control;
using nlohmann::json;

namespace {

json replica(bool ready) { return {{"url", "http://a"}, {"ready", ready}}; }

json with_replicas(const json& replicas, int traffic = 100) {
    json status;
    status["services"]["iris"]["deployments"]["blue"] = {{"traffic", traffic}, {"replicas", replicas}};
    return status;
}

// "bad: text" or "warning: text", the only one.
std::string only(const json& status, const json& history = json::object()) {
    const auto found = findings_of(status, history);
    REQUIRE(found.size() == 1);
    return (found.front().bad ? "bad: " : "warning: ") + found.front().text;
}

} // namespace

TEST_CASE("nothing is found where all is well, or nothing is known") {
    CHECK(findings_of(json::object(), json::object()).empty());
    auto status = with_replicas(json::array({replica(true)}));
    status["ready"] = true;
    status["draining"] = false;
    status["overload"] = {{"memory", false}, {"descriptors", false}};
    status["certificates"] = json::array({{{"cname", "localhost"}, {"expiry", "fine"}, {"days_left", 80}}});
    status["reloads"]["configuration"] = {{"last_result", "succeeded"}};
    json history;
    history["services"]["iris"]["now"] = {{"error_ratio", 0.009}, {"requests", 1000}};
    history["services"]["idle"]["now"] = {{"error_ratio", nullptr}, {"requests", 0}};
    CHECK(findings_of(status, history).empty());
    CHECK(to_json({}) == json{{"level", "good"}, {"findings", json::array()}});
}

TEST_CASE("replicas: some, all, none") {
    CHECK(only(with_replicas(json::array({replica(true), replica(false)}))) ==
          "warning: iris/blue: 1 of 2 replicas cannot be used");
    auto early = replica(false), late = replica(false);
    early["since"] = "2030-01-01T00:00:00Z";
    late["since"] = "2030-01-01T00:01:00Z";
    CHECK(only(with_replicas(json::array({late, replica(true), early}))) ==
          "warning: iris/blue: 2 of 3 replicas cannot be used, since 2030-01-01T00:00:00Z");
    CHECK(only(with_replicas(json::array({late, early}))) ==
          "bad: iris/blue has no replica that can be used, of 2, since 2030-01-01T00:01:00Z");
    CHECK(only(with_replicas(json::array({replica(false)}))) == "bad: iris/blue has no replica that can be used, of 1");
    CHECK(only(with_replicas(json::array())) == "bad: iris/blue has no replica that can be used, of 0");
    CHECK(only(with_replicas(json::array(), 0)) ==
          "warning: iris/blue has no replica that can be used, of 0; it gets no traffic");
}

TEST_CASE("certificates by how near their end is") {
    const auto told = [](const char* expiry) {
        json status;
        status["certificates"] = json::array({{{"cname", "a.b"},
                                               {"expiry", expiry},
                                               {"days_left", 5},
                                               {"not_before", "2030-01-01T00:00:00Z"},
                                               {"not_after", "2030-01-06T00:00:00Z"}}});
        return only(status);
    };
    CHECK(told("renew") == "warning: The certificate for a.b expires in 5 days (until 2030-01-06T00:00:00Z)");
    CHECK(told("week").starts_with("warning: "));
    CHECK(told("day").starts_with("bad: "));
    CHECK(told("expired").starts_with("bad: The certificate for a.b has expired"));
    CHECK(told("not_yet_valid").find("2030-01-01") != std::string::npos);
}

TEST_CASE("errors of replicas and of scoregate, by their part") {
    const auto told = [](double ratio) {
        json history;
        history["services"]["iris"]["now"] = {{"error_ratio", ratio}, {"requests", 200}};
        return only(json::object(), history);
    };
    CHECK(told(0.015) == "warning: iris: 1.5 % of 200 requests in the last 15 s failed");
    CHECK(told(0.1) == "bad: iris: 10.0 % of 200 requests in the last 15 s failed");
}

TEST_CASE("a failed reload with its first problem") {
    json status;
    status["reloads"]["configuration"] = {{"last_result", "failed"}, {"problems", {"a.json: /x: is unknown", "y"}}};
    CHECK(only(status) ==
          "warning: The last reload of configuration failed; what was in force before stays: a.json: /x: is unknown");
}

TEST_CASE("starting, draining, short of something") {
    CHECK(only({{"ready", false}}).starts_with("bad: It is not ready"));
    CHECK(only({{"ready", false}, {"draining", true}}).starts_with("warning: It is draining"));
    CHECK(only({{"overload", {{"memory", true}}}}).starts_with("bad: Memory"));
    CHECK(only({{"overload", {{"descriptors", true}}}}).starts_with("bad: File descriptors"));
}

TEST_CASE("the worst comes first, and says how bad it is") {
    auto status = with_replicas(json::array({replica(false), replica(true)}));
    status["overload"] = {{"memory", true}};
    status["draining"] = true;
    const auto told = to_json(findings_of(status, json::object()));
    CHECK(told.at("level") == "bad");
    REQUIRE(told.at("findings").size() == 3);
    CHECK(told["findings"][0]["level"] == "bad");
    CHECK(told["findings"][1]["level"] == "warning");
}

TEST_CASE("a certificate from a provider that is not there, or is not renewed") {
    json status;
    status["ready"] = false;
    status["acme"] = {{"domain", "a.b"}, {"certificate", false}, {"next_attempt", "2030-01-01T00:00:00Z"}};
    CHECK(only(status) == "bad: HTTPS is closed: no certificate for a.b has been issued yet");
    status["acme"]["last_error"] = "lego ended with status 1";
    CHECK(only(status) == "bad: HTTPS is closed: no certificate for a.b has been issued yet: lego ended with status 1; "
                          "the next attempt is at 2030-01-01T00:00:00Z");
    status["ready"] = true;
    status["acme"]["certificate"] = true;
    CHECK(only(status) == "warning: The certificate for a.b is not renewed: lego ended with status 1; the next attempt "
                          "is at 2030-01-01T00:00:00Z");
    auto& acme = status["acme"];
    acme["state"] = "runner_gone";
    acme.erase("next_attempt");
    CHECK(only(status) == "bad: No certificate for a.b can be ordered: lego ended with status 1");
    acme["state"] = "issued";
    acme.erase("last_error");
    CHECK(findings_of(status, json::object()).empty());
}
