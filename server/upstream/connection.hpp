// One kept-alive HTTP/1.1 connection to a replica. Owned by a pool while idle, by a lease while in use; one core.
#pragma once

#include "base/plain_stream.hpp"

#include <chrono>
#include <cstdint>
#include <span>

namespace scoregate::upstream {

class connection {
public:
    connection(base::executor where, std::uint64_t replica_id)
        : stream_(base::tcp_socket(where)), replica_id_(replica_id) {}

    // Tries the addresses in turn. Ends early with operation_aborted if cancelled. The last address's error otherwise.
    base::task<base::error_code> connect(std::span<const base::tcp::endpoint> addresses);

    base::plain_stream& stream() { return stream_; }
    std::uint64_t replica_id() const { return replica_id_; }

    // False if the replica has closed or sent something unasked: a look that takes nothing out of the socket.
    bool still_idle();
    void cancel();
    void close();

    std::chrono::steady_clock::time_point idle_since;

private:
    base::plain_stream stream_;
    std::uint64_t replica_id_;
    bool cancelled_ = false;
};

} // namespace scoregate::upstream
