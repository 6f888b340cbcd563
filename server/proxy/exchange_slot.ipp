// The request's slot: taken at once or waited for in the deployment's queue, and what becomes of it and of the
// replica's connection in the end. Included by exchange.cpp alone, which instantiates it.
#pragma once

#include "proxy/exchange.hpp"
#include "proxy/unattended.hpp"

namespace scoregate::proxy {

// True if it has one now; false if it is in the queue, and then wait_for_slot() must follow.
template <class Stream>
result<bool> exchange<Stream>::ask_for_slot() {
    auto has_slot = place_.ask(*now_.target->replicas, now_.target->settings, now_.head_read + now_.collecting);
    if (has_slot && *has_slot) slot_ = place_.take();
    return has_slot;
}

template <class Stream>
task<result<void>> exchange<Stream>::wait_for_slot() {
    const auto began = clock::now();
    unwatched_.arm(base::deadline_wheel::tick_length); // a place that is soon free costs nothing
    const auto pointless = [](const void* who) {
        return static_cast<const exchange*>(who)->given_up().kind != fault::none;
    };
    const bool granted = co_await place_.wait(pointless, this);
    const auto waited = clock::now() - began;
    now_.queued += waited;
    metrics().queue_wait.observe(waited);
    if (granted) slot_ = place_.take();
    const auto gone = given_up();
    if (trace_)
        add_stage(telemetry::stage::queue, began, began + waited,
                  gone.kind != fault::none ? gone.kind
                  : granted                ? fault::none
                                           : fault::queue_timeout);
    if (gone.kind != fault::none) {
        slot_.release();
        co_return gone;
    }
    if (!granted) co_return refuse_for_now(fault::queue_timeout);
    co_return result<void>{};
}

template <class Stream>
failure exchange<Stream>::refuse_for_now(fault kind) const {
    auto why = fail(kind);
    why.retry_after = static_cast<unsigned>(now_.target->replicas->retry_after(clock::now()).count());
    return why;
}

// What a request that ended so says of its replica.
template <class Stream>
routing::outcome exchange<Stream>::outcome_of(const failure& why) const {
    using routing::outcome;
    switch (why.kind) {
    case fault::none: break;
    case fault::replica_closed: return now_.reused ? outcome::untold : outcome::failed; // its idle time was up, perhaps
    case fault::connect_failed:
    case fault::connect_timeout:
    case fault::replica_bad_response:
    case fault::replica_stalled:
    case fault::request_timeout:
    case fault::stream_idle_timeout:
    case fault::stream_broken: return outcome::failed;
    default: return outcome::untold;
    }
    return now_.reply_complete ? routing::outcome_of_status(now_.model_status) : outcome::untold;
}

// The connection goes back to the pool, is closed, or is left to whoever waits until the replica is free again.
template <class Stream>
void exchange<Stream>::leave_replica(const failure& why) {
    const auto what = outcome_of(why);
    if (trace_) end_model(why);
    if (!replica_) return slot_.release(what);
    replica_reading_.disarm();
    const bool clean = now_.reply_complete && now_.replica_reusable && now_.request_whole && reply_.empty();
    // Only a connection that the replica has closed tells that it is not at it any more.
    const bool at_work =
        now_.sent && !now_.reply_complete && why.kind != fault::none && why.kind != fault::replica_closed;
    const auto& settings = now_.target->settings;
    if (clean)
        core_.pool.give(std::move(replica_), clock::now(), now_.replica_idle_limit);
    else if (at_work && slot_ && settings.on_abandon == config::on_abandon::finish &&
             settings.max_concurrent_requests) {
        slot_.report(what);
        finish_abandoned(core_,
                         {snapshot_, now_.target, std::move(slot_), std::move(replica_), now_.verb,
                          now_.reply_head_seen, now_.replica_reusable, reply_body_,
                          reply_.has_block() ? std::string(reply_.readable()) : std::string(), now_.request_whole,
                          why.kind != fault::replica_bad_response && why.kind != fault::stream_broken});
    }
    replica_.reset();
    slot_.release(what);
}

} // namespace scoregate::proxy
