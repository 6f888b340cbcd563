#include "auth/bearer.hpp"

#include <algorithm>

namespace scoregate::auth {

namespace {

constexpr std::string_view scheme = "bearer";

constexpr bool is_alpha(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// What may stand before the padding.
constexpr bool is_token_character(char c) {
    return is_alpha(c) || (c >= '0' && c <= '9') || std::string_view("-._~+/").find(c) != std::string_view::npos;
}

} // namespace

bool is_token(std::string_view text) noexcept {
    const auto padding = std::ranges::find_if_not(text, is_token_character);
    return padding != text.begin() && std::all_of(padding, text.end(), [](char c) { return c == '='; });
}

std::variant<std::string_view, bearer_fault> parse_bearer(std::string_view authorization) noexcept {
    if (authorization.empty()) return bearer_fault::missing;
    // credentials = auth-scheme 1*SP token68 (RFC 9110 11.4)
    const auto space = authorization.find(' ');
    if (!std::ranges::equal(authorization.substr(0, space), scheme, {}, lower)) return bearer_fault::malformed;
    const auto begin = authorization.find_first_not_of(' ', space);
    if (begin == std::string_view::npos || !is_token(authorization.substr(begin))) return bearer_fault::malformed;
    return authorization.substr(begin);
}

} // namespace scoregate::auth
