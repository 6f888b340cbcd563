// The request's slot: taken at once or waited for in the deployment's queue, and what becomes of it and of the
// replica's connection in the end. Included by exchange.cpp alone, which instantiates it.
#pragma once

#include "proxy/abandoned.hpp"
#include "proxy/exchange.hpp"

namespace scoregate::proxy {

// True if it has one now; false if it is in the queue, and then wait_for_slot() must follow.
template <class Stream>
result<bool> exchange<Stream>::ask_for_slot() {
    auto& deployment = *now_.target->replicas;
    if (now_.target->settings.max_queue_wait.count() == 0) {
        auto reserved = deployment.reserve_now(now_.head_read);
        if (!reserved) return reserved.error();
        slot_ = std::move(*reserved);
        return true;
    }
    auto answer = deployment.reserve(place_, now_.head_read);
    if (const auto* const refused = std::get_if<failure>(&answer)) return *refused;
    auto* const reserved = std::get_if<routing::slot>(&answer);
    now_.in_queue = reserved == nullptr;
    if (reserved != nullptr) slot_ = std::move(*reserved);
    return reserved != nullptr;
}

template <class Stream>
task<result<void>> exchange<Stream>::wait_for_slot() {
    const auto began = clock::now();
    woken_.emplace(core_.where(), base::tick_timer::time_point::max());
    queue_wait_.arm(now_.target->settings.max_queue_wait);
    watch();
    while (!now_.granted && given_up().kind == fault::none && !queue_wait_.fired())
        co_await woken_->async_wait(awaited);
    queue_wait_.disarm();
    if (!now_.granted && !now_.target->replicas->abandon(place_))
        while (!now_.granted) co_await woken_->async_wait(awaited); // the grant was quicker
    now_.in_queue = false;
    now_.queued = clock::now() - began;
    metrics().queue_wait.observe(now_.queued);
    if (now_.granted) slot_ = place_.take();
    if (const auto why = given_up(); why.kind != fault::none) {
        slot_.release();
        co_return why;
    }
    if (!slot_) co_return refuse_for_now(fault::queue_timeout);
    co_return result<void>{};
}

template <class Stream>
failure exchange<Stream>::refuse_for_now(fault kind) const {
    auto why = fail(kind);
    why.retry_after = static_cast<unsigned>(now_.target->replicas->retry_after(clock::now()).count());
    return why;
}

template <class Stream>
void exchange<Stream>::queue_place::wake(routing::waiter& who) noexcept {
    auto& owner = static_cast<queue_place&>(who).owner;
    owner.core_.post([&owner] {
        owner.now_.granted = true;
        owner.woken_->cancel();
    });
}

// The connection goes back to the pool, is closed, or is left to whoever waits until the replica is free again.
template <class Stream>
void exchange<Stream>::leave_replica(const failure& why) {
    if (!replica_) return slot_.release();
    replica_reading_.disarm();
    const bool clean = now_.reply_complete && now_.replica_reusable && request_body_.done() &&
                       !now_.replica_write_failed && client_.reply.empty();
    // A fault of the replica's is its end of the work; every other one leaves it at it.
    const bool at_work = now_.sent && !now_.reply_complete && !aborted_ && why.kind != fault::none &&
                         why.kind != fault::replica_closed && why.kind != fault::replica_bad_response &&
                         why.kind != fault::stream_broken;
    if (clean)
        core_.pool.give(std::move(replica_), clock::now());
    else if (at_work && now_.target->settings.on_abandon == config::on_abandon::finish)
        finish_abandoned(core_, {snapshot_, now_.target, std::move(slot_), std::move(replica_), now_.verb,
                                 now_.reply_head_seen, now_.replica_reusable, reply_body_,
                                 client_.reply.has_block() ? std::string(client_.reply.readable()) : std::string(),
                                 now_.request_whole});
    replica_.reset();
    slot_.release();
}

} // namespace scoregate::proxy
