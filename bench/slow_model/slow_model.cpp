// The replica of the row `queue`: a model that takes a fixed time for each request, and that knows how busy it was. One
// thread per connection, and each works as soon as it has its request whole: it does not hold to a limit by itself, so
// that a proxy which sends more than it may is seen.
//
//   slow_model --microseconds N        prints "listening http 127.0.0.1:PORT"; ends on SIGTERM
//
//   GET /counts      {"now_us", "busy_us", "served", "most"}: time, time in which at least one function ran, requests
//   that
//                    were worked on, the most of them at once
//   ANY other        N microseconds of sleep, then 115 bytes of JSON
//
// It trusts its clients (proxies on loopback): requests have a Content-Length or no body, and none is pipelined.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::literals;
using clock_type = std::chrono::steady_clock;

constexpr auto prediction =
    R"({"predict":[0,2],"predict_proba":[[0.9789,0.0209,0.0002],[0.0001,0.0312,0.9687]],"model":"iris","version":"202501"})"sv;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

std::int64_t microseconds(clock_type::duration time) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

class model {
public:
    explicit model(std::chrono::microseconds each) : each_(each) {}

    void run() {
        begin();
        std::this_thread::sleep_for(each_);
        end();
    }

    std::string counts() {
        const std::lock_guard lock(mutex_);
        const auto now = clock_type::now();
        const auto busy = busy_ + (running_ > 0 ? now - since_ : clock_type::duration{});
        return R"({"now_us": )" + std::to_string(microseconds(now.time_since_epoch())) + R"(, "busy_us": )" +
               std::to_string(microseconds(busy)) + R"(, "served": )" + std::to_string(served_) + R"(, "most": )" +
               std::to_string(most_) + "}";
    }

private:
    void begin() {
        const std::lock_guard lock(mutex_);
        if (running_++ == 0) since_ = clock_type::now();
        most_ = std::max(most_, running_);
    }

    void end() {
        const std::lock_guard lock(mutex_);
        ++served_;
        if (--running_ == 0) busy_ += clock_type::now() - since_;
    }

    const std::chrono::microseconds each_;
    std::mutex mutex_;
    unsigned running_ = 0, most_ = 0;
    std::uint64_t served_ = 0;
    clock_type::time_point since_; // when the first of those that run began
    clock_type::duration busy_{};
};

std::size_t content_length(std::string head) {
    std::transform(head.begin(), head.end(), head.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    constexpr auto name = "\r\ncontent-length:"sv;
    const auto at = head.find(name);
    if (at == head.npos) return 0;
    const auto digits = head.find_first_not_of(' ', at + name.size());
    std::size_t length = 0;
    std::from_chars(head.data() + digits, head.data() + head.size(), length);
    return length;
}

// Requests one after another, until the connection ends.
void serve(int fd, model& one) {
    ::prctl(PR_SET_TIMERSLACK, 1UL); // or a sleep lasts 50 us longer
    std::string in;
    char piece[65536];
    for (;;) {
        std::size_t head_end = 0, whole = 0;
        while (head_end == 0 || in.size() < whole) {
            const auto n = ::recv(fd, piece, sizeof piece, 0);
            if (n <= 0) {
                ::close(fd);
                return;
            }
            in.append(piece, std::size_t(n));
            if (const auto end = in.find("\r\n\r\n"); head_end == 0 && end != in.npos) {
                head_end = end + 4;
                whole = head_end + content_length(in.substr(0, end));
            }
        }
        const bool asks_counts = in.starts_with("GET /counts ");
        in.erase(0, whole);
        if (!asks_counts) one.run();
        const auto body = asks_counts ? one.counts() : std::string(prediction);
        const auto reply =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
            "\r\n\r\n" + body;
        ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL); // one that has gone is seen by the next recv
    }
}

} // namespace

int main(int argc, char** argv) {
    long each = 0;
    if (argc != 3 || argv[1] != "--microseconds"sv || (each = std::atol(argv[2])) <= 0) {
        std::fprintf(stderr, "usage: %s --microseconds N\n", argv[0]);
        return 2;
    }
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener, generic, size) || ::listen(listener, 4096)) fail("listen");
    ::getsockname(listener, generic, &size);
    std::printf("listening http 127.0.0.1:%u\n", unsigned(ntohs(address.sin_port)));
    std::fflush(stdout);

    model one{std::chrono::microseconds(each)};
    for (int fd; (fd = ::accept(listener, nullptr, nullptr)) >= 0;) {
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        std::thread(serve, fd, std::ref(one)).detach();
    }
    fail("accept");
}
