// `scoregate cert install`: a new pair takes the place of the one that the configuration names, and the running
// scoregate is asked to use it. Command line only; blocks.
#pragma once

#include "config/load.hpp"

#include <optional>
#include <string>

namespace scoregate::app {

struct installation {
    std::string certificate;          // PEM file: the new chain, leaf first
    std::string key;                  // PEM file: its key
    std::optional<std::string> cname; // which pair of the configuration, by its sslCname; none: the default's
    std::optional<std::string> admin; // URL of the admin port; none: where the configuration has it
};

// Checks the new pair as a start would, puts it in place, asks for the reload and prints the serial that is served
// then; what is wrong goes to stderr. The exit code: 0 it is served; 1 it is in place, but could not be seen to be
// served, or could not be put in place; 2 it was refused, and nothing has changed.
int install_certificate(const installation&, const config::source&);

} // namespace scoregate::app
