// Listening sockets that are there before this process binds any: handed over by the process before (handover.hpp), or
// passed by what started this one (systemd's LISTEN_FDS). Which of them the configuration asks for. Start-up only.
#pragma once

#include "base/descriptor.hpp"
#include "config/model.hpp"

#include <boost/system/result.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace scoregate::app {

using base::descriptor;

enum class purpose : std::uint8_t { https, http, admin };

const char* to_text(purpose);

// What a socket was bound for: a port 0 is recognised by it.
struct request_to_listen {
    purpose serves = purpose::https;
    config::endpoint configured; // as the configuration has it

    friend bool operator==(const request_to_listen&, const request_to_listen&) = default;
};

struct found_socket {
    descriptor socket; // none once it is in use
    config::endpoint bound;
    std::optional<request_to_listen> asked = {}; // by the process before; none from LISTEN_FDS
};

// For each of `wanted` the place in `found` of the socket that serves it, if one does: bound to the same address, else
// bound for the same request, as those of port 0 are. "[::]" is served by 0.0.0.0 too, which is what a host without
// IPv6 gets. No socket serves two.
std::vector<std::optional<std::size_t>> match_sockets(const std::vector<found_socket>& found,
                                                      const std::vector<request_to_listen>& wanted);

// What the environment passes by sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, if LISTEN_PID is this process. The
// variables are unset: children must not believe them. Before there are threads. The error is a sentence.
boost::system::result<std::vector<found_socket>, std::string> passed_sockets();

// How many descriptors the two variables, null when not set, pass to the process `self`; the error is a sentence.
boost::system::result<unsigned, std::string> passed_count(const char* listen_pid, const char* listen_fds, int self);

// One descriptor passed: made close-on-exec and non-blocking. The error is a sentence that names the number.
boost::system::result<found_socket, std::string> adopt_passed(int number);

} // namespace scoregate::app
