// The operational log on stderr: what an operator must know, one line each, `2026-01-31T12:00:00.000Z warning message`.
// Written by who has something to say, never waited for (line_sink.hpp): cores format nothing above debug per request,
// so it is rare. Any thread.
#pragma once

#include <spdlog/logger.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace scoregate::config {
enum class log_level : std::uint8_t;
}

namespace scoregate::telemetry {

// telemetry::log().warn("certificate {} expires in {} days", cname, days);
spdlog::logger& log();

// debug, info, warning or error; false for any other word, and nothing is changed. Any thread, at any time.
bool set_log_level(std::string_view level);
void set_log_level(config::log_level level);
// The same while all runs: the log says so, and `why`, where it has a line for it before or after.
bool change_log_level(std::string_view level, std::string_view why);
void change_log_level(config::log_level level, std::string_view why);
std::string_view log_level();

// A logger of the same form on another sink: what log() is made of, and what tests read.
spdlog::logger make_log(spdlog::sink_ptr sink);

// At most one line per interval for something that may happen thousands of times a second: one object per call site,
// one thread. The caller passes the time.
//     if (const auto hidden = limit_.allow(now)) log().warn("accept: {} ({} more like it)", what, *hidden);
class rate_limited {
public:
    using clock = std::chrono::steady_clock;

    explicit rate_limited(clock::duration interval) : interval_(interval) {}

    // How many calls were refused since the last allowed one, or nothing when this one is refused too.
    std::optional<std::uint64_t> allow(clock::time_point now);

private:
    clock::duration interval_;
    std::optional<clock::time_point> last_;
    std::uint64_t refused_ = 0;
};

} // namespace scoregate::telemetry
