#include "app/bind.hpp"

#include "base/executor.hpp"

#include <boost/asio/ip/address.hpp>

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace scoregate::app {

namespace {

constexpr int queue_length = 4096; // the kernel lowers it to net.core.somaxconn

std::string to_text(const base::tcp::endpoint& address) {
    const auto host = address.address().to_string();
    return (address.address().is_v6() ? '[' + host + ']' : host) + ':' + std::to_string(address.port());
}

// Bound to `address`, which gets the port that the system picked for 0. -1 with errno.
int bound_socket(base::tcp::endpoint& address) {
    const int made = ::socket(address.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) return -1;
    const int on = 1, off = 0;
    ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); // a restart need not wait for TIME_WAIT
    if (address.address().is_v6()) ::setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    auto size = static_cast<socklen_t>(address.capacity());
    if (::bind(made, address.data(), static_cast<socklen_t>(address.size())) == 0 &&
        ::getsockname(made, address.data(), &size) == 0)
        return made;
    const int why = errno;
    ::close(made);
    errno = why;
    return -1;
}

// The socket that listens, or -1 with errno. A port that the system has picked it takes back when the listener pauses,
// one that was asked for it does not: so what was picked is asked for while the first socket still holds it.
int listening_socket(base::tcp::endpoint& address) {
    const bool picked = address.port() == 0;
    int made = bound_socket(address);
    if (made >= 0 && picked) {
        const int asked = bound_socket(address);
        ::close(std::exchange(made, asked));
    }
    if (made < 0 || ::listen(made, queue_length) == 0) return made;
    const int why = errno;
    ::close(made);
    errno = why;
    return -1;
}

} // namespace

boost::system::result<listening, not_bound> listen_on(const config::endpoint& wanted) {
    base::error_code ec;
    base::tcp::endpoint address(boost::asio::ip::make_address(wanted.host, ec), wanted.port);
    if (ec) return not_bound{"cannot listen on " + wanted.host + ": not an IP address", false};
    int descriptor = listening_socket(address);
    const bool no_ipv6 = errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL;
    if (descriptor < 0 && no_ipv6 && address.address().is_v6() && address.address().is_unspecified()) {
        address = {boost::asio::ip::address_v4::any(), wanted.port};
        descriptor = listening_socket(address);
    }
    if (descriptor < 0) {
        const int why = errno;
        return not_bound{"cannot listen on " + to_text(address) + ": " + std::strerror(why), why == EADDRINUSE};
    }
    return listening{descriptor, to_text(address), wanted};
}

bool listen_again(int descriptor) { return ::listen(descriptor, queue_length) == 0; }

std::optional<config::endpoint> address_of(int descriptor) {
    base::tcp::endpoint address;
    auto size = static_cast<socklen_t>(address.capacity());
    int type = 0;
    socklen_t type_size = sizeof type;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || type != SOCK_STREAM ||
        ::getsockname(descriptor, address.data(), &size) != 0)
        return std::nullopt;
    const auto family = address.data()->sa_family;
    if (family != AF_INET && family != AF_INET6) return std::nullopt;
    address.resize(size);
    return config::endpoint{address.address().to_string(), address.port()};
}

} // namespace scoregate::app
