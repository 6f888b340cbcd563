// What an operator should look at, from what /status and /history say: one sentence for each thing that is not as it
// should be, the worst first. One judgement for the page and for `scoregate status`. Pure; any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace scoregate::control {

// When a service's errors, of all that ended in the last 15 s, are worth a word: replies that the replica or scoregate
// has failed to give.
inline constexpr double warning_error_ratio = 0.01, bad_error_ratio = 0.1;

struct finding {
    bool bad = false; // somebody is not served, or will not be before long; else a warning
    std::string text;
};

// Members that are not there say nothing.
std::vector<finding> findings_of(const nlohmann::json& status, const nlohmann::json& history);

// {"level": "good" | "warning" | "bad", "findings": [{"level", "text"}]}
nlohmann::json to_json(const std::vector<finding>&);

} // namespace scoregate::control
