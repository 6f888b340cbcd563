#include "config/load.hpp"

#include <algorithm>

namespace scoregate::config {
namespace {

// Whether a key may begin like this, as far as its first dot. A secret in base64 is longer, PEM has other characters.
bool begins_a_key(std::string_view key) {
    constexpr std::size_t longest = 32;
    const auto first = key.substr(0, key.find('.'));
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    const auto fits = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
    return !first.empty() && first.size() <= longest && letter(first.front()) &&
           std::all_of(first.begin(), first.end(), fits);
}

} // namespace

std::vector<override_setting> parse_set_options(const std::vector<std::string>& words, problems& out) {
    std::vector<override_setting> settings;
    std::size_t number = 0;
    for (const auto& word : words) {
        ++number;
        const auto equals = word.find('=');
        // "==" ends base64: no value begins with "=".
        if (equals == std::string::npos || !begins_a_key(std::string_view{word}.substr(0, equals)) ||
            word.compare(equals, 2, "==") == 0) {
            out.push_back({"--set, number " + std::to_string(number), "",
                           "is not KEY=VALUE, and not shown, for it may be a secret: write it like --set "
                           "listen.https=127.0.0.1:8443"});
            continue;
        }
        auto key = word.substr(0, equals);
        auto origin = "--set " + key;
        settings.push_back({std::move(key), word.substr(equals + 1), std::move(origin)});
    }
    return settings;
}

std::vector<override_setting> environment_overrides(const char* const* environment) {
    constexpr std::string_view over_file = "SCOREGATE_SET_", unless_set = "SCOREGATE_UNLESS_SET_";
    std::vector<override_setting> settings;
    for (; *environment != nullptr; ++environment) {
        const std::string_view entry{*environment};
        const auto equals = entry.find('=');
        const bool yields = entry.starts_with(unless_set);
        if ((!yields && !entry.starts_with(over_file)) || equals == std::string_view::npos) continue;
        const auto name = entry.substr(0, equals);
        const auto prefix = yields ? unless_set : over_file;
        std::string key{name.substr(prefix.size())};
        for (auto at = key.find("__"); at != std::string::npos; at = key.find("__", at + 1)) key.replace(at, 2, 1, '.');
        settings.push_back({std::move(key), std::string{entry.substr(equals + 1)}, std::string{name}, yields});
    }
    return settings;
}

} // namespace scoregate::config
