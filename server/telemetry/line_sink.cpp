#include "telemetry/line_sink.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>

#include <poll.h>
#include <unistd.h>

namespace scoregate::telemetry {

void line_sink::sink_it_(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (lost_ != 0) {
        const std::string told = (torn_ ? "\n" : "") + ("(lines lost here: " + std::to_string(lost_)) +
                                 ", who reads this log had stopped)\n";
        if (write(told)) lost_ = 0;
    }
    if (lost_ != 0 || !write({line.data(), line.size()})) ++lost_;
}

// A poll that says "writable" promises no more than PIPE_BUF bytes of a pipe that blocks, as an inherited stderr does.
bool line_sink::write(std::string_view text) {
    while (!text.empty()) {
        pollfd ready{descriptor_, POLLOUT, 0};
        if (::poll(&ready, 1, 0) != 1) return false;
        const auto n = ::write(descriptor_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        torn_ = text[static_cast<std::size_t>(n) - 1] != '\n';
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

} // namespace scoregate::telemetry
