#include "control/replica_trust.hpp"

#include <algorithm>
#include <stdexcept>

namespace scoregate::control {

namespace {

bool has_secured(const config::deployment& one) {
    return std::any_of(one.replicas.begin(), one.replicas.end(), [](const auto& each) { return each.tls; });
}

} // namespace

std::vector<std::string> ca_files_of(const std::vector<config::service>& services) {
    std::vector<std::string> files;
    for (const auto& service : services)
        for (const auto& each : service.deployments)
            if (has_secured(each) && each.replica_tls.ca_file) files.push_back(*each.replica_tls.ca_file);
    return files;
}

trust_material read_trust(const std::vector<config::service>& services, const std::string& config_file) {
    trust_material found;
    for (const auto& service : services)
        for (const auto& each : service.deployments) {
            if (!has_secured(each)) continue;
            const auto& terms = each.replica_tls;
            try {
                found.loaded[{service.name, each.name}] = std::make_shared<const tls::replica_trust>(
                    terms.ca_file.value_or(""), terms.server_name.value_or(""));
            } catch (const std::runtime_error& why) {
                found.problems.push_back({terms.file.empty() ? config_file : terms.file,
                                          terms.pointer + (terms.ca_file ? "/ca_file" : ""), why.what()});
            }
        }
    return found;
}

trust_map keep_unchanged(trust_map next, const trust_map& in_force) {
    for (auto& [which, trust] : next)
        if (const auto known = in_force.find(which); known != in_force.end() && *known->second == *trust)
            trust = known->second;
    return next;
}

} // namespace scoregate::control
