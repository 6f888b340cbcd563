#include "control/assembly.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <set>
#include <unordered_set>
#include <utility>

namespace scoregate::control {

namespace {

routing::admission admission_of(const config::deployment& wanted) {
    routing::admission made;
    made.slots_per_replica = wanted.settings.max_concurrent_requests;
    if (wanted.settings.max_queue_length) made.queue_length = *wanted.settings.max_queue_length;
    made.probed = wanted.readiness_probe.has_value();
    return made;
}

// Those of `before` (null: none) if they say the same.
std::shared_ptr<const probe_terms> terms_of(const config::deployment& wanted,
                                            const std::shared_ptr<const probe_terms>& before) {
    if (!wanted.readiness_probe) return nullptr;
    probe_terms terms{*wanted.readiness_probe, wanted.host_header.value_or("")};
    return before && *before == terms ? before : std::make_shared<const probe_terms>(std::move(terms));
}

// What follows `before` (null: none yet) with the numbers that are wanted.
std::shared_ptr<routing::rate_limiter> limiter_of(const config::rate_limit& wanted,
                                                  const std::shared_ptr<routing::rate_limiter>& before) {
    const routing::request_rate rate{wanted.requests_per_second, wanted.burst.value_or(static_cast<std::uint32_t>(
                                                                     std::ceil(wanted.requests_per_second)))};
    if (!before) return std::make_shared<routing::rate_limiter>(rate);
    if (before->rate() == rate) return before;
    return std::make_shared<routing::rate_limiter>(rate, *before, std::chrono::steady_clock::now());
}

// Takes each replica once. It is known by its URL, or by its address if that is all its URL has: "http://10.0.0.4" is
// what DNS finds as "http://10.0.0.4:80".
class distinct_replicas {
public:
    // `found.tls` is as it has to be already.
    void add(routing::replica_settings found) {
        if (urls_.contains(found.url)) return;
        const bool literal = found.addresses.size() == 1 && found.addresses.front().address().to_string() == found.host;
        if (literal && !literals_.emplace(found.addresses.front(), found.tls).second) return;
        urls_.insert(found.url);
        all_.push_back(std::move(found));
    }
    std::vector<routing::replica_settings> take() { return std::move(all_); }

private:
    std::vector<routing::replica_settings> all_;
    std::unordered_set<std::string> urls_;
    std::set<std::pair<base::tcp::endpoint, bool>> literals_; // and whether by TLS
};

} // namespace

assembly::live assembly::state(const key& which) {
    if (const auto known = live_.find(which); known != live_.end()) return known->second;
    live made;
    if (const auto known = leaving_.find(which); known != leaving_.end()) {
        made.replicas = known->second.replicas.lock();
        made.metrics = known->second.metrics.lock();
    }
    if (which.second.empty())
        made.places = std::make_shared<routing::traffic_places>(cores_);
    else if (!made.replicas)
        made.replicas = std::make_shared<routing::deployment>();
    if (!made.metrics) made.metrics = std::make_shared<telemetry::service_metrics>(which.first, which.second, cores_);
    return made;
}

std::shared_ptr<const routing::snapshot> assembly::build(const config::settings& settings, const discovery& names,
                                                         const credential_lookup& credentials_of,
                                                         const trust_map& trust) {
    std::map<key, live> kept;
    std::vector<routing::service> services;
    // Targets stay where they are when it grows: one of them is pointed to.
    static_assert(std::is_nothrow_move_constructible_v<routing::service>);
    for (const auto& wanted : settings.services) {
        const key whole{wanted.name, ""};
        auto common = state(whole);
        routing::service made;
        made.name = wanted.name;
        made.require_tls = wanted.require_tls;
        made.open = wanted.auth == config::auth_mode::none;
        if (!made.open) made.allowed = credentials_of(wanted.name);
        common.limiter = wanted.rate_limit ? limiter_of(*wanted.rate_limit, common.limiter) : nullptr;
        made.limiter = common.limiter;
        made.limited_by_address = wanted.rate_limit && wanted.rate_limit->by == config::rate_limit::caller::address;
        made.forward_authorization = wanted.forward_authorization;
        made.error_mapping = wanted.error_mapping;
        made.cors_origins = wanted.cors_origins;
        for (const auto& each : wanted.routes) made.routes.emplace_back(each);
        made.places = common.places;
        made.metrics = common.metrics;
        kept.emplace(whole, std::move(common));

        std::vector<unsigned> percents;
        for (const auto& each : wanted.deployments) {
            const key which{wanted.name, each.name};
            auto own = state(which);
            const auto proof = trust.find(which);
            distinct_replicas replicas;
            for (const auto& text : each.replicas) {
                for (auto& found : names.replicas(text)) { // one server found in two ways is one replica
                    found.tls = text.tls;
                    if (text.tls && proof != trust.end()) found.trust = proof->second;
                    replicas.add(std::move(found));
                }
            }
            auto allowed = admission_of(each);
            allowed.assumed_ready = assume_ready_;
            own.replicas->update(replicas.take(), allowed);
            own.terms = terms_of(each, own.terms);
            made.targets.push_back(
                {each.name, each.settings, each.host_header.value_or(""), own.replicas, own.metrics});
            percents.push_back(each.traffic);
            kept.emplace(which, std::move(own));
        }
        made.split = routing::traffic(percents);
        for (std::size_t i = 0; i < wanted.deployments.size(); ++i) {
            const auto copied = wanted.deployments[i].mirror_traffic;
            if (copied == 0) continue;
            made.mirror = &made.targets[i];
            made.mirror_split = routing::traffic(std::array{copied, 100 - copied});
        }
        services.push_back(std::move(made));
    }
    for (const auto& [which, state] : live_)
        if (!kept.contains(which)) leaving_[which] = {state.replicas, state.metrics};
    live_ = std::move(kept);
    watched_.clear();
    for (const auto& [which, state] : live_)
        if (state.replicas) watched_.push_back({state.metrics, state.replicas, state.terms});
    std::erase_if(leaving_, [](const auto& each) { return each.second.metrics.expired(); });
    return std::make_shared<const routing::snapshot>(settings, std::move(services));
}

routing::deployment::state assembly::state_of(const std::string& service, const std::string& deployment) const {
    const auto found = live_.find({service, deployment});
    return found == live_.end() ? routing::deployment::state{} : found->second.replicas->look();
}

std::vector<assembly::counted> assembly::counts() const {
    std::vector<counted> all;
    for (const auto& [which, state] : live_) all.push_back({state.metrics, state.replicas});
    return all;
}

} // namespace scoregate::control
