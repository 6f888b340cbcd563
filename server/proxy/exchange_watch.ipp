// Whether the client is still there while nothing is awaited from it: its socket is read, and what it says early (the
// next request) is kept, as far as one buffer goes. The end of its stream means that it has gone, a half-close too.
// Included by exchange.cpp alone, which instantiates it.
#pragma once

#include "proxy/exchange.hpp"

namespace scoregate::proxy {

// Begins it, unless the upload reads. Called by a deadline too, again and again: touches none.
template <class Stream>
void exchange<Stream>::watch() {
    if (now_.watching || now_.uploading || now_.client_left) return;
    now_.watching = true;
    base::spawn(core_.where(), core_.gate, watch_client());
}

template <class Stream>
task<> exchange<Stream>::watch_client() {
    auto& in = client_.in;
    while (!now_.stop_watch) {
        if (co_await await_client()) break;
        if (now_.stop_watch) break;
        if (!in.has_block()) in.reserve();
        if (in.writable().empty()) in.compact();
        const auto room = in.writable();
        if (room.empty()) break;
        const auto [ec, n] = co_await client_.stream.async_read_some(asio::buffer(room.data(), room.size()), awaited);
        in.commit(n);
        if (ec == asio::error::operation_aborted) break;
        if (!ec) continue;
        now_.client_left = true;
        cancel_replica(this);
        place_.tell();
        break;
    }
    now_.watching = false;
    if (watch_ended_) watch_ended_->tell();
}

template <class Stream>
task<> exchange<Stream>::end_watch() {
    now_.stop_watch = true;
    watch_ended_.emplace(core_.where());
    cancel_client(this);
    cooling_.arm(std::chrono::milliseconds(0)); // again and again: what has just come may have it wait once more
    while (now_.watching) co_await watch_ended_->async_wait(awaited);
    cooling_.disarm();
    now_.stop_watch = false;
}

} // namespace scoregate::proxy
