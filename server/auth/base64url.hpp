// base64url without padding (RFC 7515 2), as every part of a token and every number of a JWK is written. One text alone
// for any bytes, which cjose's decoder does not ask for: to it a '=' ends the text, whatever follows. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace scoregate::auth {

// Whether `text` is base64url, bits that belong to no byte being zero (RFC 4648 3.5); an empty one is.
bool is_base64url(std::string_view text) noexcept;

// The bytes; nothing if it is not.
std::optional<std::string> decode_base64url(std::string_view text);

} // namespace scoregate::auth
