// What a start with `acme` needs before the configuration is whole: the directories, and the name where one is drawn.
// Start-up only; blocks.
#pragma once

#include "app/account.hpp"
#include "config/model.hpp"

#include <optional>
#include <string>

namespace scoregate::app {

// As the user that is to order and to read it. The error is a sentence.
std::optional<std::string> prepare_acme(const config::acme&, const std::optional<account>&);

} // namespace scoregate::app
