// A try at a replica that came to nothing: whether another one is safe, and where. Included by exchange.cpp alone,
// which instantiates it.
//
//   nothing of the request reached the replica            another replica, at once (its own again on a new connection
//                                                         where only an idle connection had died)
//   closed without a byte of a reply, on a connection     once, on a new connection to it, if the route is idempotent
//   that was reused                                       and the body is at hand
//   a new connection was reset, which means unread        once, another replica, on the same terms
//   429 or 503, and the body is at hand                   another replica, if one is free before max_queue_wait is over
//   a byte of a reply, a timeout, any other status        never
//
// What may be worked on twice stays within a budget, so that replicas in trouble do not get more work than their
// clients send. What was reset was not read: a replica that shuts down resets all that waits in its queue at once, and
// none of it has cost it anything.
#pragma once

#include "proxy/exchange.hpp"

namespace scoregate::proxy {

inline constexpr unsigned most_tries = 3;
inline constexpr std::int64_t least_budget = 3; // at once on one core: a fifth of few requests is none

template <class Stream>
void exchange<Stream>::begin_try() {
    ++now_.attempts;
    reply_.clear(); // what another replica has said
    now_.reply_seen = {};
    now_.sent = now_.was_reset = now_.replica_write_failed = now_.request_whole = false;
    now_.replica_reusable = true;
    replica_name_ = std::string_view(slot_.where().url);
    if (trace_ && now_.attempts > 1) renew_model_id();
    // What has been waited for is known: the first try needs no look at the clock for the age of a connection.
    const auto spent = now_.collecting + now_.queued + now_.connecting + now_.tried_in_vain;
    replica_ = now_.wants_new_connection ? nullptr : core_.pool.take(slot_.where().id, now_.head_read + spent);
    now_.reused = replica_ != nullptr;
}

// True: the next try may begin. False: the reply that turned the request away is all that there is, and it stands where
// relay_reply() expects it. `why` is none where the try ended with such a reply.
template <class Stream>
task<result<bool>> exchange<Stream>::try_again(failure why) {
    replica_reading_.disarm();
    if (const auto gone = given_up(); gone.kind != fault::none) co_return why.kind != fault::none ? why : gone;
    const auto next = next_try(why);
    if (trace_) end_model(why);
    if (next.where == try_at::nowhere) co_return final_word(why);
    if (next.where == try_at::another_replica) {
        const bool granted = co_await move_elsewhere(why);
        if (const auto gone = given_up(); gone.kind != fault::none) co_return gone;
        if (!granted && now_.turned_away) co_return keep_reply();
        if (!granted) co_return final_word(why);
    }
    if (next.within_budget && !now_.counts_as_retry) {
        now_.counts_as_retry = true;
        metrics().retrying.add();
    }
    metrics().retries[static_cast<std::size_t>(next.because)].add();
    now_.wants_new_connection = next.sent_before || next.where == try_at::same_replica;
    if (why.kind == fault::replica_closed && now_.sent) now_.repeated = next.where;
    now_.was_turned_away |= std::exchange(now_.turned_away, false);
    replica_.reset();
    now_.tried_in_vain =
        (clock::now() - now_.head_read) - (now_.collecting + now_.queued + now_.connecting); // all that is left
    co_return true;
}

// A slot at a replica that the request has not been to. Its own it keeps if there is none to be had, and if that one's
// reply is to be passed on.
template <class Stream>
task<bool> exchange<Stream>::move_elsewhere(const failure& why) {
    place_.avoid(slot_.where());
    auto left = std::move(slot_);
    const auto asked = place_.ask(*now_.target->replicas, now_.target->settings, clock::now(), now_.queued);
    if (!asked) {
        slot_ = std::move(left);
        co_return false;
    }
    left.release(now_.turned_away ? routing::outcome::busy : outcome_of(why));
    if (*asked) {
        slot_ = place_.take();
        co_return true;
    }
    const auto waited = co_await wait_for_slot();
    co_return waited.has_value();
}

// Of a request that was turned away and then reached nobody the client is told what it was told first: come back later.
template <class Stream>
failure exchange<Stream>::final_word(const failure& why) const {
    return now_.was_turned_away && !now_.sent ? refuse_for_now(fault::queue_full) : why;
}

template <class Stream>
typename exchange<Stream>::further_try exchange<Stream>::next_try(const failure& why) const {
    using telemetry::retry_reason;
    if (out_.empty()) return {};
    // The second at the same replica is not one of them: with a replica that had refused before, none would be left.
    if (now_.attempts >= most_tries + (now_.repeated == try_at::same_replica ? 1 : 0)) return {};
    if (now_.turned_away) return {try_at::another_replica, retry_reason::busy, true, true};
    if (why.kind == fault::connect_failed || why.kind == fault::connect_timeout)
        return {try_at::another_replica, retry_reason::unsent, false};
    const bool replied = now_.model_status != 0 || !reply_.empty();
    if (why.kind != fault::replica_closed || replied) return {};
    if (!now_.sent) return {now_.reused ? try_at::same_replica : try_at::another_replica, retry_reason::unsent, false};
    if (!now_.replayable || !now_.idempotent || now_.repeated == try_at::another_replica) return {};
    if (now_.repeated == try_at::same_replica && !now_.was_reset) return {};
    if (!now_.was_reset && !within_budget()) return {};
    if (now_.reused) return {try_at::same_replica, retry_reason::closed, true, !now_.was_reset};
    if (now_.was_reset) return {try_at::another_replica, retry_reason::closed, true, false};
    return {};
}

template <class Stream>
bool exchange<Stream>::within_budget() const {
    const auto& of = metrics();
    return now_.counts_as_retry || of.retrying.value() < std::max(least_budget, of.in_flight.value() / 5);
}

// Takes up the reply that was left where it stands.
template <class Stream>
result<bool> exchange<Stream>::keep_reply() {
    now_.turned_away = false;
    now_.replayable = false;
    if (trace_) last_model()->end = {}; // it goes on
    const auto found = find_reply();
    if (!found) return found.error();
    return false;
}

// Whether a reply with that status sends the request elsewhere. The request has to be at hand for it.
template <class Stream>
bool exchange<Stream>::turns_away(unsigned status) const {
    return (status == 429 || status == 503) && now_.replayable && now_.interim_replies == 0 &&
           now_.attempts < most_tries && within_budget();
}

// The bytes of the request: nobody will want them again.
template <class Stream>
void exchange<Stream>::drop_request() {
    out_.clear();
    if (collected_.size() == 0) return;
    out_.release();
    collected_.give_back();
}

} // namespace scoregate::proxy
