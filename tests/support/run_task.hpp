// Tasks in a test's own loop.
#pragma once

#include "base/gate.hpp"

#include <optional>
#include <utility>

namespace scoregate::tests {

namespace detail {

inline base::task<> run_and_tell(base::task<> work, bool& ended) {
    co_await std::move(work);
    ended = true;
}
template <class T>
base::task<> run_and_keep(base::task<T> work, std::optional<T>& result) {
    result = co_await std::move(work);
}

} // namespace detail

// Begins `work` on `io`; `ended` is true once it has returned. What it throws comes out of the loop.
inline void start(base::asio::io_context& io, base::task<> work, bool& ended) {
    static base::gate inside;
    base::spawn(io.get_executor(), inside, detail::run_and_tell(std::move(work), ended));
}
template <class T>
void start(base::asio::io_context& io, base::task<T> work, std::optional<T>& result) {
    static base::gate inside;
    base::spawn(io.get_executor(), inside, detail::run_and_keep(std::move(work), result));
}

} // namespace scoregate::tests
