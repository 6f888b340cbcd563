// An online endpoint of Azure ML (ManagedOnlineEndpoint, KubernetesOnlineEndpoint, schema v2) as its YAML says it.
#pragma once

#include "azureml/platform.hpp"

#include <string>
#include <utility>
#include <vector>

namespace scoregate::azureml {

// A percentage of the requests.
struct share {
    std::string deployment;
    unsigned percent = 0;
    config::problem where; // its place; the message is empty
};

struct endpoint {
    std::string name; // empty: there is none that could be used
    std::string auth_mode = "key";
    claim runs_on;                 // as far as its own file says
    config::problem where;         // of its name, the message empty
    config::problem auth_where;    // of its auth_mode
    config::problem traffic_where; // of `traffic`
    std::vector<share> traffic;    // empty also where the file gives none
    std::vector<share> mirror_traffic;
};

// What is wrong is in the report, and then the result is of use only to tell what else is.
endpoint read_endpoint(const source_file&, report&);

} // namespace scoregate::azureml
