// The access log's way to a syslog daemon: one message to a datagram, over a Unix socket or UDP (RFC 5426). To a place
// that is named they are messages of RFC 5424; to the daemon of this machine they are as syslog(3) makes them, which is
// what journald, and rsyslog unless told otherwise, read there and nothing else. Knows nothing of what a message says.
#pragma once

#include "config/model.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace scoregate::telemetry {

// A socket connected to the daemon that `place` names ("syslog", "syslog:/PATH", "syslog:ADDRESS:PORT", as
// config::log_path_form takes them), which never blocks; -1 and errno if there is none.
int open_syslog(std::string_view place);

// What comes before each message: `<134>1 2026-01-31T12:00:00.000Z HOST scoregate PID access - `, and on this machine
// `<134>scoregate[PID]: `, as the daemon takes its own time.
class syslog_header {
public:
    syslog_header(std::string_view place, config::log_facility);

    // Severity warning or informational.
    void append(std::string& out, std::chrono::system_clock::time_point, bool warning) const;

private:
    bool local_;
    std::string informational_, warning_, whose_;
};

} // namespace scoregate::telemetry
