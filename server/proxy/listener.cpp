#include "proxy/listener.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace scoregate::proxy {

namespace {

constexpr int most_at_once = 64;   // then others get their turn
constexpr int queue_length = 4096; // the kernel lowers it to net.core.somaxconn
constexpr std::chrono::milliseconds pause_when_exhausted{100};
constexpr std::chrono::seconds between_complaints{10};

} // namespace

listener::listener(core& on, dealing& to, int descriptor, entrance through)
    : on_(on),
      to_(to),
      acceptor_(on.where()),
      pause_(on.wheel, on.where()),
      through_(through),
      complaint_(between_complaints) {
    base::error_code ec;
    acceptor_.assign(base::descriptor(descriptor), ec);
    const int flags = ::fcntl(descriptor, F_GETFL);
    if (!ec && ::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
        ec.assign(errno, boost::system::system_category());
    if (ec) throw boost::system::system_error(ec, "listener");
}

void listener::start() { base::spawn(on_.where(), on_.accepting, accept()); }

void listener::stop() {
    if (!stopped_ && state_ == state::accepting) accept_all_queued();
    close();
}

// What the kernel has completed for us is ours to serve: a close would reset it. Bounded, as new ones may keep coming.
void listener::accept_all_queued() {
    for (int taken = 0; taken < queue_length; taken += most_at_once)
        if (accept_queued() != queue::more) break;
}

void listener::leave() { close(); }

// Not acceptor_.close(), which leaves it to the kernel to take the socket out of the epoll set: it does so only when no
// process has the socket any more (epoll(7)), and until then events would come for a descriptor that is gone.
void listener::close() {
    stopped_ = true;
    pause_.end();
    acceptor_.release();
}

// Linux takes a listening socket out of service by shutdown() and back into it by listen(), and keeps the address bound
// meanwhile (inet_shutdown of its sources; tcp(7) does not say).
void listener::pause() {
    if (stopped_ || std::exchange(state_, state::refusing) == state::refusing) return;
    accept_all_queued();
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
}

void listener::resume() {
    if (stopped_ || std::exchange(state_, state::accepting) == state::accepting) return;
    reassert();
    pause_.end();
}

void listener::hold() { state_ = state::holding; }

void listener::reassert() {
    if (stopped_ || state_ == state::holding) return;
    if (state_ == state::refusing) {
        ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
        return;
    }
    if (::listen(acceptor_.native_handle(), queue_length) != 0) // of one that listens: changes nothing
        telemetry::log().error("cannot listen again: {}", std::strerror(errno));
}

base::task<> listener::accept() {
    while (!stopped_) {
        if (state_ != state::accepting) {
            co_await pause_.wait_for_end();
            continue;
        }
        const auto [ec] = co_await acceptor_.async_wait(base::socket::wait_read, base::awaited);
        if (ec || stopped_) co_return;
        if (state_ == state::accepting && accept_queued() == queue::exhausted)
            co_await pause_.wait(pause_when_exhausted);
    }
}

listener::queue listener::accept_queued() {
    for (int i = 0; i < most_at_once; ++i) {
        base::tcp::endpoint peer;
        auto size = static_cast<socklen_t>(peer.capacity());
        const int descriptor = ::accept4(acceptor_.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor >= 0) {
            peer.resize(size);
            deal({descriptor, base::unmapped(peer.address()), through_});
            continue;
        }
        switch (errno) {
        case EAGAIN: acceptor_.took_all(); return queue::empty;
        case EINVAL: return queue::exhausted; // another process that shares the socket has paused it
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            // The connection stays in the kernel's queue; asking again at once would spin.
            on_.metrics.accept_errors.add();
            if (const auto hidden = complaint_.allow(std::chrono::steady_clock::now()))
                telemetry::log().error("accept: {} ({} more like it): raise the limit of open files or lower "
                                       "limits.max_connections",
                                       std::strerror(errno), *hidden);
            return queue::exhausted;
        default: continue; // the connection's own trouble (accept(2)): take the next
        }
    }
    return queue::more;
}

void listener::deal(const arrival& one) {
    using telemetry::refusal;
    const auto refuse = [this, &one](refusal why) {
        on_.refused(why, one.peer); // first: who sees the end may look at the count
        ::close(one.descriptor);
    };
    if (to_.short_of_memory.load(std::memory_order_relaxed)) return refuse(refusal::memory);
    std::size_t open = 0;
    core* least = nullptr;
    core* idlest = nullptr; // has the connection that has been idle longest
    for (core* each : to_.cores) {
        open += each->open_connections();
        if (least == nullptr || each->open_connections() < least->open_connections()) least = each;
        if (each->idle.since() < (idlest == nullptr ? waiting_clients::nobody : idlest->idle.since())) idlest = each;
    }
    if (one.descriptor >= to_.most_descriptors) {
        // There is no place to change while this one has its number: the next that comes gets in.
        if (idlest != nullptr)
            idlest->post([idlest] { idlest->evict(idlest->idle, 1, telemetry::eviction::descriptors); });
        return refuse(refusal::descriptors);
    }
    const bool full = open >= to_.most_connections;
    if (full && idlest == nullptr) return refuse(refusal::max_connections);
    core* const to = full ? idlest : least;
    to->promise_connection();
    // To its own core, too: behind what was posted before the connection was made.
    to->post([to, full, &of = to_, one] { full ? adopt_in_place_of_idle(*to, of, one) : adopt_client(*to, of, one); });
}

} // namespace scoregate::proxy
