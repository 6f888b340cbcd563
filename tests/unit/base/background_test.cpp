#include "base/background.hpp"

#include "base/gate.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace scoregate::base;

namespace {

struct seen {
    std::thread::id work, after;
    std::unique_ptr<int> value; // what is returned need not be copyable
    bool threw = false;
};

task<> ask(background& on, executor back, seen& out) {
    auto work = [&out] {
        out.work = std::this_thread::get_id();
        return std::make_unique<int>(7);
    };
    out.value = co_await on.run(back, std::move(work));
    out.after = std::this_thread::get_id();
}

task<> ask_for_trouble(background& on, executor back, seen& out) {
    auto work = []() -> int { throw std::runtime_error("trouble"); };
    try {
        static_cast<void>(co_await on.run(back, std::move(work)));
    } catch (const std::runtime_error&) {
        out.threw = true;
        out.after = std::this_thread::get_id();
    }
}

task<> note(background& on, executor back, std::vector<int>& order, int number) {
    auto work = [&order, number] {
        order.push_back(number);
        return true;
    };
    static_cast<void>(co_await on.run(back, std::move(work)));
}

} // namespace

TEST_CASE("work runs on another thread, the coroutine goes on in its own") {
    background thread;
    asio::io_context loop{1};
    gate inside;
    seen what, trouble;
    spawn(loop.get_executor(), inside, ask(thread, loop.get_executor(), what));
    spawn(loop.get_executor(), inside, ask_for_trouble(thread, loop.get_executor(), trouble));
    loop.run();
    CHECK(inside.inside() == 0);
    REQUIRE(what.value);
    CHECK(*what.value == 7);
    CHECK(what.work != std::this_thread::get_id());
    CHECK(what.after == std::this_thread::get_id());
    CHECK(trouble.threw);
    CHECK(trouble.after == std::this_thread::get_id());
}

TEST_CASE("pieces of work run one after another") {
    background thread;
    asio::io_context loop{1};
    gate inside;
    std::vector<int> order; // without a lock: the sanitizer would see two at once
    for (int i = 0; i < 20; ++i) spawn(loop.get_executor(), inside, note(thread, loop.get_executor(), order, i));
    loop.run();
    REQUIRE(order.size() == 20);
    for (int i = 0; i < 20; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}
