// What the component tests share: a proxy whose end is checked, requests written out, and the error form of the
// contract.
#pragma once

#include "support/running_proxy.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <functional>
#include <thread>

namespace scoregate::tests {

using over = running_proxy::over;
using conversation = scripted_replica::conversation;
using namespace std::chrono_literals;
using base::fault;

inline const std::string score = "/api/v1/service/iris/score";

// Names the stream in the report of a failure.
inline std::string to_string(over what) { return what == over::tls ? "over TLS" : "in clear"; }

// Deadlines that no test reaches unless it means to, on a machine however slow.
inline config::settings settings_of(std::vector<config::service> services) {
    config::settings made;
    made.services = std::move(services);
    for (auto& service : made.services)
        for (auto& each : service.deployments) each.settings.request_timeout = 60s;
    made.limits.request_buffer_bytes = 0; // bodies stream; collecting them has tests of its own
    auto& t = made.timeouts;
    t.handshake = t.header = t.body_idle = t.connect = t.stream_idle = 60s;
    return made;
}

// Ends with the test, and then nothing may be left: no connection, no slot, no coroutine, no unrecorded request.
class checked_proxy : public running_proxy {
public:
    using running_proxy::running_proxy;
    ~checked_proxy() { CHECK(stop() == ""); }
};

// One service "iris" with one replica, over one stream.
struct one_replica {
    using change = std::function<void(config::settings&)>;

    explicit one_replica(over what, scripted_replica::script script, const change& changed = {}, unsigned cores = 1)
        : replica(std::move(script)), proxy(what, make(replica, changed), cores) {}

    static config::settings make(const scripted_replica& replica, const change& changed) {
        auto made = settings_of({service_of("iris", {&replica})});
        made.services.front().hosts = {"iris.contoso.com"};
        if (changed) changed(made);
        return made;
    }

    scripted_replica replica;
    checked_proxy proxy;
};

inline std::string request(std::string_view method, std::string_view path, std::string_view fields = {},
                           std::string_view body = {}) {
    std::string made(method);
    made.append(" ").append(path).append(" HTTP/1.1\r\nHost: www.contoso.com\r\n").append(fields);
    if (!body.empty()) made.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    return made.append("\r\n").append(body);
}
inline std::string get(std::string_view path, std::string_view fields = {}) { return request("GET", path, fields); }
inline std::string post(std::string_view body, std::string_view fields = {}) {
    return request("POST", score, fields, body);
}

// A port that refuses: it was bound a moment ago.
inline std::uint16_t refusing_port() {
    const scripted_replica gone(always(""));
    return gone.port();
}

// For what the proxy only shows when it is asked.
template <class Condition>
void wait_until(Condition met) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!met()) {
        if (std::chrono::steady_clock::now() > end) throw wire_error("it has not come to pass");
        std::this_thread::yield();
    }
}

// The error form of the contract.
inline void check_fault(const message& reply, unsigned status, const std::string& token, const std::string& side) {
    INFO(reply.head << reply.body);
    CHECK(reply.whole);
    CHECK(reply.status() == status);
    CHECK(reply.field("x-scoregate-fault") == token);
    CHECK(reply.field("content-type") == "application/json");
    CHECK(reply.field("x-request-id").size() == 36);
    CHECK(reply.field("x-ms-request-id") == reply.field("x-request-id"));
    const auto body = nlohmann::json::parse(reply.body, nullptr, false);
    REQUIRE(body.contains("error"));
    const auto& error = body["error"];
    CHECK(error.value("code", "") == token);
    CHECK(error.value("side", "") == side);
    CHECK(error.value("message", "").size() > 10);
    CHECK(error.value("request_id", "") == reply.field("x-request-id"));
}

// What the access log must say of it.
inline void check_record(const nlohmann::json& record, unsigned status, const std::string& token,
                         const std::string& side) {
    INFO(record.dump());
    CHECK(record.value("status", 0U) == status);
    CHECK(record.value("fault", "") == token);
    CHECK(record.value("side", "") == side);
}

} // namespace scoregate::tests
