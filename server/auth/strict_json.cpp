#include "auth/strict_json.hpp"

#include <set>
#include <vector>

namespace scoregate::auth {

using nlohmann::json;

std::optional<json> parse_object(std::string_view text) {
    // nlohmann::json keeps the last of equal names without a word, and another parser may keep the first.
    std::vector<std::set<std::string>> open;
    bool repeated = false;
    const auto follow = [&](int, json::parse_event_t event, const json& parsed) {
        if (event == json::parse_event_t::object_start) open.emplace_back();
        if (event == json::parse_event_t::object_end) open.pop_back();
        if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) repeated = true;
        return true;
    };
    auto parsed = json::parse(text, follow, false);
    if (repeated || !parsed.is_object()) return std::nullopt;
    return parsed;
}

const std::string* text_of(const json& object, const char* name) {
    const auto found = object.find(name);
    return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

} // namespace scoregate::auth
