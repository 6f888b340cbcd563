#include "config/collector.hpp"

#include "config/forms.hpp"

namespace scoregate::config {

std::optional<collector> parse_collector(std::string_view url, std::string& wrong) {
    constexpr std::string_view remedy = "write it as http://127.0.0.1:4318/v1/traces";
    const auto scheme_end = url.find("://");
    const auto scheme = url.substr(0, scheme_end);
    if (scheme_end == std::string_view::npos || (scheme != "http" && scheme != "https")) {
        wrong = "is no http:// or https:// URL: " + std::string(remedy);
        return {};
    }
    const auto slash = url.find('/', scheme_end + 3);
    const auto at = replica_form.parse(url.substr(0, slash), wrong);
    if (!at) return {};
    const auto path = slash == std::string_view::npos || slash + 1 == url.size() ? "/v1/traces" : url.substr(slash);
    const auto taken = probe_path_form.parse(path, wrong);
    if (!taken) return {};
    return collector{*at, *taken};
}

const form<std::string> collector_form{"collector", [](std::string_view text, std::string& wrong) {
                                           return parse_collector(text, wrong) ? std::optional{std::string(text)}
                                                                               : std::nullopt;
                                       }};

} // namespace scoregate::config
