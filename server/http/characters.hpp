// What bytes may stand where in HTTP and in URIs, as tables that cost one look-up each. Constants; any thread.
#pragma once

#include "base/eight_bytes.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace scoregate::http {

using character_set = std::array<bool, 256>;

constexpr bool is_one_of(char c, const character_set& set) { return set[static_cast<unsigned char>(c)]; }

inline bool all_of(std::string_view text, const character_set& allowed) {
    return std::all_of(text.begin(), text.end(), [&](char c) { return is_one_of(c, allowed); });
}

constexpr character_set letters_and_digits_and(std::string_view others) {
    character_set table{};
    for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
    for (unsigned c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
    for (const char c : others) table[static_cast<unsigned char>(c)] = true;
    return table;
}

inline constexpr auto token_characters = letters_and_digits_and("!#$%&'*+-.^_`|~"); // RFC 9110 5.6.2

inline constexpr auto value_characters = [] { // RFC 9110 5.5: visible, space, tab, obs-text
    character_set table{};
    for (unsigned c = 0x20; c <= 0xff; ++c) table[c] = c != 0x7f;
    table['\t'] = true;
    return table;
}();

// Whether text is made of value_characters.
inline bool is_value(std::string_view text) {
    using namespace base::eight_bytes;
    // A tab may be among them: then each by itself.
    const auto are_values = [](const char* eight) {
        const auto bytes = load(eight);
        return (any_below(bytes, 0x20) | any_equal(bytes, 0x7f)) == 0 || all_of({eight, 8}, value_characters);
    };
    if (text.size() < 8) return all_of(text, value_characters);
    for (std::size_t at = 0; at + 8 <= text.size(); at += 8)
        if (!are_values(text.data() + at)) return false;
    return are_values(text.data() + text.size() - 8);
}

inline constexpr auto target_characters =
    [] { // RFC 3986, but for the few ASCII characters that clients leave unescaped
        character_set table{};
        for (unsigned c = 0x21; c <= 0x7e; ++c) table[c] = true;
        for (const char c : std::string_view("#\"<>\\^`")) table[static_cast<unsigned char>(c)] = false;
        return table;
    }();

inline constexpr auto unreserved_characters = letters_and_digits_and("-._~"); // RFC 3986 2.3

// RFC 3986 3.2.2 reg-name, but for the comma, which would join two hosts to one, and for escapes: no name of the DNS
// has any, and who decodes them sees another host than who does not.
inline constexpr auto host_characters = letters_and_digits_and("-._~!$&'()*+;=");

} // namespace scoregate::http
