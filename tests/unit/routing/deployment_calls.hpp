// What the tests of a deployment share: replicas by their names, callers that count their wakes, and answers as words.
#pragma once

#include "routing/deployment.hpp"
#include "support/results.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace deployment_tests {

using namespace scoregate;
using namespace scoregate::routing;
using base::fault;

using clock_type = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline const clock_type::time_point start{std::chrono::hours(1)};

inline base::tcp::endpoint address_of(unsigned short port) { return {base::asio::ip::address_v4::loopback(), port}; }

inline replica_settings settings_of(const std::string& name, unsigned short port = 5001) {
    return {"http://" + name, {address_of(port)}};
}

inline replica_settings unreachable(const std::string& name) { return {"http://" + name, {}}; }

inline std::vector<replica_settings> of(const std::vector<std::string>& names) {
    std::vector<replica_settings> all;
    for (const auto& name : names) all.push_back(settings_of(name));
    return all;
}

inline admission allow(std::optional<unsigned> slots, std::optional<std::size_t> queue = std::nullopt) {
    return {slots, queue};
}

inline const admission no_cap = allow(std::nullopt);

inline std::string name_of(const slot& held) { return held.where().url.substr(7); }

// Counts its wakes; the test plays its core.
struct caller : waiter {
    caller() : waiter([](waiter& who) noexcept { ++static_cast<caller&>(who).wakes; }) {}
    int wakes = 0;
};

inline slot take(deployment& from) {
    auto reserved = from.reserve_now(start);
    REQUIRE(reserved);
    return std::move(*reserved);
}

// What reserve() said: the replica's name, "queued", or the token of the fault.
inline std::string ask(deployment& from, caller& who, std::vector<slot>* held = nullptr,
                       clock_type::time_point now = start) {
    auto answer = from.reserve(who, now);
    if (std::holds_alternative<queued>(answer)) return "queued";
    if (const auto* why = std::get_if<base::failure>(&answer)) return std::string(base::token(why->kind));
    auto& got = std::get<slot>(answer);
    const auto name = name_of(got);
    if (held != nullptr) held->push_back(std::move(got));
    return name;
}

inline unsigned refused_until(deployment& from, clock_type::time_point now) {
    caller who;
    const auto answer = from.reserve(who, now);
    REQUIRE(std::holds_alternative<base::failure>(answer));
    CHECK(std::get<base::failure>(answer).kind == fault::queue_full);
    return std::get<base::failure>(answer).retry_after;
}

using counts = std::map<std::string, unsigned>;

inline counts in_flight(const deployment& of) {
    counts all;
    for (const auto& each : of.look().replicas) all[each.url.substr(7)] = each.in_flight;
    return all;
}

} // namespace deployment_tests
