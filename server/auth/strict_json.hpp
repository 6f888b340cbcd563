// JSON that can be read in one way only, of what strangers send: an object whose names are not repeated on any level.
// Never throws for what the text is. Any thread.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace scoregate::auth {

// Nothing if the text is not one.
std::optional<nlohmann::json> parse_object(std::string_view text);

// The member's text; null if there is none, or if it is no text.
const std::string* text_of(const nlohmann::json& object, const char* name);

} // namespace scoregate::auth
