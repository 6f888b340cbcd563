// One version of everything a request is decided by: services, routes, deployments, limits, timeouts. Built on the
// control thread, immutable, posted to each core; a request keeps the one it began with.
#pragma once

#include "auth/credentials.hpp"
#include "base/result.hpp"
#include "config/model.hpp"
#include "http/head.hpp"
#include "routing/deployment.hpp"
#include "routing/rate_limiter.hpp"
#include "routing/traffic.hpp"
#include "telemetry/service_metrics.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace scoregate::routing {

// A path of a service, with what config::route says of it made ready to be compared.
struct route {
    explicit route(const config::route&);

    std::string path, replica_path;
    bool subtree;
    bool idempotent;
    unsigned methods = 0; // a bit for each http::method
    std::string allow;    // the same for people: "GET, HEAD, POST"
};

// A deployment as this version of the configuration has it.
struct target {
    std::string name;
    config::request_settings settings;
    std::string host_header; // empty: the client's
    std::shared_ptr<deployment> replicas;
    std::shared_ptr<telemetry::service_metrics> metrics;
};

struct service {
    std::string name;
    bool require_tls = true;
    bool open = false;                     // to everyone
    auth::credentials allowed;             // else
    std::shared_ptr<rate_limiter> limiter; // null: callers may send as much as they like
    bool limited_by_address = false;       // else by what authorise() found
    bool forward_authorization = false;
    base::error_mapping error_mapping = base::error_mapping::aks;
    std::vector<std::string> cors_origins; // empty: CORS is off
    std::vector<route> routes;             // an exact path before subtrees, longer subtrees before shorter
    std::vector<target> targets;
    traffic split;                                       // over the targets
    const target* mirror = nullptr;                      // of the targets; null: no request is copied
    traffic mirror_split;                                // index 0: it is copied
    std::shared_ptr<traffic_places> places;              // null in a service without requests
    std::shared_ptr<telemetry::service_metrics> metrics; // of requests that were refused before they had a deployment

    // The deployment of the next request: `forced` if it is not empty, else by the traffic. fault::no_deployment.
    base::result<const target*> choose(std::string_view forced, unsigned core) const;
    // Where a copy of the next request, which forces no deployment, goes besides; null: nowhere.
    const target* choose_mirror(unsigned core) const;
    // What Access-Control-Allow-Origin says to a page of `origin` (empty: none asks): "*", the origin as the
    // configuration has it, or nothing if it is not allowed.
    std::string_view allowed_origin(std::string_view origin) const;
};

// Where a request goes: the service, and the path that its replica knows the route by, in two parts.
struct destination {
    const service* to = nullptr;
    const route* by = nullptr;
    std::string_view rest; // of the path, beneath a subtree
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
    // Strict-Transport-Security as a line, for replies over TLS; empty if it is not set.
    std::string_view transport_security() const { return transport_security_; }

    // By `/api/v1/service/<name>/<route>`, `/api/v1/endpoint/<name>/<route>`, or the whole path on a service's own
    // host, and on every other host for the default service. `host` is the Host field, port and case ignored. Paths are
    // compared as http/path has normalised them, and beneath a subtree sent on so: nothing is routed as one thing and
    // read as another.
    // fault::no_route or fault::method_not_allowed; fault::bad_request beneath a subtree for a path that may be read as
    // one of another route. OPTIONS passes where the service has CORS.
    base::result<destination> find(const http::request_head&) const;
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
    std::string transport_security_;
    std::vector<service> services_;
    index by_name_, by_host_;
    const service* default_ = nullptr;
};

} // namespace scoregate::routing
