// One version of everything a request is decided by: services, routes, limits, timeouts. Built on the control thread,
// immutable, posted to each core; a request keeps the one it began with.
#pragma once

#include "base/result.hpp"
#include "config/model.hpp"
#include "http/head.hpp"
#include "routing/deployment.hpp"
#include "telemetry/service_metrics.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace scoregate::routing {

struct service {
    std::string name;
    bool require_tls = true;
    std::string deployment_name;
    std::chrono::milliseconds request_timeout{};
    std::chrono::milliseconds total_timeout{}; // zero: none
    std::shared_ptr<deployment> replicas;
    std::shared_ptr<telemetry::service_metrics> metrics;
};

// Where a request goes: the service, and the path that its replica knows the route by.
struct destination {
    const service* to = nullptr;
    std::string_view replica_path;
};

class snapshot {
public:
    // `services` in the order of `settings.services`.
    snapshot(config::settings settings, std::vector<service> services);
    snapshot(const snapshot&) = delete;
    snapshot& operator=(const snapshot&) = delete;

    const config::settings& settings() const { return settings_; }
    const std::vector<service>& services() const { return services_; }
    const http::head_limits& head_limits() const { return head_limits_; }

    // By `/api/v1/service/<name>/<route>`, `/api/v1/endpoint/<name>/<route>`, or the whole path on a service's own
    // host. `host` is the Host field, port and case ignored. Paths are compared as they were sent: no decoding, so
    // nothing can be routed as one thing and read as another. fault::no_route, fault::no_deployment or
    // fault::method_not_allowed.
    base::result<destination> route(const http::request_head&) const;
    // The service that a path or host names, even where its route is unknown: whose metrics and log a refusal belongs
    // to.
    const service* named_by(const http::request_head&) const;

private:
    struct hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    using index = std::unordered_map<std::string, const service*, hash, std::equal_to<>>;
    struct located {
        const service* to = nullptr;
        std::string_view route; // with its leading slash
    };
    located locate(const http::request_head&) const;

    config::settings settings_;
    http::head_limits head_limits_;
    std::vector<service> services_;
    index by_name_, by_host_;
};

} // namespace scoregate::routing
