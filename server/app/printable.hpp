// What somebody else has said, for a terminal. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace scoregate::app {

enum class line_ends : std::uint8_t { hidden, kept };

// Without what a terminal would obey, C1 controls (U+0080 to U+009F) and marks that turn the order of text too: each
// such character is a question mark.
std::string printable(std::string_view text, line_ends = line_ends::hidden);

} // namespace scoregate::app
