// The replica of the bench and of tests/bench: an HTTP/1.1 server that costs as little as it can, so that the proxy in
// front of it is what is measured. One thread, one edge-triggered epoll loop, keep-alive; bodies of any size are read
// and dropped.
//
//   model_stub [--port N] [--heads FILE]        prints "listening http 127.0.0.1:PORT"; ends on SIGTERM or SIGINT
//
//   GET /                "Healthy"
//   ANY /score           115 bytes of JSON
//   ANY /score?bytes=N   N bytes
//
// --heads appends each request head to FILE, after a line "connection K" that numbers the TCP connections as accepted,
// before the reply is sent: whoever has the reply finds the head. It trusts its clients (proxies on loopback): no
// limits, no timeouts.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

using namespace std::literals;

constexpr auto prediction =
    R"({"predict":[0,2],"predict_proba":[[0.9789,0.0209,0.0002],[0.0001,0.0312,0.9687]],"model":"iris","version":"202501"})"sv;
constexpr auto healthy = "Healthy"sv;
static_assert(prediction.size() == 115, "bench/harness/load.py checks the length of every reply");

std::array<char, 256 * 1024> input;  // what recv fills; one thread, so one for all connections
std::array<char, 256 * 1024> filler; // the bytes of sized replies

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::size_t parse_number(std::string_view text, int base = 10) { // 0 where there is none
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
}

// The value of a field in a complete head; names compare without case (RFC 9110 5.1).
std::string_view field(std::string_view head, std::string_view name) {
    for (auto at = head.find("\r\n"); at != head.npos;) {
        const auto begin = at + 2;
        at = head.find("\r\n", begin);
        const auto line = head.substr(begin, at == head.npos ? at : at - begin);
        const auto colon = line.find(':');
        if (colon == line.npos || !equal_ignoring_case(line.substr(0, colon), name)) continue;
        auto value = line.substr(colon + 1);
        while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
        while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
        return value;
    }
    return {};
}

// Swallows a chunked body (RFC 9112 7.1) in any slicing and knows where it ends.
class chunked_body {
public:
    // Takes what belongs to the body off the front of bytes; true once the body has ended.
    bool swallow(std::string_view& bytes) {
        while (!bytes.empty()) {
            if (left_ > 0) {
                const auto n = std::min<std::size_t>(left_, bytes.size());
                bytes.remove_prefix(n);
                left_ -= n;
                continue;
            }
            const char c = bytes.front();
            bytes.remove_prefix(1);
            if (c != '\n') {
                if (c != '\r') line_ += c;
                continue;
            }
            const auto line = std::exchange(line_, {});
            if (in_trailer_) {
                if (line.empty()) return true;
            } else if (!line.empty()) { // an empty line is the one that ends a chunk's data
                left_ = parse_number(line, 16);
                in_trailer_ = left_ == 0;
            }
        }
        return false;
    }

private:
    std::size_t left_ = 0; // bytes of the current chunk's data
    bool in_trailer_ = false;
    std::string line_;
};

class connection {
public:
    connection(int fd, unsigned number, int heads_file) : fd_(fd), number_(number), heads_file_(heads_file) {}
    ~connection() { ::close(fd_); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // The socket became readable or writable. False: it is over.
    // Edge-triggered: a recv that did not fill the buffer has emptied the socket, and the next bytes are a new edge;
    // only a FIN that came with them has no edge of its own (epoll(7)).
    bool serve(bool hung_up) {
        if (!flush() || !take({})) return false;
        while (!sending_) {
            const auto n = ::recv(fd_, input.data(), input.size(), 0);
            if (n < 0) return errno == EAGAIN;
            if (n == 0) return false;
            if (!take({input.data(), std::size_t(n)})) return false;
            if (std::size_t(n) < input.size() && !hung_up) return true;
        }
        return true;
    }

private:
    enum class part { head, sized_body, chunked_body };

    // Goes through what was received; a reply leaves as soon as its request has been read whole.
    bool take(std::string_view bytes) {
        std::string joined;
        if (!held_.empty()) {
            joined = std::exchange(held_, {}).append(bytes);
            bytes = joined;
        }
        while (!bytes.empty() && !sending_) {
            if (part_ == part::head) {
                const auto end = bytes.find("\r\n\r\n");
                if (end == bytes.npos) break;
                begin(bytes.substr(0, end));
                bytes.remove_prefix(end + 4);
            }
            if (swallow_body(bytes)) {
                part_ = part::head;
                sending_ = true;
                if (!flush()) return false;
            }
        }
        held_ = bytes;
        return true;
    }

    bool swallow_body(std::string_view& bytes) {
        if (part_ == part::chunked_body) return chunks_.swallow(bytes);
        const auto n = std::min(body_left_, bytes.size());
        bytes.remove_prefix(n);
        body_left_ -= n;
        return body_left_ == 0;
    }

    // Reads one head, chooses the reply and how the body will be read.
    void begin(std::string_view head) {
        if (heads_file_ >= 0) {
            const auto record = "connection " + std::to_string(number_) + "\n" + std::string(head) + "\n\n";
            if (::write(heads_file_, record.data(), record.size()) != ssize_t(record.size())) fail("heads file");
        }
        const auto line = head.substr(0, head.find("\r\n"));
        const auto target_begin = line.find(' ') + 1;
        const auto target = line.substr(target_begin, line.rfind(' ') - target_begin);
        constexpr auto sized = "/score?bytes="sv;
        if (target == "/") {
            answer("text/plain", healthy.size(), healthy);
        } else if (target.starts_with(sized)) {
            answer("application/octet-stream", parse_number(target.substr(sized.size())), {});
        } else {
            answer("application/json", prediction.size(), prediction);
        }
        const bool chunked = equal_ignoring_case(field(head, "transfer-encoding"), "chunked");
        part_ = chunked ? part::chunked_body : part::sized_body;
        chunks_ = {};
        body_left_ = parse_number(field(head, "content-length"));
    }

    void answer(std::string_view type, std::size_t size, std::string_view body) {
        reply_ = "HTTP/1.1 200 OK\r\nContent-Type: ";
        reply_.append(type).append("\r\nContent-Length: ").append(std::to_string(size)).append("\r\n\r\n").append(body);
        reply_sent_ = 0;
        filler_left_ = size - body.size();
    }

    // Sends what is due of the reply; when the socket is full the rest waits for the next edge. False: broken.
    bool flush() {
        while (sending_) {
            iovec parts[] = {{reply_.data() + reply_sent_, reply_.size() - reply_sent_},
                             {filler.data(), std::min(filler_left_, filler.size())}};
            msghdr message{};
            message.msg_iov = parts;
            message.msg_iovlen = 2;
            const auto n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
            if (n < 0) return errno == EAGAIN;
            const auto of_reply = std::min(std::size_t(n), reply_.size() - reply_sent_);
            reply_sent_ += of_reply;
            filler_left_ -= std::size_t(n) - of_reply;
            sending_ = reply_sent_ < reply_.size() || filler_left_ > 0;
        }
        return true;
    }

    int fd_;
    unsigned number_;
    int heads_file_; // -1: not recorded
    part part_ = part::head;
    std::size_t body_left_ = 0; // of a body with Content-Length
    chunked_body chunks_;
    std::string held_; // an incomplete head, or what came before the last reply had left
    bool sending_ = false;
    std::string reply_;
    std::size_t reply_sent_ = 0;
    std::size_t filler_left_ = 0;
};

class server {
public:
    server(std::uint16_t port, int heads_file) : heads_file_(heads_file) {
        const int on = 1;
        ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listener_, generic, size) || ::listen(listener_, 4096)) fail("listen");
        ::getsockname(listener_, generic, &size);
        watch(listener_, EPOLLIN);

        sigset_t ends;
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        ::sigprocmask(SIG_BLOCK, &ends, nullptr);
        end_ = ::signalfd(-1, &ends, SFD_NONBLOCK);
        watch(end_, EPOLLIN);

        std::printf("listening http 127.0.0.1:%u\n", unsigned(ntohs(address.sin_port)));
        std::fflush(stdout);
    }

    void run() {
        std::array<epoll_event, 256> events;
        for (;;) {
            const int ready = ::epoll_wait(epoll_, events.data(), int(events.size()), -1);
            for (int i = 0; i < ready; ++i) {
                const auto& [what, which] = events[std::size_t(i)];
                const int fd = which.fd;
                if (fd == end_) return;
                if (fd == listener_) {
                    accept();
                } else if (!connections_.at(fd).serve(what & EPOLLRDHUP)) {
                    connections_.erase(fd);
                }
            }
        }
    }

private:
    void accept() {
        for (int fd; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
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
    int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int end_ = -1; // readable once SIGTERM or SIGINT has come
    int heads_file_;
    unsigned accepted_ = 0;
    std::unordered_map<int, connection> connections_; // by descriptor
};

} // namespace

int main(int argc, char** argv) {
    std::size_t port = 0;
    int heads_file = -1;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view option = argv[i];
        if (i + 1 < argc && option == "--port") {
            port = parse_number(argv[i + 1]);
        } else if (i + 1 < argc && option == "--heads") {
            heads_file = ::open(argv[i + 1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
            if (heads_file < 0) fail(argv[i + 1]);
        } else {
            std::fprintf(stderr, "usage: %s [--port N] [--heads FILE]\n", argv[0]);
            return 2;
        }
    }
    filler.fill('x');
    server(std::uint16_t(port), heads_file).run();
}
