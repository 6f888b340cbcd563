#include "upstream/connection.hpp"

#include "telemetry/log.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>
#include <sys/un.h>

namespace scoregate::upstream {

namespace {

// Between tries while a backlog is full: many may wait, each with a timer of its own.
constexpr std::chrono::milliseconds first_pause{50}, longest_pause{100};

base::error_code last_error() { return {errno, boost::system::system_category()}; }

// True: it is connected. False: not yet, or not at all, as `ec` says.
bool connect_now(const base::descriptor& from, const sockaddr* to, std::size_t size, base::error_code& ec) {
    int result = 0;
    do result = ::connect(from.number(), to, static_cast<socklen_t>(size));
    while (result != 0 && errno == EINTR);
    if (result != 0) ec = last_error();
    return result == 0;
}

} // namespace

connection::~connection() {
    if (secure_ && secure_->socket().is_open()) secure_->close_notify();
}

base::task<base::error_code> connection::open(const routing::replica& where, base::buffer_pool& buffers) {
    base::error_code ec;
    if (where.unix_path.empty())
        ec = co_await connect(where.addresses);
    else
        ec = co_await connect_to_path(where.unix_path);
    if (!ec && where.tls) ec = co_await secure(where, buffers);
    co_return ec;
}

base::descriptor connection::open_descriptor(int family, base::error_code& ec) const {
    base::descriptor made(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!made) {
        ec = last_error();
    } else if (made.number() >= most_descriptors_) {
        ec = make_error_code(boost::system::errc::too_many_files_open);
        made = {};
    }
    return made;
}

base::task<base::error_code> connection::connect(std::span<const base::tcp::endpoint> addresses) {
    base::error_code ec = base::asio::error::host_not_found;
    for (const auto& address : addresses) {
        ec = {};
        auto descriptor = open_descriptor(address.protocol().family(), ec);
        if (ec) continue;
        const bool at_once = connect_now(descriptor, address.data(), address.size(), ec);
        if (ec && ec != base::asio::error::in_progress) continue;
        ec = {};
        auto& socket = plain_.socket();
        if (at_once)
            socket.assign(std::move(descriptor), ec);
        else
            socket.assign_connecting(std::move(descriptor), ec);
        if (!at_once && !ec) {
            const auto [failed] = co_await socket.async_wait(base::socket::wait_write, base::awaited);
            ec = failed ? failed : socket.failure();
        }
        if (cancelled_) co_return base::asio::error::operation_aborted;
        if (!ec) {
            base::error_code ignored;
            socket.set_option(base::tcp::no_delay(true), ignored);
            co_return ec;
        }
    }
    co_return ec;
}

// The connection is there at once, or refused. While the listener's backlog is full it is neither (EAGAIN), and nothing
// tells when there is room: tried again until somebody cancels.
base::task<base::error_code> connection::connect_to_path(std::string path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) co_return base::asio::error::name_too_long;
    path.copy(address.sun_path, path.size());
    base::error_code ec;
    auto descriptor = open_descriptor(AF_UNIX, ec);
    if (ec) co_return ec;
    auto& socket = plain_.socket();
    auto pause = first_pause;
    while (!connect_now(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address, ec)) {
        if (ec != base::asio::error::try_again) co_return ec;
        base::tick_timer timer(socket.get_executor(), pause); // a core sees it at the next tick
        co_await timer.async_wait(base::awaited);
        if (cancelled_) co_return base::asio::error::operation_aborted;
        pause = std::min(2 * pause, longest_pause);
        ec = {};
    }
    socket.assign(std::move(descriptor), ec);
    co_return ec;
}

base::task<base::error_code> connection::secure(const routing::replica& where, base::buffer_pool& buffers) {
    if (!where.trust) co_return make_error_code(boost::system::errc::protocol_error);
    secure_ = std::make_unique<tls::stream>(std::move(plain_.socket()), where.trust->begin(where.host), buffers);
    const auto outcome = co_await secure_->handshake();
    if (cancelled_) co_return base::asio::error::operation_aborted;
    if (outcome == tls::handshake_outcome::finished) co_return base::error_code();
    const auto verified = SSL_get_verify_result(secure_->native_handle());
    if (where.trust->may_complain())
        telemetry::log().warn("{}: no TLS with it: {}", where.url,
                              verified != X509_V_OK
                                  ? std::string("its certificate is not trusted (") +
                                        X509_verify_cert_error_string(verified) + "); check " + where.trust->settings()
                                  : std::string("the handshake failed; is it TLS 1.2 that this port speaks?"));
    co_return make_error_code(boost::system::errc::protocol_error);
}

bool connection::still_idle() {
    if (secure_ && secure_->buffered()) return false;
    if (!socket().readable()) return socket().is_open();
    char byte = 0;
    return socket().peek_now(&byte, 1) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void connection::cancel() {
    cancelled_ = true;
    socket().cancel();
}

} // namespace scoregate::upstream
