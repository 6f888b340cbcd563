// An online deployment of Azure ML (ManagedOnlineDeployment, KubernetesOnlineDeployment, schema v2) as its YAML says
// it.
#pragma once

#include "azureml/endpoint.hpp"

#include <cstdint>
#include <string>

namespace scoregate::azureml {

struct deployment {
    std::string name;     // empty: there is none that could be used
    std::string endpoint; // that it belongs to; empty if the file does not say
    claim runs_on;        // as far as its own file says
    std::uint16_t port = 5001;
    std::string scoring_path = "/score"; // at the replica
    config::problem where;               // of its name, the message empty
    config::problem path_where;          // of its scoring_path
    config::problem port_where;          // of its port; no file if the port is Azure's default
    json request_settings = json::object();
    json readiness_probe = json::object(); // whole: what the file leaves out has Azure's default
};

// What is wrong is in the report, and then the result is of use only to tell what else is.
deployment read_deployment(const source_file&, report&);

} // namespace scoregate::azureml
