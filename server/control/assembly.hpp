// Builds a snapshot from settings, and keeps what must outlive a reload: deployments with their requests in flight, and
// the metrics, by service and deployment. Control thread.
#pragma once

#include "config/model.hpp"
#include "control/discovery.hpp"
#include "routing/snapshot.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::control {

class assembly {
public:
    explicit assembly(unsigned cores) : cores_(cores) {}

    std::shared_ptr<const routing::snapshot> build(const config::settings&, const discovery&);

    // How the replicas of a service of the last snapshot are.
    std::vector<routing::deployment::replica_state> replicas(const config::service&) const;
    // Of the services that the last snapshot has.
    std::vector<std::shared_ptr<telemetry::service_metrics>> metrics() const;

private:
    struct live {
        std::shared_ptr<routing::deployment> replicas;
        std::shared_ptr<telemetry::service_metrics> metrics;
    };
    using key = std::pair<std::string, std::string>; // service, deployment

    unsigned cores_;
    std::map<key, live> live_;
};

} // namespace scoregate::control
