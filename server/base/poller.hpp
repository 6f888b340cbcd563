// Tells what waits for a descriptor that it is ready: epoll, edge-triggered, each descriptor announced to it once. One
// for each loop (an Asio service of its io_context), one thread but for post().
//
// Asio's own reactor asks a socket before it waits for it, since it does not listen for the end of a stream and so
// never knows whether a short read took all there was. This one does (EPOLLRDHUP), and remembers what each descriptor
// was found to be: a read that would find nothing is not made (docs/decisions/0021-own-poller.md).
//
// Either a loop drives it (drive(), look(), tell()), which then waits here and nowhere else; or nobody does, and it
// lets the io_context wait for it whenever anything waits here.
#pragma once

#include "base/executor.hpp"
#include "base/frame_memory.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/intrusive/list.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <sys/epoll.h>
#include <utility>
#include <vector>

namespace scoregate::base {

class poller;

// Something that happens later, once, in the loop's thread. Belongs to who is to let it happen.
class pending {
public:
    pending* next = nullptr; // in a line
    error_code error;
    std::size_t transferred = 0;

    // Goes, and what it was for is told, or dropped with all that belongs to it.
    void tell() { end_(this, true); }
    void drop() { end_(this, false); }

protected:
    using ending = void (*)(pending*, bool told);
    explicit pending(ending end) : end_(end) {}
    ~pending() = default;

private:
    ending end_;
};

namespace detail {

template <class Work>
class pending_work final : public pending {
public:
    explicit pending_work(Work work) : pending(end), work_(std::move(work)) {}

private:
    static void end(pending* one, bool told) {
        frame_ptr<pending_work> self(static_cast<pending_work*>(one));
        auto work = std::move(self->work_);
        self.reset();
        if (told) work();
    }
    Work work_;
};

} // namespace detail

// `work()` to be called when it happens.
template <class Work>
pending& make_pending(Work work) {
    return *make_in_frame<detail::pending_work<Work>>(std::move(work)).release();
}

// First in, first out; owns what is in it.
class pending_line {
public:
    pending_line() = default;
    pending_line(pending_line&& other) noexcept
        : first_(std::exchange(other.first_, nullptr)), last_(std::exchange(other.last_, nullptr)) {}
    pending_line& operator=(pending_line&&) = delete;
    ~pending_line() {
        while (!empty()) pop().drop();
    }

    bool empty() const { return first_ == nullptr; }
    void push(pending& one) {
        one.next = nullptr;
        (last_ != nullptr ? last_->next : first_) = &one;
        last_ = &one;
    }
    pending& pop() {
        pending& one = *first_;
        first_ = one.next;
        if (first_ == nullptr) last_ = nullptr;
        return one;
    }

private:
    pending* first_ = nullptr;
    pending* last_ = nullptr;
};

// What waits for a descriptor. `attempt` does what is waited for and says whether that is done, with `error` and
// `transferred` set; false: not ready after all.
class descriptor_wait : public pending {
public:
    bool attempt() { return attempt_(*this); }

protected:
    using attempting = bool (*)(descriptor_wait&);
    descriptor_wait(attempting how, ending end) : pending(end), attempt_(how) {}
    ~descriptor_wait() = default;

private:
    attempting attempt_;
};

// What is known of a descriptor. What is false will be announced (room to write once somebody waits for it); what is
// true need not be so any more.
class watched : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    int descriptor = -1;
    std::uint32_t index = 0;
    std::uint32_t generation = 0; // tells its place's tenants apart
    bool readable = false;
    bool ended = false;  // the peer has ended its stream, or the connection has failed: nothing more is announced
    bool urgent = false; // it has sent urgent data, at which a read comes short (tcp(7))
    bool writable = true;
    bool announces_room = false; // EPOLLOUT is asked for
    descriptor_wait* reader = nullptr;
    descriptor_wait* writer = nullptr;
};

// What a coroutine waits for until another of its loop tells it: no timer, no system call. One waits at a time.
class event : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    explicit event(executor where);
    event(const event&) = delete;
    event& operator=(const event&) = delete;
    // Tells who waits. Where no loop drives the poller that may want for memory: then the process ends.
    ~event() { tell(); } // NOLINT(bugprone-exception-escape): as said

    template <class Token>
    auto async_wait(Token&& token) {
        return asio::async_initiate<Token, void()>([this](auto handler) { wait(make_pending(std::move(handler))); },
                                                   token);
    }
    // Who waits by now goes on, by and by. If nobody does, nothing happens.
    void tell();

private:
    friend poller;
    void wait(pending& what);

    poller& its_;
    pending* waiting_ = nullptr;
};

class poller final : public asio::execution_context::service {
public:
    using key_type = poller;
    static asio::execution_context::id id;

    // Throws system_error if the system has no descriptor for it.
    explicit poller(asio::execution_context& of);
    ~poller() override;
    static poller& of(executor where) { return asio::use_service<poller>(where.context()); }

    executor where() const { return where_; }

    // From now on the loop calls look(), and post() is allowed. Throws system_error.
    void drive();
    // Waits until something is ready, due or posted, but no longer than `most`.
    void look(std::chrono::milliseconds most);
    // Tells what is posted, all that look() found ready, in the order in which it became so, and what was due by then.
    // What becomes due meanwhile is for the next time. Posts come first and in their order: a connection that is dealt
    // by one meets what was posted before it came.
    void tell();
    // Any thread: `work()` will run in the loop's. What is still there when the loop ends is dropped.
    template <class Work>
    void post(Work work) {
        push_posted(make_pending(std::move(work)));
    }
    // `work()` will run, once all has been told that is ready by then.
    template <class Work>
    void later(Work work) {
        come_due(make_pending(std::move(work)));
    }
    // The same for `one` whose time has come.
    void come_due(pending& one);

    // Null, with `ec` set, if the system cannot. Not owned: a descriptor is forgotten before it is closed.
    watched* watch(int descriptor, bool announce_room, error_code& ec);
    // Whatever waits for it is told operation_aborted, by and by. `still_open`: the descriptor, or another to the same
    // socket, stays open.
    void forget(watched& one, bool still_open);
    void cancel(watched& one);
    // At most one of each at a time. It is attempted at once.
    void wait_to_read(watched& one, descriptor_wait& what);
    void wait_to_write(watched& one, descriptor_wait& what);

    void shutdown() override;

private:
    friend event;

    void push_posted(pending& one);
    void wake();
    void drop_posted();
    void note(const epoll_event& event);
    void tell_posted();
    void tell_ready();
    void abort(descriptor_wait*& place);
    void begin_wait(descriptor_wait*& place, descriptor_wait& what);
    void attach();
    void turn();

    executor where_;
    int epoll_;
    int woken_ = -1; // eventfd
    // epoll_, once nobody drives it. Made only then, as it brings Asio's reactor, which each turn would look into.
    std::optional<asio::posix::basic_stream_descriptor<executor>> attached_to_;
    bool driven_ = false, attached_ = false, turning_ = false;
    std::size_t waiting_ = 0; // for a descriptor
    std::deque<watched> places_;
    std::vector<std::uint32_t> free_places_;
    boost::intrusive::list<watched, boost::intrusive::constant_time_size<false>> ready_;
    boost::intrusive::list<event, boost::intrusive::constant_time_size<false>> events_; // that somebody waits for
    pending_line due_;
    std::atomic<pending*> posted_{nullptr}; // last in, first out
    std::atomic<bool> asleep_{false};
};

} // namespace scoregate::base
