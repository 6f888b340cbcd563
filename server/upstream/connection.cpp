#include "upstream/connection.hpp"

#include "telemetry/log.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace scoregate::upstream {

namespace {

// Between tries while a backlog is full. It doubles: many may wait, each with a timer of its own.
constexpr std::chrono::milliseconds first_pause{5}, longest_pause{100};

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

base::task<base::error_code> connection::connect(std::span<const base::tcp::endpoint> addresses) {
    base::error_code ec = base::asio::error::host_not_found;
    for (const auto& address : addresses) {
        auto& socket = plain_.socket();
        if (socket.is_open()) socket.close(ec);
        socket.open(address.protocol(), ec);
        if (!ec && socket.native_handle() >= most_descriptors_) {
            base::error_code ignored;
            socket.close(ignored);
            ec = make_error_code(boost::system::errc::too_many_files_open);
        }
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

// The connection is there at once, or refused. While the listener's backlog is full it is neither (EAGAIN), and nothing
// tells when there is room: tried again until somebody cancels.
base::task<base::error_code> connection::connect_to_path(std::string path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) co_return base::asio::error::name_too_long;
    path.copy(address.sun_path, path.size());
    auto& socket = plain_.socket();
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) co_return base::error_code(errno, boost::system::system_category());
    if (descriptor >= most_descriptors_) {
        ::close(descriptor);
        co_return make_error_code(boost::system::errc::too_many_files_open);
    }
    base::error_code ec;
    socket.assign(base::tcp::v4(), descriptor, ec); // Asio only wants to know that it is a stream
    if (ec) {
        ::close(descriptor);
        co_return ec;
    }
    base::tick_timer timer(socket.get_executor());
    auto pause = first_pause;
    while (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) co_return base::error_code(errno, boost::system::system_category());
        timer.expires_after(pause);
        co_await timer.async_wait(base::awaited);
        if (cancelled_) co_return base::asio::error::operation_aborted;
        pause = std::min(2 * pause, longest_pause);
    }
    co_return base::error_code();
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
    char byte;
    const auto n = ::recv(socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void connection::cancel() {
    cancelled_ = true;
    base::error_code ignored;
    socket().cancel(ignored);
}

} // namespace scoregate::upstream
