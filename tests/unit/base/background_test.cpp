#include "base/background.hpp"

#include "base/gate.hpp"

#include <catch2/catch.hpp>

#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace scoregate::base;
using namespace std::chrono_literals;

namespace {

constexpr auto patience = 60s; // that no test reaches

struct seen {
    std::thread::id work, after;
    std::optional<std::unique_ptr<int>> value; // what is returned need not be copyable
    bool threw = false;
};

task<> ask(background& on, executor back, background::lane& lane, seen& out) {
    auto work = [&out] {
        out.work = std::this_thread::get_id();
        return std::make_unique<int>(7);
    };
    out.value = co_await on.run(back, lane, patience, std::move(work));
    out.after = std::this_thread::get_id();
}

task<> ask_for_trouble(background& on, executor back, background::lane& lane, seen& out) {
    auto work = []() -> int { throw std::runtime_error("trouble"); };
    try {
        static_cast<void>(co_await on.run(back, lane, patience, std::move(work)));
    } catch (const std::runtime_error&) {
        out.threw = true;
        out.after = std::this_thread::get_id();
    }
}

task<> wait_for(background& on, executor back, background::lane& lane, std::chrono::milliseconds limit,
                std::shared_future<void> until, std::optional<bool>& came) {
    auto work = [until] {
        until.wait();
        return true;
    };
    const auto got = co_await on.run(back, lane, limit, std::move(work));
    came = got.has_value();
}

} // namespace

TEST_CASE("work runs on another thread, the coroutine goes on in its own") {
    asio::io_context loop{1};
    background threads;
    background::lane one, other;
    gate inside;
    seen what, trouble;
    spawn(loop.get_executor(), inside, ask(threads, loop.get_executor(), one, what));
    spawn(loop.get_executor(), inside, ask_for_trouble(threads, loop.get_executor(), other, trouble));
    loop.run();
    CHECK(inside.inside() == 0);
    REQUIRE(what.value);
    CHECK(**what.value == 7);
    CHECK(what.work != std::this_thread::get_id());
    CHECK(what.after == std::this_thread::get_id());
    CHECK(trouble.threw);
    CHECK(trouble.after == std::this_thread::get_id());
    CHECK_FALSE(one.busy());
    CHECK_FALSE(other.busy());
}

TEST_CASE("work that hangs is given up, keeps its own lane busy and holds up no other") {
    asio::io_context loop{1};
    background threads;
    background::lane hung, other;
    gate inside;
    std::promise<void> end, now;
    now.set_value();
    const std::shared_future<void> later = end.get_future(), at_once = now.get_future();
    std::optional<bool> first, second, elsewhere, afterwards;
    const auto start = [&](background::lane& lane, std::chrono::milliseconds limit, std::shared_future<void> until,
                           std::optional<bool>& came) {
        spawn(loop.get_executor(), inside, wait_for(threads, loop.get_executor(), lane, limit, until, came));
    };
    start(hung, 1ms, later, first);
    start(hung, patience, at_once, second); // would be another piece at once
    start(other, patience, at_once, elsewhere);
    loop.run();
    CHECK(first == false);
    CHECK(second == false);
    CHECK(elsewhere == true);
    CHECK(hung.busy());
    CHECK_FALSE(other.busy());

    end.set_value();
    loop.restart();
    auto guard = asio::make_work_guard(loop);
    while (hung.busy()) loop.run_one();
    start(hung, patience, at_once, afterwards);
    while (!afterwards) loop.run_one();
    CHECK(afterwards == true);
}
