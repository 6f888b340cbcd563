// Accepts connections on one address and deals each to the core with the fewest: SO_REUSEPORT would spread a few
// long-lived connections badly and lose queued ones when a socket closes. Lives on one core's io_context.
#pragma once

#include "base/pause.hpp"
#include "proxy/client.hpp"
#include "proxy/dealing.hpp"
#include "telemetry/log.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace scoregate::proxy {

class listener {
public:
    // `descriptor` is bound and listening; owned from here on, and made non-blocking, if it came from another process.
    // `on` is the core whose thread accepts. Throws system_error.
    listener(core& on, dealing& to, int descriptor, entrance through);
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;

    // The thread of `on`, all of these.
    void start();
    // Takes what is queued to serve it, and closes.
    void stop();
    // Closes only this process's descriptor: what is queued is for another process that shares the socket.
    void leave();
    // Takes what is queued to serve it, and refuses connections, as a port that nobody listens on, until resume(). The
    // address stays ours. This concerns every process that shares the socket.
    void pause();
    void resume();
    // Does not accept until pause() or resume(), and leaves the socket as it is: another process accepts there.
    void hold();
    // Listens or refuses as it was told to: a process that shared the socket may have changed it.
    void reassert();
    // Any of these may be called before start().

private:
    base::task<> accept();
    enum class queue : std::uint8_t { empty, more, exhausted }; // exhausted: out of something, ask again later
    queue accept_queued();
    void accept_all_queued();
    void close();
    void deal(const arrival&);

    core& on_;
    dealing& to_;
    base::socket acceptor_;
    base::pause pause_; // before it accepts again: for a moment, or until resume()
    entrance through_;
    telemetry::rate_limited complaint_;
    enum class state : std::uint8_t { accepting, holding, refusing };
    state state_ = state::accepting;
    bool stopped_ = false;
};

} // namespace scoregate::proxy
