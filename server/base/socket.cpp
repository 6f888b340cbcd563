#include "base/socket.hpp"

#include <boost/system/system_error.hpp>

namespace scoregate::base {

socket::socket(tcp_socket from) : socket(from.get_executor()) {
    if (!from.is_open()) return;
    error_code ec;
    assign(descriptor(from.release()), ec);
    if (ec) throw boost::system::system_error(ec, "socket");
}

void socket::adopt(descriptor owned, bool connecting, error_code& ec) {
    close();
    watched_ = poller_->watch(owned.number(), connecting, ec);
    if (watched_ != nullptr) owned.release();
}

descriptor socket::release() {
    if (watched_ == nullptr) return {};
    descriptor given(watched_->descriptor);
    poller_->forget(*std::exchange(watched_, nullptr), true);
    return given;
}

void socket::close() {
    if (watched_ == nullptr) return;
    const descriptor closed(watched_->descriptor);
    poller_->forget(*std::exchange(watched_, nullptr), false);
}

void socket::shutdown(shutdown_type what, error_code& ec) {
    ec = {};
    if (::shutdown(native_handle(), static_cast<int>(what)) != 0) ec.assign(errno, boost::system::system_category());
}

error_code socket::failure() {
    int number = 0;
    socklen_t size = sizeof number;
    if (::getsockopt(native_handle(), SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
    return {number, boost::system::system_category()};
}

// What came short took all there was (epoll(7), question 9), unless the end came with it.
ssize_t socket::read_now(void* into, std::size_t size) {
    ssize_t n = 0;
    do n = ::recv(native_handle(), into, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (watched_ == nullptr) return n;
    const bool took_all = n < 0 ? errno == EAGAIN || errno == EWOULDBLOCK
                                : static_cast<std::size_t>(n) < size && !watched_->urgent && !watched_->ended;
    if (took_all) watched_->readable = false;
    return n;
}

ssize_t socket::peek_now(void* into, std::size_t size) {
    ssize_t n = 0;
    do n = ::recv(native_handle(), into, size, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && watched_ != nullptr) watched_->readable = false;
    return n;
}

ssize_t socket::write_now(const void* from, std::size_t size, int flags) {
    ssize_t n = 0;
    do n = ::send(native_handle(), from, size, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
    while (n < 0 && errno == EINTR);
    if (watched_ == nullptr) return n;
    const bool is_full = n < 0 ? errno == EAGAIN || errno == EWOULDBLOCK : static_cast<std::size_t>(n) < size;
    if (is_full) watched_->writable = false;
    return n;
}

bool socket::settle(ssize_t result, error_code& ec, std::size_t& n) {
    if (result > 0) {
        n = static_cast<std::size_t>(result);
        return true;
    }
    if (result == 0) {
        ec = asio::error::eof;
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    ec.assign(errno, boost::system::system_category());
    return true;
}

} // namespace scoregate::base
