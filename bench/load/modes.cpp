#include "modes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>

#include <sys/epoll.h>
#include <unistd.h>

namespace load {
namespace {

constexpr std::size_t at_once = 64; // connections of a round
constexpr auto sweeps = std::chrono::milliseconds(50);

} // namespace

mode::mode(const options& chosen, const target& to) : chosen_(chosen), to_(to), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (std::size_t i = 0; i < chosen.connections; ++i)
        connections_.push_back(std::make_unique<connection>(i, epoll_, to, *this));
    start_round();
}

mode::~mode() {
    connections_.clear();
    ::close(epoll_);
}

moment mode::tick(moment now, bool between) {
    go_on_with_round(now);
    if (between && now >= next_sweep_) sweep(now);
    const auto next = std::min(run(now), next_sweep_);
    if (!running_ || !ended(now)) return std::min(next, end_);
    end(now);
    return next;
}

void mode::start_round() {
    in_a_round_ = true;
    next_of_round_ = 0;
}

void mode::go_on_with_round(moment now) {
    if (!in_a_round_) return;
    while (in_round_ < at_once && next_of_round_ < connections_.size()) {
        ++in_round_;
        begin(*connections_[next_of_round_++], now);
    }
    if (in_round_ > 0) return;
    in_a_round_ = false;
    round_done(now);
}

void mode::sweep(moment now) {
    next_sweep_ = now + sweeps;
    for (auto& one : connections_) {
        one->expire(now);
        if (running_ && goes_on(now) && one->closed()) one->open(now, now);
    }
}

void mode::start_measuring(moment now) {
    running_ = true;
    begin_ = now + std::chrono::duration_cast<clock::duration>(chosen_.warm_up);
    end_ = begin_ + std::chrono::duration_cast<clock::duration>(chosen_.seconds);
}

// Once nothing is left to wait for, or for too long.
void mode::end(moment now) {
    const auto waited_for = [this](const auto& one) { return waits_for(*one); };
    if (now < end_ + afterwards && std::any_of(connections_.begin(), connections_.end(), waited_for)) return;
    for (auto& one : connections_)
        if (waits_for(*one)) abandon(*one, now);
    finish(now);
    result_.seconds = chosen_.seconds.count();
    print();
    over_ = true;
}

void mode::record(moment due, bool right, moment now) {
    if (!measured(due)) return;
    ++result_.requests;
    if (!right) ++result_.wrong;
    took(due, now);
}

void mode::lose(moment due, moment now) {
    if (!measured(due)) return;
    ++result_.timeouts;
    took(due, now);
}

void mode::took(moment due, moment now) {
    result_.times.record(now - due);
    if (result_.usual) result_.usual->record(due - begin_, now - due);
}

// A request that has timed out took at least that long; what broke has no time.
void mode::count(fault why, moment due) {
    if (why == fault::timeout) return lose(due, clock::now());
    if (measured(due)) result_.count(why);
}

void mode::cannot_run(fault why) const {
    switch (why) {
    case fault::connect: throw std::runtime_error(chosen_.url + ": no connection, or no handshake");
    case fault::timeout: throw std::runtime_error(chosen_.url + ": no answer");
    default: throw std::runtime_error(chosen_.url + ": connections are closed before they are of use");
    }
}

void mode::print() {
    std::puts(result_.line().c_str());
    std::fflush(stdout);
}

void run(mode& one) {
    std::array<epoll_event, 256> ready;
    for (;;) {
        const auto now = clock::now();
        const auto next = one.tick(now, true);
        if (one.over()) return;
        const auto pause = std::max(clock::duration::zero(), next - now);
        const auto whole = std::chrono::duration_cast<std::chrono::seconds>(pause);
        const timespec wait{.tv_sec = whole.count(), .tv_nsec = (pause - whole).count()};
        const int count = ::epoll_pwait2(one.epoll(), ready.data(), int(ready.size()), &wait, nullptr);
        if (count < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "epoll_pwait2");
        one.woken(next, clock::now());
        for (int i = 0; i < count; ++i) {
            const auto& event = ready[std::size_t(i)];
            if (event.data.ptr) {
                static_cast<connection*>(event.data.ptr)->serve(event.events);
            } else {
                std::array<char, 4096> bytes;
                const auto n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
                one.told({bytes.data(), std::size_t(std::max<ssize_t>(n, 0))});
            }
            one.tick(clock::now(), false);
            if (one.over()) return;
        }
    }
}

} // namespace load
