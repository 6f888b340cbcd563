// A listener on a Unix socket in a folder of its own, which goes with it.
#pragma once

#include "base/executor.hpp"

#include <boost/asio/local/stream_protocol.hpp>

#include <string>

namespace scoregate::tests {

class unix_listener {
public:
    using protocol = base::asio::local::stream_protocol;

    explicit unix_listener(base::asio::io_context& io, int backlog = 16);
    ~unix_listener();
    unix_listener(const unix_listener&) = delete;
    unix_listener& operator=(const unix_listener&) = delete;

    const std::string& path() const { return path_; }
    protocol::socket accept() { return acceptor_.accept(); }
    // The path stays, with nobody behind it.
    void stop() { acceptor_.close(); }

private:
    std::string folder_, path_;
    protocol::acceptor acceptor_;
};

} // namespace scoregate::tests
