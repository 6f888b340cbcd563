// What `scoregate status` prints: /status and /history for eyes in a terminal. Pure; any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>

namespace scoregate::app {

enum class colours : std::uint8_t { none, ansi };

// `history` may be an empty object: an older scoregate has none. Both may say anything: what is not of the expected
// type is left out, and no byte of them moves the cursor or changes a colour.
std::string to_report(const nlohmann::json& status, const nlohmann::json& history, colours);

} // namespace scoregate::app
