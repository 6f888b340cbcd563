// Accepts connections on one address and deals each to the core with the fewest: SO_REUSEPORT would spread a few
// long-lived connections badly and lose queued ones when a socket closes. Lives on one core's io_context.
#pragma once

#include "proxy/client.hpp"
#include "telemetry/log.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace scoregate::proxy {

// The cores that share the connections, and how many there may be in all. Outlives the listeners.
struct dealing {
    std::vector<core*> cores;
    std::size_t most_connections = 0;
};

class listener {
public:
    // `descriptor` is bound, listening and non-blocking; owned from here on. `on` is the core whose thread accepts.
    listener(core& on, const dealing& to, int descriptor, entrance through);
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;

    // The thread of `on`, all of these.
    void start();
    // Takes what is queued to serve it, and closes.
    void stop();
    // Closes only this process's descriptor: what is queued is for another process that shares the socket.
    void leave();
    // Refuses connections, as a port that nobody listens on, until resume(). The address stays ours. May be called
    // before start().
    void pause();
    void resume();

private:
    base::task<> accept();
    enum class queue : std::uint8_t { empty, more, exhausted }; // exhausted: out of something, ask again later
    queue accept_queued();
    void close();
    void deal(int descriptor);

    core& on_;
    const dealing& to_;
    base::tcp_acceptor acceptor_;
    base::tick_timer pause_; // before it accepts again: for a moment, or until resume()
    entrance through_;
    telemetry::rate_limited complaint_;
    bool paused_ = false, stopped_ = false;
};

} // namespace scoregate::proxy
