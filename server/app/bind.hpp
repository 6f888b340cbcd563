// Sockets that listen. Bound before anything else starts, so that a port in use is an error of the start.
#pragma once

#include "config/model.hpp"

#include <boost/system/result.hpp>

#include <optional>
#include <string>

namespace scoregate::app {

struct listening {
    int descriptor;      // non-blocking, close-on-exec; the caller's
    std::string address; // what was bound, "127.0.0.1:43211" or "[::]:8443"
    config::endpoint configured;
};

struct not_bound {
    std::string sentence; // names the address
    bool in_use;
};

// Without IPv6 on the host, "::" falls back to "0.0.0.0".
boost::system::result<listening, not_bound> listen_on(const config::endpoint&);

// A bound socket listens, with our length of queue, though whoever had it before has paused it. False with errno.
bool listen_again(int descriptor);

// Where a TCP socket is bound; empty for any other descriptor.
std::optional<config::endpoint> address_of(int descriptor);

} // namespace scoregate::app
