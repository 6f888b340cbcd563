#include "config/load.hpp"

namespace scoregate::config {

std::vector<override_setting> parse_set_options(const std::vector<std::string>& words, problems& out) {
    std::vector<override_setting> settings;
    for (const auto& word : words) {
        const auto equals = word.find('=');
        if (equals == std::string::npos || equals == 0) {
            out.push_back({"--set " + word, "", "is not KEY=VALUE: write it like --set listen.https=127.0.0.1:8443"});
            continue;
        }
        auto key = word.substr(0, equals);
        auto origin = "--set " + key;
        settings.push_back({std::move(key), word.substr(equals + 1), std::move(origin)});
    }
    return settings;
}

std::vector<override_setting> environment_overrides(const char* const* environment) {
    constexpr std::string_view prefix = "SCOREGATE_SET_";
    std::vector<override_setting> settings;
    for (; *environment != nullptr; ++environment) {
        const std::string_view entry{*environment};
        const auto equals = entry.find('=');
        if (!entry.starts_with(prefix) || equals == std::string_view::npos) continue;
        const auto name = entry.substr(0, equals);
        std::string key{name.substr(prefix.size())};
        for (auto at = key.find("__"); at != std::string::npos; at = key.find("__", at + 1)) key.replace(at, 2, 1, '.');
        settings.push_back({std::move(key), std::string{entry.substr(equals + 1)}, std::string{name}});
    }
    return settings;
}

} // namespace scoregate::config
