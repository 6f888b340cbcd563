// Sockets that listen. Bound before anything else starts, so that a port in use is an error of the start.
#pragma once

#include "config/model.hpp"

#include <boost/system/result.hpp>

#include <string>

namespace scoregate::app {

struct listening {
    int descriptor;      // non-blocking, close-on-exec; the caller's
    std::string address; // what was bound, "127.0.0.1:43211" or "[::]:8443"
};

// The error is a sentence that names the address. Without IPv6 on the host, "::" falls back to "0.0.0.0".
boost::system::result<listening, std::string> listen_on(const config::endpoint&);

} // namespace scoregate::app
