#include "auth/base64url.hpp"

#include <cjose/base64.h>
#include <cjose/util.h>

#include <algorithm>
#include <array>

namespace scoregate::auth {

namespace {

constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::array<unsigned, 4> bits_left{0, 0, 0xf, 0x3}; // of the last letter, by how many letters follow fours

constexpr std::array<unsigned char, 256> values = [] {
    std::array<unsigned char, 256> made{};
    made.fill(0xff);
    for (std::size_t i = 0; i < letters.size(); ++i)
        made[static_cast<unsigned char>(letters[i])] = static_cast<unsigned char>(i);
    return made;
}();

constexpr unsigned value_of(char letter) { return values[static_cast<unsigned char>(letter)]; }

} // namespace

bool is_base64url(std::string_view text) noexcept {
    if (text.size() % 4 == 1 || !std::ranges::all_of(text, [](char each) { return value_of(each) != 0xff; }))
        return false;
    return text.empty() || (value_of(text.back()) & bits_left[text.size() % 4]) == 0;
}

std::optional<std::string> decode_base64url(std::string_view text) {
    if (!is_base64url(text)) return std::nullopt;
    if (text.empty()) return std::string{};
    uint8_t* bytes = nullptr;
    std::size_t size = 0;
    if (!cjose_base64url_decode(text.data(), text.size(), &bytes, &size, nullptr)) return std::nullopt;
    std::string decoded(reinterpret_cast<const char*>(bytes), size);
    cjose_get_dealloc()(bytes);
    return decoded;
}

} // namespace scoregate::auth
