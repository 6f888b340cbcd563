#include "app/bind.hpp"

#include "base/executor.hpp"

#include <boost/asio/ip/address.hpp>

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

namespace scoregate::app {

namespace {

constexpr int queue_length = 4096; // the kernel lowers it to net.core.somaxconn

std::string to_text(const base::tcp::endpoint& address) {
    const auto host = address.address().to_string();
    return (address.address().is_v6() ? '[' + host + ']' : host) + ':' + std::to_string(address.port());
}

// The bound socket, or -1 with errno.
int bound_socket(const base::tcp::endpoint& address) {
    const int made = ::socket(address.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) return -1;
    const int on = 1, off = 0;
    ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); // a restart need not wait for TIME_WAIT
    if (address.address().is_v6()) ::setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (::bind(made, address.data(), static_cast<socklen_t>(address.size())) == 0 && ::listen(made, queue_length) == 0)
        return made;
    const int why = errno;
    ::close(made);
    errno = why;
    return -1;
}

} // namespace

boost::system::result<listening, std::string> listen_on(const config::endpoint& wanted) {
    base::error_code ec;
    base::tcp::endpoint address(boost::asio::ip::make_address(wanted.host, ec), wanted.port);
    if (ec) return "cannot listen on " + wanted.host + ": not an IP address";
    int descriptor = bound_socket(address);
    const bool no_ipv6 = errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL;
    if (descriptor < 0 && no_ipv6 && address.address().is_v6() && address.address().is_unspecified()) {
        address = {boost::asio::ip::address_v4::any(), wanted.port};
        descriptor = bound_socket(address);
    }
    if (descriptor < 0) return "cannot listen on " + to_text(address) + ": " + std::strerror(errno);
    auto size = static_cast<socklen_t>(address.capacity());
    ::getsockname(descriptor, address.data(), &size);
    return listening{descriptor, to_text(address)};
}

} // namespace scoregate::app
