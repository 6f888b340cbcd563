// Asks the admin port of a running scoregate: for the command line. Blocks; any thread.
#pragma once

#include "config/model.hpp"

#include <boost/system/result.hpp>

#include <chrono>
#include <string>

namespace scoregate::control {

struct admin_reply {
    unsigned status = 0; // HTTP
    std::string body;
};

inline constexpr auto default_admin_url = "http://127.0.0.1:9001"; // of config::admin

// `url` is http://HOST:PORT, `method` GET or POST; `token_file`: one as in admin.token_file, empty if the port asks for
// none. Gives up after `patience`. The error is a sentence with a remedy.
boost::system::result<admin_reply, std::string> ask_admin(const std::string& url, const std::string& method,
                                                          const std::string& path, const std::string& token_file = {},
                                                          std::chrono::seconds patience = std::chrono::minutes{1});

// Where a scoregate that listens on `address` is reached from the same host.
std::string admin_url(const config::endpoint& address);

} // namespace scoregate::control
