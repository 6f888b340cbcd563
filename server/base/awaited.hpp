// The completion token of every wait: co_await gives a tuple of what the operation completes with, its error_code
// first; nothing throws. It makes no coroutine of its own: what comes is put where the awaiting one finds it.
#pragma once

#include "base/frame_memory.hpp"
#include "base/task.hpp"

#include <boost/asio/async_result.hpp>

#include <coroutine>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace scoregate::base {

struct awaited_t {};
inline constexpr awaited_t awaited{};

namespace detail {

// Whose coroutine waits, where, and what it is to find.
template <class... Results>
struct waiting {
    std::coroutine_handle<> coroutine, root;
    std::optional<std::tuple<Results...>> found;
};

// The handler of one operation. One that is dropped, because its loop is destroyed, takes the coroutines with it that
// will never go on: as many as the root of them holds.
template <class... Results>
class completion {
public:
    using allocator_type = frame_allocator<void>;
    allocator_type get_allocator() const noexcept { return {}; }

    explicit completion(waiting<Results...>& whose) noexcept : whose_(&whose) {}
    completion(completion&& other) noexcept : whose_(std::exchange(other.whose_, nullptr)) {}
    completion& operator=(completion&&) = delete;
    ~completion() {
        if (whose_ != nullptr) whose_->root.destroy();
    }

    template <class... Given>
    void operator()(Given&&... given) {
        auto& whose = *std::exchange(whose_, nullptr);
        whose.found.emplace(std::forward<Given>(given)...);
        whose.coroutine.resume();
    }

private:
    waiting<Results...>* whose_;
};

// An operation that begins when it is awaited. Its arguments are copies: what a function gave it may be gone by then.
template <class Initiation, class Arguments, class... Results>
class operation {
public:
    template <class... Given>
    explicit operation(Initiation&& initiation, Given&&... given)
        : initiation_(std::move(initiation)), arguments_(std::forward<Given>(given)...) {}

    bool await_ready() const noexcept { return false; }
    // What an initiation throws finds nobody who could go on: it ends the process, as memory that is not there does.
    template <class Promise> // NOLINTNEXTLINE(bugprone-exception-escape): as said
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        waiting_.coroutine = coroutine;
        waiting_.root = coroutine.promise().root;
        std::apply(
            [this](auto&... each) { std::move(initiation_)(completion<Results...>(waiting_), std::move(each)...); },
            arguments_);
    }
    std::tuple<Results...> await_resume() { return std::move(*waiting_.found); }

private:
    Initiation initiation_;
    Arguments arguments_;
    waiting<Results...> waiting_;
};

} // namespace detail

} // namespace scoregate::base

template <class... Results>
class boost::asio::async_result<scoregate::base::awaited_t, void(Results...)> {
public:
    template <class Initiation, class... Given>
    static auto initiate(Initiation initiation, scoregate::base::awaited_t, Given&&... given) {
        return scoregate::base::detail::operation<Initiation, std::tuple<std::decay_t<Given>...>,
                                                  std::decay_t<Results>...>(std::move(initiation),
                                                                            std::forward<Given>(given)...);
    }
};
