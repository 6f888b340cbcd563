// What https:// replicas have to prove, read for a whole configuration: part of the reload unit "configuration".
// Control thread, or one of base::background: blocks on files.
#pragma once

#include "config/model.hpp"
#include "config/problem.hpp"
#include "tls/replica_trust.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::control {

// By service and deployment; those without https:// replicas are not in it.
using trust_map = std::map<std::pair<std::string, std::string>, std::shared_ptr<const tls::replica_trust>>;

struct trust_material {
    trust_map loaded;
    config::problems problems; // of all files
};

// The ca_files that a configuration reads.
std::vector<std::string> ca_files_of(const std::vector<config::service>&);

// `config_file` is what problems name.
trust_material read_trust(const std::vector<config::service>&, const std::string& config_file);

// `next`, with what has not changed taken from `in_force`: connections made under it stay good.
trust_map keep_unchanged(trust_map next, const trust_map& in_force);

} // namespace scoregate::control
