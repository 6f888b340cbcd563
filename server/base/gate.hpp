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
#include <variant>

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

template <class Owner>
root_task run_inside(executor where, gate& inside, task<void> work, Owner owner) {
    std::exception_ptr escaped;
    try {
        // Gone, with all that the work was given, before the gate is left.
        [[maybe_unused]] const auto owned = std::move(owner);
        auto own = std::move(work);
        co_await std::move(own); // NOLINT(bugprone-use-after-move): clang-tidy 14 says so of `work`, which is not used
    } catch (...) {
        escaped = std::current_exception();
    }
    inside.leave();
    if (escaped) asio::post(where, [escaped] { std::rethrow_exception(escaped); });
}

} // namespace detail

// Runs `work` on `where`: at once if that is this thread's loop, until it first waits. The data plane does not throw;
// what escapes is a broken invariant and ends the process loudly. `owner` is what the work lives in: it goes after it.
template <class Owner = std::monostate>
void spawn(executor where, gate& inside, task<void> work, Owner owner = {}) {
    inside.enter();
    asio::dispatch(where, [run = detail::run_inside(where, inside, std::move(work), std::move(owner))]() mutable {
        std::move(run).begin();
    });
}

} // namespace scoregate::base
