// The replica of the bench and of tests/bench: an HTTP/1.1 server that costs as little as it can, so that the proxy in
// front of it is what is measured. One thread, one edge-triggered epoll loop, keep-alive; bodies of any size are read
// and dropped.
//
//   model_stub [--port N] [--listeners N] [--unix PATH] [--heads FILE]
//
//   GET /                                "Healthy"
//   ANY /score                           115 bytes of JSON
//   ANY /score?bytes=N                   N bytes
//   ANY /stream?events=E&interval_ms=I   E server-sent events, chunked: event i is `data: {"i":i,"t":NS}` and leaves at
//                                        start + i * I ms in a write of its own; NS is CLOCK_MONOTONIC then. Also
//                                        /score?events=..., for proxies that know no other path
//
// It prints "listening http 127.0.0.1:PORT" for each listener and ends on SIGTERM or SIGINT. With several listeners
// (bench/growth has a thousand replicas in one process) all ports but the first are free ones. --unix PATH listens
// there, too.
// --heads appends each request head to FILE, after a line "connection K" that numbers the TCP connections as accepted,
// before the reply is sent: whoever has the reply finds the head. It trusts its clients (proxies on loopback): no
// limits, no timeouts.
#include "connection.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <queue>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace stub {
namespace {

class server {
public:
    server(std::uint16_t port, std::size_t listeners, std::string_view unix_path, int heads_file)
        : heads_file_(heads_file) {
        if (!unix_path.empty()) listen_unix(unix_path);
        for (std::size_t i = 0; i < listeners; ++i) listen_tcp(i == 0 ? port : 0);
        std::fflush(stdout);

        sigset_t ends;
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        ::sigprocmask(SIG_BLOCK, &ends, nullptr);
        end_ = ::signalfd(-1, &ends, SFD_NONBLOCK);
        watch(end_, EPOLLIN);
    }

    void run() {
        std::array<epoll_event, 256> events;
        for (;;) {
            const auto pause = send_events();
            const int ready =
                ::epoll_pwait2(epoll_, events.data(), int(events.size()), due_.empty() ? nullptr : &pause, nullptr);
            for (int i = 0; i < ready; ++i) {
                const auto& [what, which] = events[std::size_t(i)];
                const int fd = which.fd;
                if (fd == end_) return;
                if (listeners_.contains(fd)) {
                    accept(fd);
                    continue;
                }
                auto& one = connections_.at(fd);
                if (!one.serve(what & EPOLLRDHUP)) {
                    connections_.erase(fd);
                } else if (one.began_events()) {
                    due_.push({one.next_event(), fd, one.number()});
                }
            }
        }
    }

private:
    // An event of a connection; should the connection have ended, another may have its descriptor, but not its number.
    struct due_event {
        clock_type::time_point when;
        int fd;
        std::uint64_t number;
        bool operator>(const due_event& other) const { return when > other.when; }
    };

    // Sends all that are due; how long it is to the next, where there is one.
    timespec send_events() {
        while (!due_.empty()) {
            const auto next = due_.top();
            const auto pause = next.when - clock_type::now();
            if (pause > pause.zero()) {
                const auto whole = std::chrono::duration_cast<std::chrono::seconds>(pause);
                return {.tv_sec = whole.count(), .tv_nsec = (pause - whole).count()};
            }
            due_.pop();
            const auto found = connections_.find(next.fd);
            if (found == connections_.end() || found->second.number() != next.number) continue;
            auto& one = found->second;
            if (!one.send_event()) {
                connections_.erase(found);
            } else if (one.has_events()) {
                one.began_events(); // another stream may have begun where this one has ended
                due_.push({one.next_event(), next.fd, next.number});
            }
        }
        return {};
    }

    void listen_tcp(std::uint16_t port) {
        const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int on = 1;
        ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listener, generic, size) || ::listen(listener, 4096)) fail("listen");
        ::getsockname(listener, generic, &size);
        add(listener);
        std::printf("listening http 127.0.0.1:%u\n", unsigned(ntohs(address.sin_port)));
    }

    void listen_unix(std::string_view path) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path.size() >= sizeof address.sun_path) {
            errno = ENAMETOOLONG;
            fail("unix socket");
        }
        std::memcpy(address.sun_path, path.data(), path.size());
        ::unlink(address.sun_path); // of an earlier run
        const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listener, generic, sizeof address) || ::listen(listener, 4096)) fail("unix socket");
        add(listener);
    }

    void add(int listener) {
        listeners_.insert(listener);
        watch(listener, EPOLLIN);
    }

    void accept(int listener) {
        for (int fd; (fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
            const int on = 1;
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            connections_.try_emplace(fd, fd, ++accepted_, heads_file_);
            watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
        }
    }

    void watch(int fd, std::uint32_t events) {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    }

    int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    std::unordered_set<int> listeners_;
    int end_ = -1; // readable once SIGTERM or SIGINT has come
    int heads_file_;
    std::uint64_t accepted_ = 0;
    std::unordered_map<int, connection> connections_;                            // by descriptor
    std::priority_queue<due_event, std::vector<due_event>, std::greater<>> due_; // the next one of each event stream
};

} // namespace
} // namespace stub

int main(int argc, char** argv) try {
    std::size_t port = 0, listeners = 1;
    int heads_file = -1;
    std::string_view unix_path;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view option = argv[i];
        if (i + 1 < argc && option == "--port") {
            port = stub::parse_number(argv[i + 1]);
        } else if (i + 1 < argc && option == "--listeners") {
            listeners = stub::parse_number(argv[i + 1]);
        } else if (i + 1 < argc && option == "--unix") {
            unix_path = argv[i + 1];
        } else if (i + 1 < argc && option == "--heads") {
            heads_file = ::open(argv[i + 1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
            if (heads_file < 0) stub::fail(argv[i + 1]);
        } else {
            std::fprintf(stderr, "usage: %s [--port N] [--listeners N] [--unix PATH] [--heads FILE]\n", argv[0]);
            return 2;
        }
    }
    stub::filler.fill('x');
    ::prctl(PR_SET_TIMERSLACK, 1UL); // or an event would leave 50 us late
    stub::server(std::uint16_t(port), listeners, unix_path, heads_file).run();
} catch (const std::exception& problem) {
    std::fprintf(stderr, "model_stub: %s\n", problem.what());
    return 1;
}
