#include "base/poller.hpp"

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <cassert>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace scoregate::base {

namespace {

constexpr std::uint32_t of_the_eventfd = 0xFFFFFFFF;
constexpr int most_at_once = 128; // of one call
constexpr int most_rounds = 64;

error_code last_error() { return {errno, boost::system::system_category()}; }

int made(int descriptor) {
    if (descriptor < 0) throw boost::system::system_error(last_error(), "poller");
    return descriptor;
}

executor executor_of(asio::execution_context& of) { return static_cast<asio::io_context&>(of).get_executor(); }

epoll_event wanted(const watched& one) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET | (one.announces_room ? EPOLLOUT : 0U);
    event.data.u64 = std::uint64_t{one.generation} << 32 | one.index;
    return event;
}

} // namespace

asio::execution_context::id poller::id;

poller::poller(asio::execution_context& of)
    : asio::execution_context::service(of), where_(executor_of(of)), epoll_(made(::epoll_create1(EPOLL_CLOEXEC))) {}

poller::~poller() {
    drop_posted(); // by what went with other services
    if (woken_ >= 0) ::close(woken_);
    ::close(epoll_);
}

void poller::drive() {
    woken_ = made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET; // each write is an edge: it need not be read
    event.data.u64 = of_the_eventfd;
    made(::epoll_ctl(epoll_, EPOLL_CTL_ADD, woken_, &event));
    driven_ = true;
}

void poller::look(std::chrono::milliseconds most) {
    std::array<epoll_event, most_at_once> events;
    auto timeout = static_cast<int>(most.count());
    if (!due_.empty() || !ready_.empty())
        timeout = 0;
    else if (timeout != 0) {
        asleep_.store(true);
        if (posted_.load() != nullptr) timeout = 0; // by who did not see that
    }
    // All, so that nobody goes by what was known of another before; bounded, as more may come all the time.
    for (int round = 0; round < most_rounds; ++round) {
        const int found = ::epoll_wait(epoll_, events.data(), most_at_once, timeout);
        asleep_.store(false, std::memory_order_relaxed);
        for (int i = 0; i < found; ++i) note(events[static_cast<std::size_t>(i)]);
        if (found < most_at_once) return;
        timeout = 0;
    }
}

void poller::note(const epoll_event& event) {
    const auto index = static_cast<std::uint32_t>(event.data.u64);
    if (index == of_the_eventfd) return;
    auto& one = places_[index];
    if (one.generation != event.data.u64 >> 32) return; // of a descriptor that is gone
    constexpr auto failed = EPOLLERR | EPOLLHUP;
    if ((event.events & (EPOLLIN | EPOLLRDHUP | failed)) != 0) one.readable = true;
    if ((event.events & (EPOLLRDHUP | failed)) != 0) one.ended = true;
    if ((event.events & EPOLLPRI) != 0) one.urgent = true;
    if ((event.events & (EPOLLOUT | failed)) != 0) one.writable = true;
    if (!one.is_linked()) ready_.push_back(one);
}

void poller::tell() {
    pending_line now_due(std::move(due_));
    tell_posted();
    tell_ready();
    while (!now_due.empty()) now_due.pop().tell();
}

void poller::tell_ready() {
    const auto serve = [this](descriptor_wait*& place) {
        descriptor_wait* const what = std::exchange(place, nullptr);
        if (!what->attempt()) {
            place = what;
            return;
        }
        --waiting_;
        what->tell();
    };
    while (!ready_.empty()) {
        auto& one = ready_.front();
        ready_.pop_front();
        const auto generation = one.generation;
        if (one.reader != nullptr && one.readable) serve(one.reader);
        if (one.generation == generation && one.writer != nullptr && one.writable) serve(one.writer);
    }
}

void poller::push_posted(pending& one) {
    one.next = posted_.load(std::memory_order_relaxed);
    while (!posted_.compare_exchange_weak(one.next, &one)) {
    }
    wake();
}

void poller::wake() {
    if (!asleep_.exchange(false)) return;
    const std::uint64_t once = 1;
    [[maybe_unused]] const auto written = ::write(woken_, &once, sizeof once);
}

void poller::tell_posted() {
    pending* last = posted_.load(std::memory_order_relaxed);
    if (last == nullptr) return;
    last = posted_.exchange(nullptr, std::memory_order_acquire);
    pending* in_order = nullptr;
    while (last != nullptr) {
        pending* const before = last->next;
        last->next = in_order;
        in_order = std::exchange(last, before);
    }
    pending_line line;
    while (in_order != nullptr) {
        pending& one = *in_order;
        in_order = one.next;
        line.push(one);
    }
    while (!line.empty()) line.pop().tell();
}

void poller::come_due(pending& one) {
    due_.push(one);
    attach();
}

watched* poller::watch(int descriptor, bool announce_room, error_code& ec) {
    if (free_places_.empty()) {
        places_.emplace_back();
        places_.back().index = static_cast<std::uint32_t>(places_.size() - 1);
        if (free_places_.capacity() < places_.size()) free_places_.reserve(2 * places_.size()); // forget() cannot fail
        free_places_.push_back(places_.back().index);
    }
    auto& one = places_[free_places_.back()];
    one.descriptor = descriptor;
    one.readable = one.ended = one.urgent = false;
    one.writable = !announce_room;
    one.announces_room = announce_room;
    auto event = wanted(one);
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) {
        ec = last_error();
        return nullptr;
    }
    free_places_.pop_back();
    return &one;
}

void poller::forget(watched& one, bool still_open) {
    cancel(one);
    // Otherwise the close does it.
    if (still_open) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, one.descriptor, nullptr);
    if (one.is_linked()) one.unlink();
    ++one.generation;
    free_places_.push_back(one.index);
}

void poller::abort(descriptor_wait*& place) {
    if (place == nullptr) return;
    descriptor_wait& what = *std::exchange(place, nullptr);
    --waiting_;
    what.error = asio::error::operation_aborted;
    what.transferred = 0;
    come_due(what);
}

void poller::cancel(watched& one) {
    abort(one.reader);
    abort(one.writer);
}

void poller::begin_wait(descriptor_wait*& place, descriptor_wait& what) {
    assert(place == nullptr);
    if (what.attempt()) return come_due(what);
    place = &what;
    ++waiting_;
    attach();
}

void poller::wait_to_read(watched& one, descriptor_wait& what) { begin_wait(one.reader, what); }

void poller::wait_to_write(watched& one, descriptor_wait& what) {
    begin_wait(one.writer, what);
    if (one.writer != &what || one.announces_room) return;
    one.announces_room = true;
    auto event = wanted(one);
    if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, one.descriptor, &event) == 0) return;
    const auto failed = last_error();
    --waiting_;
    one.writer->error = failed;
    come_due(*std::exchange(one.writer, nullptr));
}

event::event(executor where) : its_(poller::of(where)) {}

void event::wait(pending& what) {
    assert(waiting_ == nullptr);
    waiting_ = &what;
    its_.events_.push_back(*this);
}

void event::tell() {
    if (waiting_ == nullptr) return;
    unlink();
    its_.come_due(*std::exchange(waiting_, nullptr));
}

// Where no loop drives it: while anything waits here, the io_context waits for it.
void poller::attach() {
    if (driven_ || turning_) return;
    if (!due_.empty() || !ready_.empty()) {
        turning_ = true;
        return asio::post(where_, [this] { turn(); });
    }
    if (waiting_ == 0 || attached_) return;
    if (!attached_to_) attached_to_.emplace(where_, epoll_);
    attached_ = true;
    attached_to_->async_wait(decltype(attached_to_)::value_type::wait_read, [this](error_code) {
        attached_ = false;
        if (!turning_) turn();
    });
}

void poller::turn() {
    turning_ = true;
    look(std::chrono::milliseconds(0));
    tell();
    turning_ = false;
    if (waiting_ == 0 && attached_) attached_to_->cancel();
    attach();
}

// Coroutines that will never go on go, and with them sockets, of which others may wait for the same.
void poller::shutdown() {
    driven_ = true; // nothing is attached any more
    const auto drop = [this](descriptor_wait*& place) {
        if (place == nullptr) return;
        --waiting_;
        std::exchange(place, nullptr)->drop();
    };
    for (std::size_t i = 0; i < places_.size(); ++i) {
        drop(places_[i].reader);
        drop(places_[i].writer);
    }
    while (!events_.empty()) events_.front().tell();
    do { // who goes may post, and let others be told
        drop_posted();
        while (!due_.empty()) due_.pop().drop();
    } while (posted_.load() != nullptr);
    if (attached_to_) attached_to_->release(); // while the services that it needs are there
    attached_to_.reset();
}

void poller::drop_posted() {
    for (pending* one = posted_.exchange(nullptr); one != nullptr;) std::exchange(one, one->next)->drop();
}

} // namespace scoregate::base
