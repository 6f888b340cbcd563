#include "conformance/wire_replica.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace scoregate::tests {

wire_replica::wire_replica() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listening_, generic, size) != 0 || ::listen(listening_, 64) != 0 ||
        ::getsockname(listening_, generic, &size) != 0)
        throw wire_error("cannot listen");
    port_ = ntohs(address.sin_port);
}

wire_replica::~wire_replica() {
    close_all();
    ::close(listening_);
}

bool wire_replica::await_more() {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < end)
        if (poll_once(static_cast<int>(std::chrono::milliseconds(patience).count()))) return true;
    throw wire_error("nothing has come to the replica");
}

bool wire_replica::is_quiet() {
    poll_once(0);
    poll_once(0); // of a connection that the first has accepted
    return bytes_.empty();
}

void wire_replica::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto n = ::send(active_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) throw wire_ended("the proxy has closed its connection to the replica");
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

void wire_replica::close() {
    if (active_ >= 0) forget(active_);
}

void wire_replica::wait_until_closed() {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (active_ >= 0) {
        if (std::chrono::steady_clock::now() > end) throw wire_error("the proxy keeps its connection to the replica");
        poll_once(1000);
    }
}

void wire_replica::close_all() {
    while (!connections_.empty()) forget(connections_.back());
    bytes_.clear();
}

void wire_replica::accept() {
    const int made = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (made < 0) throw wire_error("cannot accept");
    const int on = 1;
    ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections_.push_back(made);
}

bool wire_replica::read(int connection) {
    char block[65536];
    const auto n = ::recv(connection, block, sizeof block, MSG_DONTWAIT);
    if (n <= 0) {
        forget(connection);
        return false;
    }
    bytes_.append(block, static_cast<std::size_t>(n));
    active_ = connection;
    return true;
}

void wire_replica::forget(int connection) {
    ::close(connection);
    connections_.erase(std::remove(connections_.begin(), connections_.end(), connection), connections_.end());
    if (active_ == connection) active_ = -1;
}

bool wire_replica::poll_once(int timeout_ms) {
    std::vector<pollfd> all{{listening_, POLLIN, 0}};
    for (const int each : connections_) all.push_back({each, POLLIN, 0});
    if (::poll(all.data(), all.size(), timeout_ms) <= 0) return false;
    bool brought = false;
    for (std::size_t i = 1; i < all.size(); ++i)
        if (all[i].revents != 0) brought |= read(all[i].fd);
    if (all[0].revents != 0) accept();
    return brought;
}

} // namespace scoregate::tests
