// Counts the coroutines of one core, so that a stop can wait for all of them. spawn() is the only start of a
// coroutine in the project: what it starts has entered a gate and leaves it when it ends. One thread.
#pragma once

#include "base/executor.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <utility>

namespace scoregate::base {

class gate {
public:
    gate() = default;
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;

    std::size_t inside() const { return inside_; }
    void enter() { ++inside_; }
    void leave() {
        if (--inside_ == 0 && on_empty_) on_empty_();
    }
    // `call` runs each time the last one leaves, and at once if nobody is inside.
    void when_empty(std::function<void()> call) {
        on_empty_ = std::move(call);
        if (inside_ == 0) on_empty_();
    }

private:
    std::size_t inside_ = 0;
    std::function<void()> on_empty_;
};

namespace detail {

inline root_task run_inside(executor where, gate& inside, task<void> work) {
    std::exception_ptr escaped;
    try {
        auto own = std::move(work); // gone, with all it was given, before the gate is left
        co_await std::move(own);
    } catch (...) {
        escaped = std::current_exception();
    }
    inside.leave();
    if (escaped) asio::post(where, [escaped] { std::rethrow_exception(escaped); });
}

} // namespace detail

// Runs `work` on `where`: at once if that is this thread's loop, until it first waits. The data plane does not throw;
// what escapes is a broken invariant and ends the process loudly.
inline void spawn(executor where, gate& inside, task<void> work) {
    inside.enter();
    asio::dispatch(where,
                   [run = detail::run_inside(where, inside, std::move(work))]() mutable { std::move(run).begin(); });
}

} // namespace scoregate::base
