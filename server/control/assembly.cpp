#include "control/assembly.hpp"

namespace scoregate::control {

std::shared_ptr<const routing::snapshot> assembly::build(const config::settings& settings, const discovery& names) {
    std::map<key, live> kept;
    std::vector<routing::service> services;
    for (const auto& wanted : settings.services) {
        const key which{wanted.name, wanted.live.name};
        auto state = live_[which];
        if (!state.replicas) {
            state.replicas = std::make_shared<routing::deployment>();
            state.metrics = std::make_shared<telemetry::service_metrics>(wanted.name, wanted.live.name, cores_);
        }
        std::vector<routing::replica_settings> replicas;
        for (const auto& each : wanted.live.replicas) replicas.push_back({each.url, names.addresses(each)});
        state.replicas->update(std::move(replicas));

        routing::service made;
        made.name = wanted.name;
        made.require_tls = wanted.require_tls;
        made.deployment_name = wanted.live.name;
        made.request_timeout = wanted.live.settings.request_timeout;
        made.total_timeout = wanted.live.settings.total_timeout.value_or(std::chrono::milliseconds{0});
        made.replicas = state.replicas;
        made.metrics = state.metrics;
        services.push_back(std::move(made));
        kept.emplace(which, std::move(state));
    }
    live_ = std::move(kept);
    return std::make_shared<const routing::snapshot>(settings, std::move(services));
}

std::vector<routing::deployment::replica_state> assembly::replicas(const config::service& service) const {
    const auto found = live_.find({service.name, service.live.name});
    if (found == live_.end()) return {};
    return found->second.replicas->states();
}

std::vector<std::shared_ptr<telemetry::service_metrics>> assembly::metrics() const {
    std::vector<std::shared_ptr<telemetry::service_metrics>> all;
    for (const auto& [which, state] : live_) all.push_back(state.metrics);
    return all;
}

} // namespace scoregate::control
