// The replica of the .wire cases: does nothing by itself, on the test's own thread, so that it says exactly what has
// arrived, over whichever connection.
#pragma once

#include "support/wire.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace scoregate::tests {

class wire_replica {
public:
    wire_replica();
    ~wire_replica();
    wire_replica(const wire_replica&) = delete;
    wire_replica& operator=(const wire_replica&) = delete;

    std::uint16_t port() const { return port_; }

    // What has arrived and was not taken.
    const std::string& unread() const { return bytes_; }
    void take(std::size_t size) { bytes_.erase(0, size); }
    // Waits for more; throws wire_error after `patience`.
    bool await_more();
    // Looks without waiting; true if nothing is unread.
    bool is_quiet();

    // On the connection over which something arrived last.
    void send(std::string_view bytes);
    void close();
    void wait_until_closed(); // by the proxy
    void close_all();

private:
    void accept();
    // True if it brought bytes.
    bool read(int connection);
    void forget(int connection);
    bool poll_once(int timeout_ms);

    int listening_;
    std::uint16_t port_ = 0;
    std::vector<int> connections_;
    int active_ = -1;
    std::string bytes_;
};

} // namespace scoregate::tests
