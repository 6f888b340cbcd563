// What a service lets its callers in by: keys or tokens, as its auth_mode says; and where that comes from, so that what
// reads files again and again need not know which of the two it is.
#pragma once

#include "auth/keys.hpp"
#include "auth/token_verifier.hpp"
#include "config/model.hpp"
#include "config/problem.hpp"

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace scoregate::auth {

// Of the admin port.
struct admin_token {
    std::string token_file; // absolute path

    friend bool operator==(const admin_token&, const admin_token&) = default;
};

// One of the two; neither for a service that is open to everyone.
struct credentials {
    std::shared_ptr<const service_keys> keys = {};
    std::shared_ptr<const token_verifier> tokens = {};

    explicit operator bool() const noexcept { return keys || tokens; }
};

struct credential_source {
    std::string service; // empty for the admin port
    std::variant<config::key_files, config::token_settings, admin_token> settings;

    std::string unit() const;               // "keys:iris", "jwks:iris", "admin_token"
    const std::string& file() const;        // that names them, if that is not the main one
    std::string pointer() const;            // in the configuration
    std::vector<std::string> files() const; // absolute paths
    friend bool operator==(const credential_source&, const credential_source&) = default;
};

// Nothing for a service that is open.
std::optional<credential_source> source_of(const config::service&);

struct credential_load {
    credentials value;                 // empty when there is any problem
    config::problems problems;         // under the source's pointer
    std::vector<std::string> warnings; // each with what to do
    sha256_digest content{};           // what the files held, or why they could not be read
};

// Reads and checks the files and collects every problem. `config_file` is what the problems name as their file. Blocks
// on the files: start-up or control thread. Never throws for what a file holds.
credential_load load_credentials(const credential_source&, const std::string& config_file);

} // namespace scoregate::auth
