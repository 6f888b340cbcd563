#include "support/scripted_replica.hpp"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace scoregate::tests {

scripted_replica::scripted_replica(script played)
    : script_(std::move(played)), listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listening_, generic, size) != 0 || ::listen(listening_, 1024) != 0 ||
        ::getsockname(listening_, generic, &size) != 0)
        throw wire_error("cannot listen");
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept(); });
}

scripted_replica::~scripted_replica() {
    stopping_ = true;
    ::shutdown(listening_, SHUT_RDWR);
    accepting_.join();
    ::close(listening_);
    for (auto& each : conversations_) {
        each->interrupt();
        each->thread_.join();
    }
}

std::size_t scripted_replica::connections() const {
    const std::lock_guard lock(mutex_);
    return conversations_.size();
}

std::size_t scripted_replica::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_.size();
}

message scripted_replica::request(std::size_t number) const {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [&] { return requests_.size() > number; }))
        throw wire_error("the request has not come");
    return requests_[number];
}

void scripted_replica::wait_for_endings(std::size_t count) const {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [&] { return ended_ >= count; }))
        throw wire_error("the connection has not ended");
}

void scripted_replica::accept() {
    for (;;) {
        const int descriptor = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (stopping_ || (descriptor < 0 && errno == EINVAL)) {
            if (descriptor >= 0) ::close(descriptor);
            return;
        }
        if (descriptor < 0) continue;
        const int on = 1;
        ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const std::lock_guard lock(mutex_);
        auto& made =
            *conversations_.emplace_back(std::make_unique<conversation>(*this, descriptor, conversations_.size()));
        made.thread_ = std::thread([this, &made] {
            try {
                script_(made);
            } catch (const wire_error&) {
                // The proxy has ended the connection, or the test is over; what it should have done shows elsewhere.
            }
            made.close();
            const std::lock_guard ending(mutex_);
            ++ended_;
            changed_.notify_all();
        });
    }
}

std::size_t scripted_replica::note(message request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    changed_.notify_all();
    return requests_.size();
}

scripted_replica::conversation::conversation(scripted_replica& of, int descriptor, std::size_t number)
    : of_(of), number_(number), descriptor_(descriptor) {}

scripted_replica::conversation::~conversation() { close(); }

message scripted_replica::conversation::read_head() {
    auto request = parse_head(read_until("\r\n\r\n"));
    of_.note(request);
    return request;
}

message scripted_replica::conversation::read_request() {
    auto request = parse_head(read_until("\r\n\r\n"));
    if (!read_body(request)) throw wire_ended("the request is not whole");
    of_.note(request);
    return request;
}

void scripted_replica::conversation::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto n = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n > 0)
            bytes.remove_prefix(static_cast<std::size_t>(n));
        else if (errno == EAGAIN)
            wait_for(descriptor_, POLLOUT);
        else
            throw wire_ended("the proxy has closed");
    }
}

void scripted_replica::conversation::send_sliced(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size(); ++at) send(bytes.substr(at, 1));
}

void scripted_replica::conversation::wait_for_end() {
    while (!read_some().empty()) {
    }
}

void scripted_replica::conversation::shut() { ::shutdown(descriptor_, SHUT_WR); }

void scripted_replica::conversation::close() {
    const std::lock_guard lock(mutex_);
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void scripted_replica::conversation::reset() {
    const linger at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

bool scripted_replica::conversation::receive() {
    char block[65536];
    for (;;) {
        const auto n = ::recv(descriptor_, block, sizeof block, 0);
        if (n > 0) {
            bytes_.append(block, static_cast<std::size_t>(n));
            return true;
        }
        if (n == 0 || errno != EAGAIN) return false;
        wait_for(descriptor_, POLLIN);
    }
}

void scripted_replica::conversation::interrupt() {
    const std::lock_guard lock(mutex_);
    if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_RDWR);
}

scripted_replica::script always(std::string reply) {
    return [reply = std::move(reply)](scripted_replica::conversation& with) {
        for (;;) {
            with.read_request();
            with.send(reply);
        }
    };
}

scripted_replica::script answer_after(const event& go, std::string body) {
    return [&go, reply = ok(body)](scripted_replica::conversation& with) {
        for (;;) {
            with.read_request();
            go.wait();
            with.send(reply);
        }
    };
}

void echo(scripted_replica::conversation& with) {
    for (;;) with.send(ok(with.read_request().body));
}

std::string ok(std::string_view body, std::string_view fields) {
    std::string reply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    reply.append(fields).append("Content-Length: ").append(std::to_string(body.size())).append("\r\n\r\n");
    return reply.append(body);
}

} // namespace scoregate::tests
