#include "telemetry/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <memory>
#include <utility>

namespace scoregate::telemetry {

spdlog::logger make_log(spdlog::sink_ptr sink) {
    spdlog::logger made("scoregate", std::move(sink));
    made.set_formatter(
        std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
    made.flush_on(spdlog::level::trace);
    return made;
}

spdlog::logger& log() {
    static spdlog::logger one = make_log(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    return one;
}

bool set_log_level(std::string_view level) {
    constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 4> levels{{
        {"debug", spdlog::level::debug},
        {"info", spdlog::level::info},
        {"warning", spdlog::level::warn},
        {"error", spdlog::level::err},
    }};
    for (const auto& [word, value] : levels)
        if (word == level) {
            log().set_level(value);
            return true;
        }
    return false;
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
