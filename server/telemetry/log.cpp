#include "telemetry/log.hpp"

#include "config/model.hpp"
#include "telemetry/line_sink.hpp"

#include <spdlog/pattern_formatter.h>

#include <array>
#include <memory>
#include <utility>

#include <unistd.h>

namespace scoregate::telemetry {

namespace {

// In the order of config::log_level.
constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 4> levels{{
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warning", spdlog::level::warn},
    {"error", spdlog::level::err},
}};

} // namespace

spdlog::logger make_log(spdlog::sink_ptr sink) {
    spdlog::logger made("scoregate", std::move(sink));
    made.set_formatter(
        std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
    made.flush_on(spdlog::level::trace);
    return made;
}

spdlog::logger& log() {
    static spdlog::logger one = make_log(std::make_shared<line_sink>(STDERR_FILENO));
    return one;
}

bool set_log_level(std::string_view level) {
    for (const auto& [word, value] : levels)
        if (word == level) {
            log().set_level(value);
            return true;
        }
    return false;
}

void set_log_level(config::log_level level) { log().set_level(levels[static_cast<std::size_t>(level)].second); }

bool change_log_level(std::string_view level, std::string_view why) {
    const auto before = log().level();
    const auto tell = [&, old = log_level()] { log().warn("the log level was {} and is {} now: {}", old, level, why); };
    const auto found =
        std::find_if(levels.begin(), levels.end(), [&](const auto& each) { return each.first == level; });
    if (found == levels.end()) return false;
    if (found->second > before) tell(); // what comes after may be too little to be told
    log().set_level(found->second);
    if (found->second <= before) tell();
    return true;
}

void change_log_level(config::log_level level, std::string_view why) {
    change_log_level(levels[static_cast<std::size_t>(level)].first, why);
}

std::string_view log_level() {
    const auto now = log().level();
    for (const auto& [word, value] : levels)
        if (value == now) return word;
    return {};
}

std::optional<std::uint64_t> rate_limited::allow(clock::time_point now) {
    if (last_ && now - *last_ < interval_) {
        ++refused_;
        return std::nullopt;
    }
    last_ = now;
    return std::exchange(refused_, 0);
}

} // namespace scoregate::telemetry
