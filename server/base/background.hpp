// A thread for what may block for long: files on a volume that hangs. Coroutines of a loop hand it work, one piece
// after another, and go on in their own thread. Owned by app::process; its destructor waits for the work under way.
#pragma once

#include "base/executor.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace scoregate::base {

class background {
public:
    // Runs `work()` on the thread and returns what it returned, on `back`'s thread; throws what it threw.
    template <class Work>
    task<std::invoke_result_t<Work&>> run(executor back, Work work) {
        using value = std::invoke_result_t<Work&>;
        std::optional<value> made;
        std::exception_ptr thrown;
        auto start = [&](auto resume) {
            auto piece = [&, back, resume = std::move(resume)]() mutable {
                try {
                    made.emplace(work());
                } catch (...) {
                    thrown = std::current_exception();
                }
                asio::post(back, std::move(resume));
            };
            asio::post(thread_, std::move(piece));
        };
        co_await asio::async_initiate<const asio::use_awaitable_t<executor>, void()>(std::move(start),
                                                                                     asio::use_awaitable_t<executor>{});
        if (thrown) std::rethrow_exception(thrown);
        co_return std::move(*made);
    }

private:
    asio::thread_pool thread_{1};
};

} // namespace scoregate::base
