#include "support/chaos_gate.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace scoregate::tests {

namespace {

constexpr std::size_t most_waiting = 256 * 1024;

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

int bound_socket(std::uint16_t port) {
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(made, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    const auto address = loopback(port);
    if (::bind(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw wire_error("cannot bind");
    return made;
}

void send_at_once(int descriptor) {
    const int on = 1;
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void reset_at_close(int descriptor) {
    const linger at_once{1, 0};
    ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

} // namespace

void chaos_gate::tracker::pass(char byte) {
    if (at_ == part::between) {
        at_ = part::head;
        passed_ = 0;
    }
    ++passed_;
    if (at_ == part::head) {
        text_ += byte;
        if (text_.ends_with("\r\n\r\n")) end_head();
        return;
    }
    if (endless_) return;
    if (left_ != 0) {
        if (--left_ == 0 && !chunked_) end_message();
        return;
    }
    text_ += byte;
    if (text_.ends_with("\r\n")) end_line();
}

void chaos_gate::tracker::end_head() {
    message head;
    try {
        head = parse_head(std::exchange(text_, {}));
    } catch (const wire_error&) {
        // Corrupted on the way: whatever follows counts as its body.
    }
    const bool reply = head.first_line.starts_with("HTTP/");
    const auto status = reply ? head.status() : 0;
    at_ = part::between;
    passed_ = 0;
    if (status / 100 == 1) return;
    at_ = part::body;
    chunked_ = last_chunk_ = endless_ = false;
    if (head.has("transfer-encoding"))
        chunked_ = true;
    else if (head.has("content-length"))
        left_ = std::stoul(head.field("content-length"));
    else
        endless_ = reply && status != 204 && status != 304;
    if (!chunked_ && !endless_ && left_ == 0) end_message();
}

// A line of chunk framing: a size, the end of a chunk, or a trailer.
void chaos_gate::tracker::end_line() {
    const auto line = std::exchange(text_, {});
    if (last_chunk_) {
        if (line == "\r\n") end_message();
        return;
    }
    if (line == "\r\n") return;
    const bool digits = std::isxdigit(static_cast<unsigned char>(line.front())) != 0;
    left_ = digits ? std::stoul(line, nullptr, 16) : 0;
    last_chunk_ = left_ == 0;
}

void chaos_gate::tracker::end_message() {
    at_ = part::between;
    passed_ = 0;
    ++messages_;
}

bool chaos_gate::link::idle() const {
    return up.at.between() && down.at.between() && up.at.messages() != 0 && up.at.messages() == down.at.messages() &&
           up.incoming.empty() && down.outgoing.empty();
}

chaos_gate::chaos_gate(std::uint16_t behind)
    : behind_(behind), reserved_(bound_socket(0)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(reserved_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    listen();
    thread_ = std::thread([this] { run(); });
}

chaos_gate::~chaos_gate() {
    inside([this] { stopping_ = true; });
    thread_.join();
    for (auto& each : links_) close(each);
    for (const int each : fillers_) ::close(each);
    if (listening_ >= 0) ::close(listening_);
    ::close(reserved_);
    ::close(wake_);
}

bool chaos_gate::needs_none(const breakage& one) {
    return one.where == phase::connect && (one.what == act::refuse || one.what == act::black_hole);
}

void chaos_gate::arm(breakage next) {
    inside([this, next] {
        armed_ = next;
        target_ = nullptr;
        {
            const std::lock_guard lock(mutex_);
            reached_ = false;
        }
        if (needs_none(next)) note_reached(nullptr);
    });
}

void chaos_gate::reached() const {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [this] { return reached_; }))
        throw wire_error("no connection has come to where the breakage is");
}

void chaos_gate::strike() {
    reached();
    inside([this] { carry_out(std::exchange(target_, nullptr)); });
}

void chaos_gate::heal() {
    inside([this] {
        armed_.reset();
        target_ = nullptr;
        for (const int each : fillers_) ::close(each);
        if (!fillers_.empty()) { // what stands in the backlog is ours, or nobody's any more
            for (int one = 0; (one = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) ::close(one);
            ::listen(listening_, 1024);
        }
        fillers_.clear();
        if (listening_ < 0) listen();
        for (auto& each : links_) {
            each.held = false;
            if (each.broken) close(each);
        }
        std::erase_if(links_, [](const link& each) { return each.up.from < 0; });
    });
}

void chaos_gate::inside(const std::function<void()>& command) {
    std::unique_lock lock(mutex_);
    command_ = &command;
    const std::uint64_t one = 1;
    if (::write(wake_, &one, sizeof one) != sizeof one) throw wire_error("cannot wake the gate");
    if (!changed_.wait_for(lock, patience, [this] { return command_ == nullptr; }))
        throw wire_error("the gate does not answer");
}

void chaos_gate::run() {
    std::vector<pollfd> waits;
    while (!stopping_) {
        waits.assign({{wake_, POLLIN, 0}});
        if (listening_ >= 0 && fillers_.empty()) waits.push_back({listening_, POLLIN, 0});
        for (auto& each : links_)
            for (const auto* one : {&each.up, &each.down}) {
                const bool reads = !one->ended && one->incoming.size() < most_waiting;
                if (one->from >= 0 && reads) waits.push_back({one->from, POLLIN, 0});
                if (one->to >= 0 && !one->outgoing.empty()) waits.push_back({one->to, POLLOUT, 0});
            }
        ::poll(waits.data(), waits.size(), -1);

        const std::function<void()>* command = nullptr;
        {
            std::uint64_t ignored = 0;
            while (::read(wake_, &ignored, sizeof ignored) > 0) {
            }
            const std::lock_guard lock(mutex_);
            command = command_;
        }
        if (command != nullptr) (*command)();
        if (listening_ >= 0 && fillers_.empty()) accept();
        for (auto each = links_.begin(); each != links_.end();) {
            move(*each);
            if (each->up.from >= 0) {
                ++each;
                continue;
            }
            if (target_ == &*each) target_ = nullptr;
            each = links_.erase(each);
        }
        look_for_idle();
        if (command != nullptr) {
            const std::lock_guard lock(mutex_);
            command_ = nullptr;
            changed_.notify_all();
        }
    }
}

void chaos_gate::listen() {
    listening_ = bound_socket(port_);
    if (::listen(listening_, 1024) != 0) throw wire_error("cannot listen");
}

void chaos_gate::accept() {
    for (int one = 0; (one = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        send_at_once(one);
        auto& made = links_.emplace_back();
        made.up.from = made.down.to = one;
        if (armed_ && armed_->where == phase::connect)
            made.held = true;
        else if (!connect_to_replica(made))
            close(made);
    }
}

bool chaos_gate::connect_to_replica(link& made) {
    const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    made.up.to = made.down.from = one;
    const auto address = loopback(behind_);
    if (::connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
    send_at_once(one);
    return true;
}

void chaos_gate::move(link& of) {
    if (of.up.from < 0) return;
    for (auto* const each : {&of.up, &of.down}) {
        if (each->from >= 0 && !receive(*each)) return close(of);
        if (of.swallowing) {
            each->incoming.clear();
            each->outgoing.clear();
            continue;
        }
        const bool at_connect = of.held && of.up.to < 0 && !of.up.incoming.empty();
        if (at_connect && target_ == nullptr) note_reached(&of);
        pass_on(of, *each, each == &of.up);
        if (!send(*each)) return close(of);
        const bool all_sent = each->incoming.empty() && each->outgoing.empty();
        if (each->ended && all_sent && !of.held && each->to >= 0 && !std::exchange(each->shut, true))
            ::shutdown(each->to, SHUT_WR);
    }
    if (finished(of)) close(of);
}

bool chaos_gate::finished(const link& of) {
    return of.up.ended && of.down.ended && (of.swallowing || (of.up.shut && of.down.shut));
}

void chaos_gate::pass_on(link& of, flow& one, bool up) {
    std::size_t n = 0;
    while (!of.held && n < one.incoming.size()) {
        if (at_breakage(one, up)) {
            note_reached(&of);
            break;
        }
        char byte = one.incoming[n++];
        one.at.pass(byte);
        if (one.to_corrupt != 0) {
            --one.to_corrupt;
            byte = static_cast<char>(byte ^ 0x80);
        }
        one.outgoing += byte;
    }
    one.incoming.erase(0, n);
}

bool chaos_gate::at_breakage(const flow& one, bool up) const {
    if (!armed_ || target_ != nullptr) return false;
    const auto is = [&](phase where, bool upwards, part which) {
        return armed_->where == where && up == upwards && one.at.next() == which;
    };
    if (!is(phase::request_head, true, part::head) && !is(phase::request_body, true, part::body) &&
        !is(phase::reply_head, false, part::head) && !is(phase::reply_body, false, part::body))
        return false;
    return one.at.passed() == armed_->after;
}

void chaos_gate::look_for_idle() {
    if (!armed_ || target_ != nullptr || armed_->where != phase::idle) return;
    const auto found = std::find_if(links_.begin(), links_.end(), [](const link& each) { return each.idle(); });
    if (found != links_.end()) note_reached(&*found);
}

void chaos_gate::note_reached(link* at) {
    target_ = at;
    if (at != nullptr) at->held = true;
    const std::lock_guard lock(mutex_);
    reached_ = true;
    changed_.notify_all();
}

void chaos_gate::carry_out(link* at) {
    const auto [what, where, after] = armed_.value();
    armed_.reset();
    const bool silent = where == phase::connect || where == phase::idle; // no bytes to work on
    if (at == nullptr && !needs_none({what, where})) return;             // the proxy has closed it meanwhile
    if (at != nullptr) {
        at->held = false;
        const bool goes_on = what == act::delay || what == act::slice || (what == act::corrupt && at->up.to >= 0);
        at->broken = !goes_on;
    }
    const bool connects = where == phase::connect && (what == act::delay || what == act::slice);
    if (connects && !connect_to_replica(*at)) return close(*at);
    switch (what) {
    case act::delay: break;
    case act::slice: at->up.sliced = at->down.sliced = true; break;
    case act::corrupt: {
        const bool upwards = where == phase::request_head || where == phase::request_body;
        if (silent)
            at->down.outgoing = unasked;
        else
            (upwards ? at->up : at->down).to_corrupt = corrupted;
        break;
    }
    case act::reset:
        reset_at_close(at->up.from);
        close(*at);
        break;
    case act::hang_up:
        ::shutdown(at->up.from, SHUT_WR);
        at->swallowing = true;
        break;
    case act::black_hole:
        if (at != nullptr)
            at->swallowing = true;
        else
            fill_backlog();
        break;
    case act::refuse:
        ::close(std::exchange(listening_, -1));
        for (auto& each : links_) close(each);
        break;
    }
}

// Until the system drops what would be one connection too many.
void chaos_gate::fill_backlog() {
    ::listen(listening_, 0);
    const auto address = loopback(port_);
    for (int i = 0; i < 4; ++i) {
        const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ::connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address);
        fillers_.push_back(one);
    }
}

bool chaos_gate::receive(flow& one) {
    char block[65536];
    while (!one.ended && one.incoming.size() < most_waiting) {
        const auto n = ::recv(one.from, block, sizeof block, MSG_DONTWAIT);
        if (n > 0)
            one.incoming.append(block, static_cast<std::size_t>(n));
        else if (n == 0)
            one.ended = true;
        else
            return errno == EAGAIN;
    }
    return true;
}

bool chaos_gate::send(flow& one) {
    while (one.to >= 0 && !one.outgoing.empty()) {
        const auto size = one.sliced ? 1 : one.outgoing.size();
        const auto n = ::send(one.to, one.outgoing.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN;
        one.outgoing.erase(0, static_cast<std::size_t>(n));
    }
    return true;
}

void chaos_gate::close(link& of) {
    if (of.up.from >= 0) ::close(of.up.from);
    if (of.up.to >= 0) ::close(of.up.to);
    of.up.from = of.up.to = of.down.from = of.down.to = -1;
}

} // namespace scoregate::tests
