// Builds a snapshot from settings, and keeps what must outlive a reload: deployments with their requests in flight and
// in the queue, the cores' places in the traffic, what callers have used of rate limits, and the metrics, by service
// and deployment. Control thread.
#pragma once

#include "config/model.hpp"
#include "control/discovery.hpp"
#include "control/replica_trust.hpp"
#include "routing/snapshot.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::control {

// How the replicas of a deployment are probed.
struct probe_terms {
    config::readiness_probe probe;
    std::string host_header; // empty: that of each replica's URL

    friend bool operator==(const probe_terms&, const probe_terms&) = default;
};

class assembly {
public:
    explicit assembly(unsigned cores) : cores_(cores) {}

    // `credentials_of` gives what a service that is not open lets its callers in by; `trust` is what https:// replicas
    // have to prove.
    using credential_lookup = std::function<auth::credentials(const std::string& service)>;
    std::shared_ptr<const routing::snapshot> build(const config::settings&, const discovery&,
                                                   const credential_lookup& credentials_of, const trust_map& trust);

    // Whether replicas that are new in snapshots built from here on count as ready before a probe has said so: those
    // of a process that takes over, whose predecessor has been using them until this moment.
    void assume_ready(bool assumed) { assume_ready_ = assumed; }

    // How a deployment of the last snapshot is.
    routing::deployment::state state_of(const std::string& service, const std::string& deployment) const;
    // Of the services and deployments that the last snapshot has.
    struct counted {
        std::shared_ptr<telemetry::service_metrics> metrics;
        std::shared_ptr<routing::deployment> replicas; // null: of a service as a whole
    };
    std::vector<counted> counts() const;
    // The deployments of the last snapshot, for who follows how their replicas are.
    struct watched {
        std::shared_ptr<telemetry::service_metrics> metrics;
        std::shared_ptr<routing::deployment> replicas;
        std::shared_ptr<const probe_terms> terms; // null: not probed; another object only when they have changed
    };
    const std::vector<watched>& deployments() const { return watched_; }

private:
    struct live {
        std::shared_ptr<routing::deployment> replicas;   // null for a service as a whole
        std::shared_ptr<routing::traffic_places> places; // null for a deployment
        std::shared_ptr<routing::rate_limiter> limiter;  // null for a deployment, and without rate_limit
        std::shared_ptr<telemetry::service_metrics> metrics;
        std::shared_ptr<const probe_terms> terms; // null for a service as a whole, and without probes
    };
    using key = std::pair<std::string, std::string>; // service, deployment; "" for a service as a whole

    // Of the last snapshot, or new.
    live state(const key&);

    // What a reload has removed and requests still use: it comes back as it is, with what it has in flight.
    struct leaving {
        std::weak_ptr<routing::deployment> replicas;
        std::weak_ptr<telemetry::service_metrics> metrics;
    };

    unsigned cores_;
    bool assume_ready_ = false;
    std::map<key, live> live_;
    std::vector<watched> watched_;
    std::map<key, leaving> leaving_;
};

} // namespace scoregate::control
