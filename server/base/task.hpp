// The coroutine that everything which waits is made of. A task begins when it is awaited, belongs to whoever awaits it,
// and goes on in the thread of the loop that completes what it waits for; one thread.
//
//     task<result<bool>> read_head() { ... co_await stream.async_read_some(room, awaited); ... }
//
// Why not asio::awaitable: it makes a coroutine of each single operation and keeps its frames in a list that is looked
// through (docs/decisions/0015-own-task.md).
//
// Invariants: whoever holds a suspended coroutine resumes it once, or destroys the one at the root of it, which holds
// all those that it awaits. A child that ends without having waited lets its parent go on where it stands, so that the
// stack does not grow with the number of such children, whatever the compiler makes of symmetric transfer.
#pragma once

#include "base/frame_memory.hpp"

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace scoregate::base {

template <class T>
class task;

namespace detail {

struct promise_base {
    std::coroutine_handle<> parent; // goes on when this has ended
    std::coroutine_handle<> root;   // what spawn() made
    bool within_parent = false;     // runs inside the parent's await, which looks whether it has ended
    std::exception_ptr thrown;

    static void* operator new(std::size_t size) { return frame_memory::take(size); }
    static void operator delete(void* frame, std::size_t size) noexcept { frame_memory::give_back(frame, size); }

    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
        struct go_on {
            promise_base& ended;
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<>) const noexcept {
                return ended.within_parent ? std::noop_coroutine() : ended.parent;
            }
            void await_resume() const noexcept {}
        };
        return go_on{*this};
    }
    void unhandled_exception() noexcept { thrown = std::current_exception(); }
};

template <class T>
struct promise : promise_base {
    std::optional<T> value;

    task<T> get_return_object() noexcept;
    template <class From = T>
    void return_value(From&& from) {
        value.emplace(std::forward<From>(from));
    }
    T take() {
        if (thrown) std::rethrow_exception(thrown);
        return std::move(*value);
    }
};

template <>
struct promise<void> : promise_base {
    task<void> get_return_object() noexcept;
    void return_void() noexcept {}
    void take() {
        if (thrown) std::rethrow_exception(thrown);
    }
};

// What awaiting a task is.
template <class T>
struct child {
    std::coroutine_handle<promise<T>> frame;

    bool await_ready() const noexcept { return false; }
    template <class Parent>
    bool await_suspend(std::coroutine_handle<Parent> parent) const {
        auto& its = frame.promise();
        its.parent = parent;
        its.root = parent.promise().root;
        its.within_parent = true;
        frame.resume();
        if (frame.done()) return false;
        its.within_parent = false;
        return true;
    }
    T await_resume() const { return frame.promise().take(); }
};

} // namespace detail

template <class T = void>
class [[nodiscard]] task {
public:
    using promise_type = detail::promise<T>;

    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
    task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    task& operator=(task&& other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~task() {
        if (frame_) frame_.destroy();
    }

    // Runs it; what it returns, or throws, comes back to who awaits.
    detail::child<T> operator co_await() && noexcept { return {frame_}; }

private:
    std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T>
task<T> promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}
inline task<void> promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

} // namespace detail

// A coroutine that nobody awaits: the root of those that it awaits. It does not begin by itself; begun, it goes when it
// has ended. It must not throw.
class root_task {
public:
    struct promise_type {
        std::coroutine_handle<> root = std::coroutine_handle<promise_type>::from_promise(*this);

        static void* operator new(std::size_t size) { return frame_memory::take(size); }
        static void operator delete(void* frame, std::size_t size) noexcept { frame_memory::give_back(frame, size); }

        root_task get_return_object() noexcept { return root_task(root); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };

    root_task(root_task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    root_task& operator=(root_task&&) = delete;
    ~root_task() {
        if (frame_) frame_.destroy();
    }
    void begin() && { std::exchange(frame_, nullptr).resume(); }

private:
    explicit root_task(std::coroutine_handle<> frame) noexcept : frame_(frame) {}
    std::coroutine_handle<> frame_;
};

} // namespace scoregate::base
