// A place in a deployment's queue, as a coroutine of one core sees it: asked for, waited at, given up. Owned by whoever
// wants the slot and stays where it is; that core's thread. Used again for each request.
//
// Invariant: whoever leaves the queue has awaited the wake of a grant that came in between.
#pragma once

#include "base/deadline_wheel.hpp"
#include "base/executor.hpp"
#include "base/poller.hpp"
#include "config/model.hpp"
#include "routing/deployment.hpp"

#include <chrono>
#include <optional>

namespace scoregate::proxy {

class core;

class queue_place final : public routing::waiter {
public:
    explicit queue_place(core& where);
    ~queue_place(); // leaves the queue: the loop has ended under the coroutine

    // True if there is nothing to wait for: take() has it. False: it is in the queue, and wait() must follow. `waited`
    // is the part of max_queue_wait that is over already.
    base::result<bool> ask(routing::deployment& at, const config::request_settings&,
                           std::chrono::steady_clock::time_point now, std::chrono::nanoseconds waited = {});
    // Until a slot is granted, max_queue_wait is over, or `pointless(who)`, which is asked when there is news. True:
    // take() has a slot.
    base::task<bool> wait(bool (*pointless)(const void* who), const void* who);
    // There is news for wait(), if it waits. Any number of times; a deadline may call it.
    void tell();
    routing::slot take() { return std::move(slot_); }

private:
    // Any thread. Posting may want for memory: then the process ends, because a wake must not be lost.
    static void woken(routing::waiter&) noexcept; // NOLINT(bugprone-exception-escape)

    core& core_;
    base::deadline limit_;
    std::optional<base::event> news_;     // exists while it waits
    routing::deployment* in_ = nullptr;   // the queue of; null: none
    std::chrono::milliseconds longest_{}; // to wait
    routing::slot slot_;
    bool granted_ = false;
};

} // namespace scoregate::proxy
