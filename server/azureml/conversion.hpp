// Azure ML's endpoints and deployments become a configuration of scoregate. Pure functions over the texts of the files;
// nothing is guessed: what Azure does not say, a person does, or it is a problem.
#pragma once

#include "azureml/endpoint.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace scoregate::azureml {

// What an operator hands over; each text as it stands on the command line.
struct order {
    std::vector<source_file> endpoints, deployments, extension;
    std::vector<std::string> extension_settings;     // KEY=VALUE, over the files
    std::vector<std::string> replicas;               // [ENDPOINT/]DEPLOYMENT=URL
    std::vector<std::string> hosts;                  // [ENDPOINT=]HOST
    std::optional<std::string> kubernetes_namespace; // of headless Services named ENDPOINT-DEPLOYMENT
    std::string keys_dir = "keys";                   // in it ENDPOINT/primary and ENDPOINT/secondary
    std::optional<std::string> jwks_file, issuer;    // of the tokens of endpoints that take tokens
    std::string audience = "https://ml.azure.com";   // what Azure's clients ask their tokens for
};

struct conversion {
    std::string configuration; // JSON that config::load() accepts; empty with any problem
    report told;
    std::size_t services = 0, deployments = 0;
};

conversion convert(const order&);

} // namespace scoregate::azureml
