#include "auth/base64url.hpp"

#include <cjose/base64.h>
#include <cjose/util.h>

#include <algorithm>

namespace scoregate::auth {

bool is_base64url(std::string_view text) noexcept {
    const auto fits = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    return text.size() % 4 != 1 && std::ranges::all_of(text, fits);
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
