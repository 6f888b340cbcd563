// A socket with the interface that the data plane uses: Asio's AsyncReadStream and AsyncWriteStream, and the two
// non-blocking attempts that make the common case free of a wait. tls::stream has the same. Owned by one connection.
#pragma once

#include "base/executor.hpp"
#include "base/socket.hpp"
#include "base/unacknowledged.hpp"

#include <cerrno>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace scoregate::base {

class plain_stream {
public:
    using executor_type = executor;
    static constexpr bool is_tls = false;

    explicit plain_stream(base::socket socket) : socket_(std::move(socket)) {}

    executor_type get_executor() { return socket_.get_executor(); }
    base::socket& socket() { return socket_; }

    // Bytes that are there without waiting; 0 with would_block, eof or the socket's error.
    std::size_t read_now(std::span<char> into, error_code& ec) {
        const auto n = socket_.read_now(into.data(), into.size());
        if (n > 0) return static_cast<std::size_t>(n);
        ec = n == 0 ? error_code(asio::error::eof) : error_code(errno, boost::system::system_category());
        return 0;
    }
    // Bytes taken by the kernel without waiting; fewer than given when the socket is full. `ec` only for real errors.
    std::size_t write_now(std::string_view bytes, error_code& ec) {
        const auto n = socket_.write_now(bytes.data(), bytes.size());
        if (n >= 0) {
            sent_ += static_cast<std::size_t>(n);
            return static_cast<std::size_t>(n);
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) ec.assign(errno, boost::system::system_category());
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
        return socket_.async_write_by<void(error_code, std::size_t)>(
            [this, from = socket::first_filled<asio::const_buffer>(buffers)](error_code& ec, std::size_t& n) {
                if (from.size() == 0) return true;
                if (socket_.writable()) n = write_now({static_cast<const char*>(from.data()), from.size()}, ec);
                return n != 0 || ec;
            },
            std::forward<Token>(token));
    }

private:
    base::socket socket_;
    std::uint64_t sent_ = 0; // given to the kernel
};

} // namespace scoregate::base
