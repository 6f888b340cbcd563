// Settings, and running a coroutine to its end, for the tests of control.
#pragma once

#include "config/model.hpp"
#include "support/run_task.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::control {

inline config::replica replica_at(const std::string& host, std::uint16_t port) {
    const bool ipv6 = host.find(':') != std::string::npos;
    return {"http://" + (ipv6 ? '[' + host + ']' : host) + ':' + std::to_string(port), host, port};
}

inline config::service service_named(const std::string& name, std::vector<config::replica> replicas) {
    config::service made;
    made.name = name;
    made.auth = config::auth_mode::none;
    auto& blue = made.deployments.emplace_back();
    blue.name = "blue";
    blue.replicas = std::move(replicas);
    blue.traffic = 100;
    return made;
}

inline config::settings settings_of(std::vector<config::service> services) {
    config::settings made;
    made.services = std::move(services);
    return made;
}

// Runs `io` until `work` has ended.
template <class T>
T run(base::asio::io_context& io, base::task<T> work) {
    std::optional<T> result;
    tests::start(io, std::move(work), result);
    io.restart();
    while (!result && io.run_one() != 0) {
    }
    return std::move(result.value());
}

} // namespace scoregate::control
