// The settings of Azure ML's Kubernetes extension, as `az k8s-extension create --config` and `--config-protected` take
// them: KEY=VALUE words, or a mapping in YAML or JSON.
#pragma once

#include "azureml/endpoint.hpp"

#include <string>
#include <vector>

namespace scoregate::azureml {

// What the files say and, over it, the words of the command line, as keys of the configuration: TLS, or plain HTTP.
// What Azure has for the deployment of its router is told in the report.
json read_extension(const std::vector<source_file>& files, const std::vector<std::string>& words, report&);

} // namespace scoregate::azureml
