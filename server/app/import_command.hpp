// `scoregate import azureml`: reads endpoints, deployments and extension settings of Azure ML from their files, and
// writes a configuration. Command line only; blocks.
#pragma once

#include "azureml/conversion.hpp"

#include <optional>
#include <string>
#include <vector>

namespace scoregate::app {

struct import_options {
    std::vector<std::string> endpoints, deployments, extension; // paths
    std::optional<std::string> output;                          // where none is there yet; none: stdout
    azureml::order order;                                       // but for the texts of the files
};

// Problems, of each file at most azureml::most_problems_of_a_file, and notes go to stderr. The exit code: 0 it is
// written; 1 it could not be written; 2 something in the files or the options has to be corrected, and nothing was
// written.
int import_azureml(import_options);

} // namespace scoregate::app
