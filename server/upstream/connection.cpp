#include "upstream/connection.hpp"

#include <cerrno>
#include <sys/socket.h>

namespace scoregate::upstream {

base::task<base::error_code> connection::connect(std::span<const base::tcp::endpoint> addresses) {
    base::error_code ec = base::asio::error::host_not_found;
    for (const auto& address : addresses) {
        auto& socket = stream_.socket();
        if (socket.is_open()) socket.close(ec);
        socket.open(address.protocol(), ec);
        if (ec) continue;
        const auto [failed] = co_await socket.async_connect(address, base::awaited);
        ec = failed;
        if (cancelled_) co_return base::asio::error::operation_aborted;
        if (!ec) {
            base::error_code ignored;
            socket.set_option(base::tcp::no_delay(true), ignored);
            co_return ec;
        }
    }
    co_return ec;
}

bool connection::still_idle() {
    char byte;
    const auto n = ::recv(stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void connection::cancel() {
    cancelled_ = true;
    base::error_code ignored;
    stream_.socket().cancel(ignored);
}

void connection::close() {
    cancelled_ = true;
    base::error_code ignored;
    stream_.socket().close(ignored);
}

} // namespace scoregate::upstream
