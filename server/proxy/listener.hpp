// Accepts connections on one address and deals each to the core with the fewest: SO_REUSEPORT would spread a few
// long-lived connections badly and lose queued ones when a socket closes. Lives on one core's io_context.
#pragma once

#include "proxy/client.hpp"
#include "telemetry/log.hpp"

#include <atomic>
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

    // The thread of `on`, both.
    void start();
    void stop();
    // Refuses connections, as a port that nobody listens on, until resume(). The address stays ours. May be called
    // before start().
    void pause();
    void resume();

private:
    base::task<> accept();
    // Takes what is queued; false if the process or the system is out of something and should wait.
    bool accept_queued();
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
