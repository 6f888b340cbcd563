// One kept-alive HTTP/1.1 connection to a replica, in clear or over TLS. Models the stream that the data plane uses
// (base::plain_stream): which of the two it is costs a branch. Owned by a pool while idle, by a lease while in use; one
// core.
#pragma once

#include "base/plain_stream.hpp"
#include "routing/deployment.hpp"
#include "tls/replica_trust.hpp"
#include "tls/stream.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace scoregate::upstream {

class connection {
public:
    // Descriptors from `most_descriptors` on are for others: opening fails as if there were none.
    connection(base::executor where, std::uint64_t replica_id, int most_descriptors = std::numeric_limits<int>::max())
        : plain_(base::socket(where)), replica_id_(replica_id), most_descriptors_(most_descriptors) {}
    ~connection();
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // To the Unix socket of `where`, or tries its addresses in turn, and makes the handshake with the first that takes
    // the connection. Ends early with operation_aborted if cancelled. The last address's error otherwise;
    // protocol_error for TLS that came to nothing, which is logged with its reason.
    base::task<base::error_code> open(const routing::replica& where, base::buffer_pool& buffers);

    // As those of base::plain_stream.
    std::size_t write_now(std::string_view bytes, base::error_code& ec) {
        return secure_ ? secure_->write_now(bytes, ec) : plain_.write_now(bytes, ec);
    }
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return start<void(base::error_code, std::size_t)>(
            std::forward<Token>(token),
            [buffers](auto& stream, auto done) { stream.async_read_some(buffers, std::move(done)); });
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return start<void(base::error_code, std::size_t)>(
            std::forward<Token>(token),
            [buffers](auto& stream, auto done) { stream.async_write_some(buffers, std::move(done)); });
    }
    // Larger strides over TLS, for a large reply.
    void read_in_bulk(std::uint64_t to_come) {
        if (secure_) secure_->read_in_bulk(to_come);
    }
    void read_as_usual() {
        if (secure_) secure_->read_as_usual();
    }
    // Nothing is under way, and it may stay so: gives buffers back.
    void rest() {
        if (secure_) secure_->release_buffers();
    }

    base::socket& socket() { return secure_ ? secure_->socket() : plain_.socket(); }
    std::uint64_t replica_id() const { return replica_id_; }
    bool is_secure() const { return secure_ != nullptr; }

    // False if, as far as the loop has looked, the replica has closed or sent something unasked. Takes nothing out of
    // the socket.
    bool still_idle();
    void cancel();

    // The pool's.
    std::chrono::steady_clock::time_point first_idle, idle_since;
    unsigned times_idle = 0;

private:
    template <class Signature, class Token, class Operation>
    auto start(Token&& token, Operation operation) {
        return base::asio::async_initiate<Token, Signature>(
            [this](auto done, auto begin) {
                if (secure_)
                    begin(*secure_, std::move(done));
                else
                    begin(plain_, std::move(done));
            },
            token, std::move(operation));
    }
    base::descriptor open_descriptor(int family, base::error_code& ec) const;
    base::task<base::error_code> connect(std::span<const base::tcp::endpoint> addresses);
    base::task<base::error_code> connect_to_path(std::string path);
    base::task<base::error_code> secure(const routing::replica& where, base::buffer_pool& buffers);

    base::plain_stream plain_; // its socket moves on to secure_
    std::unique_ptr<tls::stream> secure_;
    std::uint64_t replica_id_;
    int most_descriptors_;
    bool cancelled_ = false;
};

} // namespace scoregate::upstream
