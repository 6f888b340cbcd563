// A TCP socket with the interface that the data plane uses: Asio's AsyncReadStream and AsyncWriteStream, and the two
// non-blocking attempts that make the common case free of a wait. tls::stream has the same. Owned by one connection.
#pragma once

#include "base/executor.hpp"
#include "base/unacknowledged.hpp"

#include <boost/asio/compose.hpp>

#include <cerrno>
#include <cstdint>
#include <span>
#include <string_view>
#include <sys/socket.h>
#include <utility>

namespace scoregate::base {

class plain_stream {
public:
    using executor_type = executor;
    static constexpr bool is_tls = false;

    explicit plain_stream(tcp_socket socket) : socket_(std::move(socket)) {}

    executor_type get_executor() { return socket_.get_executor(); }
    tcp_socket& socket() { return socket_; }

    // Bytes that are there without waiting; 0 with would_block, eof or the socket's error.
    std::size_t read_now(std::span<char> into, error_code& ec) {
        const auto n = ::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
        if (n > 0) return static_cast<std::size_t>(n);
        ec = n == 0 ? error_code(asio::error::eof) : error_code(errno, boost::system::system_category());
        return 0;
    }
    // Bytes taken by the kernel without waiting; fewer than given when the socket is full. `ec` only for real errors.
    std::size_t write_now(std::string_view bytes, error_code& ec) {
        const auto n = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent_ += static_cast<std::size_t>(n);
            return static_cast<std::size_t>(n);
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            ec.assign(errno, boost::system::system_category());
        return 0;
    }
    // True if bytes stand here that the socket will not announce again.
    bool buffered() const { return false; }
    void release_buffers() {}
    // Bytes of ours that the peer's system has taken, whether or not anybody has read them. A system call.
    std::uint64_t taken() { return sent_ - unacknowledged(socket_.native_handle()); }

    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return socket_.async_read_some(buffers, std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return asio::async_compose<Token, void(error_code, std::size_t)>(write_operation<Buffers>{*this, buffers},
                                                                         token, socket_);
    }

private:
    template <class Buffers>
    struct write_operation {
        plain_stream& owner;
        Buffers from;
        bool begun = false;

        template <class Self>
        void operator()(Self& self, error_code ec = {}, std::size_t n = 0) {
            if (begun) {
                owner.sent_ += n;
                return self.complete(ec, n);
            }
            begun = true;
            const auto bytes = from; // not within what is moved away
            owner.socket_.async_write_some(bytes, std::move(self));
        }
    };

    tcp_socket socket_;
    std::uint64_t sent_ = 0; // given to the kernel
};

} // namespace scoregate::base
