// What a client presents in its Authorization field: a bearer token (RFC 6750 2.1), which here is a key. Parses and
// does not judge: whether it is the right one is for service_keys to say. No I/O, no allocation; any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

namespace scoregate::auth {

enum class bearer_fault : std::uint8_t {
    missing,   // no field, or an empty one
    malformed, // another scheme, or not one token after it
};

// The token, as a part of `authorization`, or why there is none. `authorization`: the field's value without surrounding
// white space, empty if there is no such field. The scheme may be written in any case (RFC 9110 11.1).
std::variant<std::string_view, bearer_fault> parse_bearer(std::string_view authorization) noexcept;

// Whether `text` can be presented as a token: RFC 6750's b64token, not empty.
bool is_token(std::string_view text) noexcept;

} // namespace scoregate::auth
