// Builds a snapshot from settings, and keeps what must outlive a reload: deployments with their requests in flight and
// in the queue, the cores' places in the traffic, what callers have used of rate limits, and the metrics, by service
// and deployment. Control thread.
#pragma once

#include "config/model.hpp"
#include "control/discovery.hpp"
#include "routing/snapshot.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::control {

class assembly {
public:
    explicit assembly(unsigned cores) : cores_(cores) {}

    // `keys_of` gives the keys of a service, null if it has none.
    using key_source = std::function<std::shared_ptr<const auth::service_keys>(const std::string& service)>;
    std::shared_ptr<const routing::snapshot> build(const config::settings&, const discovery&,
                                                   const key_source& keys_of);

    // How a deployment of the last snapshot is.
    routing::deployment::state state_of(const std::string& service, const std::string& deployment) const;
    // Of the services and deployments that the last snapshot has.
    struct counted {
        std::shared_ptr<telemetry::service_metrics> metrics;
        std::shared_ptr<routing::deployment> replicas; // null: of a service as a whole
    };
    std::vector<counted> counts() const;

private:
    struct live {
        std::shared_ptr<routing::deployment> replicas;   // null for a service as a whole
        std::shared_ptr<routing::traffic_places> places; // null for a deployment
        std::shared_ptr<routing::rate_limiter> limiter;  // null for a deployment, and without rate_limit
        std::shared_ptr<telemetry::service_metrics> metrics;
    };
    using key = std::pair<std::string, std::string>; // service, deployment; "" for a service as a whole

    // Of the last snapshot, or new.
    live state(const key&);

    unsigned cores_;
    std::map<key, live> live_;
};

} // namespace scoregate::control
