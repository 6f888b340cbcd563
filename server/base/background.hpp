// Threads for what may block for long, or for ever: files on a volume that hangs. Coroutines of a loop hand them work
// and go on in their own thread when it is done, or when they have waited long enough. Work of one lane is done one
// piece after another; other lanes need not wait for it. Destroyed before what the work touches, and before the loop:
// the destructor waits for work under way.
#pragma once

#include "base/executor.hpp"
#include "base/give_way.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace scoregate::base {

class background {
public:
    // Whoever's work is to come one piece after another; one thread, the loop's.
    class lane {
    public:
        // A piece has been begun and has not come back, whether or not somebody still waits for it.
        bool busy() const { return *busy_; }

    private:
        friend class background;
        std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
    };

    // So many pieces may hang before work that does not has to wait.
    static constexpr std::size_t threads = 8;

    // Runs `work()` on one of the threads and returns what it returned, on `back`'s thread; throws what it threw.
    // Nothing if that took longer than `limit`, or if the lane is busy: what the work returns later is dropped.
    template <class Work>
    task<std::optional<std::invoke_result_t<Work&>>> run(executor back, lane& on, std::chrono::milliseconds limit,
                                                         Work work) {
        if (on.busy()) co_return std::nullopt;
        *on.busy_ = true;
        auto made = std::make_shared<outcome<std::invoke_result_t<Work&>>>(back, limit);
        asio::post(pool_, [made, back, busy = on.busy_, work = std::move(work)]() mutable {
            lower_priority(); // requests go first
            try {
                made->value.emplace(work());
            } catch (...) {
                made->thrown = std::current_exception();
            }
            asio::post(back, [made, busy] {
                *busy = false;
                made->finished = true;
                made->limit.cancel();
            });
        });
        co_await made->limit.async_wait(awaited);
        if (!made->finished) co_return std::nullopt;
        if (made->thrown) std::rethrow_exception(made->thrown);
        co_return std::move(made->value);
    }

private:
    template <class T>
    struct outcome {
        outcome(executor back, std::chrono::milliseconds longest) : limit(back, longest) {}
        tick_timer limit;
        std::optional<T> value; // written by the thread, read after `finished`
        std::exception_ptr thrown;
        bool finished = false; // the loop's
    };

    asio::thread_pool pool_{threads};
};

} // namespace scoregate::base
