// One connection of the model stub: reads requests, drops their bodies, answers. See model_stub.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace stub {

using namespace std::literals;
using clock_type = std::chrono::steady_clock; // CLOCK_MONOTONIC

constexpr auto prediction =
    R"({"predict":[0,2],"predict_proba":[[0.9789,0.0209,0.0002],[0.0001,0.0312,0.9687]],"model":"iris","version":"202501"})"sv;
constexpr auto healthy = "Healthy"sv;
static_assert(prediction.size() == 115, "bench/harness/load.py checks the length of every reply");

inline std::array<char, 256 * 1024> input;  // what recv fills; one thread, so one for all connections
inline std::array<char, 256 * 1024> filler; // the bytes of sized replies

[[noreturn]] inline void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; }

inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

inline std::size_t parse_number(std::string_view text, int base = 10) { // 0 where there is none
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
}

// The value of a field in a complete head; names compare without case (RFC 9110 5.1).
inline std::string_view field(std::string_view head, std::string_view name) {
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

// The value of a parameter of the target.
inline std::optional<std::size_t> parameter(std::string_view target, std::string_view name) {
    for (auto at = target.find('?'); at != target.npos; at = target.find('&', at + 1)) {
        const auto pair = target.substr(at + 1);
        if (!pair.starts_with(name) || !pair.substr(name.size()).starts_with('=')) continue;
        return parse_number(pair.substr(name.size() + 1));
    }
    return std::nullopt;
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
    connection(int fd, std::uint64_t number, int heads_file) : fd_(fd), number_(number), heads_file_(heads_file) {}
    ~connection() { ::close(fd_); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // The socket became readable or writable. False: it is over.
    // Edge-triggered: a recv that did not fill the buffer has emptied the socket, and the next bytes are a new edge;
    // only a FIN that came with them has no edge of its own (epoll(7)).
    bool serve(bool hung_up) {
        if (hung_up && has_events()) return false; // whom they are for has gone
        if (!flush() || !take({})) return false;
        while (!sending_) {
            // Of a large body all but the end is dropped in the kernel, uncopied (tcp(7)).
            const bool drops = body_left_ > input.size();
            const auto n = ::recv(fd_, input.data(), input.size(), drops ? MSG_TRUNC : 0);
            if (n < 0) return errno == EAGAIN;
            if (n == 0) return false;
            if (drops) {
                body_left_ -= std::size_t(n);
            } else if (!take({input.data(), std::size_t(n)})) {
                return false;
            }
            if (std::size_t(n) < input.size() && !hung_up) return true;
        }
        return true;
    }

    std::uint64_t number() const { return number_; }

    // True once after serve() has begun an event stream; the next one is due at next_event().
    bool began_events() { return std::exchange(events_began_, false); }
    clock_type::time_point next_event() const { return next_event_; }

    // Sends the event that is due, then what waits on the socket if it was the last. False: the connection is over.
    bool send_event() {
        add_event();
        if (!flush()) return false;
        return has_events() || serve(true);
    }
    bool has_events() const { return events_left_ > 0; }

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
                if (events_left_ > 0) begin_events();
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
        if (target == "/") {
            answer("text/plain", healthy.size(), healthy);
        } else if (const auto bytes = parameter(target, "bytes")) {
            answer("application/octet-stream", *bytes, {});
        } else if (const auto events = parameter(target, "events"); events && *events > 0) {
            answer_events(*events, std::chrono::milliseconds(parameter(target, "interval_ms").value_or(0)));
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

    void answer_events(std::size_t count, std::chrono::milliseconds interval) {
        reply_ = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n";
        reply_sent_ = 0;
        filler_left_ = 0;
        events_left_ = count;
        event_ = 0;
        interval_ = interval;
    }

    // The first event leaves with the head.
    void begin_events() {
        next_event_ = clock_type::now();
        add_event();
        events_began_ = events_left_ > 0;
    }

    // To what has not been sent: one event is one chunk, and the last one brings the end of the reply.
    void add_event() {
        if (reply_sent_ == reply_.size()) {
            reply_.clear();
            reply_sent_ = 0;
        }
        const auto now = std::chrono::nanoseconds(clock_type::now().time_since_epoch()).count();
        std::array<char, 96> event, size;
        const int bytes = std::snprintf(event.data(), event.size(), "data: {\"i\":%zu,\"t\":%lld}\n\n", event_,
                                        static_cast<long long>(now));
        std::snprintf(size.data(), size.size(), "%x\r\n", unsigned(bytes));
        reply_.append(size.data()).append(event.data()).append("\r\n");
        ++event_;
        next_event_ += interval_;
        if (--events_left_ == 0) reply_ += "0\r\n\r\n";
    }

    // Sends what is due of the reply; when the socket is full the rest waits for the next edge. False: broken.
    bool flush() {
        while (sending_) {
            if (reply_sent_ == reply_.size() && filler_left_ == 0) return true; // the next event is not due
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
            sending_ = reply_sent_ < reply_.size() || filler_left_ > 0 || events_left_ > 0;
        }
        return true;
    }

    int fd_;
    std::uint64_t number_;
    int heads_file_; // -1: not recorded
    part part_ = part::head;
    std::size_t body_left_ = 0; // of a body with Content-Length
    chunked_body chunks_;
    std::string held_; // an incomplete head, or what came before the last reply had left
    bool sending_ = false;
    std::string reply_;
    std::size_t reply_sent_ = 0;
    std::size_t filler_left_ = 0;
    std::size_t events_left_ = 0, event_ = 0; // of an event stream: those to come, the next one's number
    std::chrono::milliseconds interval_{0};
    clock_type::time_point next_event_;
    bool events_began_ = false;
};

} // namespace stub
