#include "base/gate.hpp"
#include "support/counted.hpp"

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace scoregate::base;
using scoregate::tests::counted;

namespace {

task<int> at_once(int value) { co_return value; }
task<std::unique_ptr<int>> movable() { co_return std::make_unique<int>(7); }
task<int> after(tick_timer& event, int value) {
    co_await event.async_wait(awaited);
    co_return value;
}
task<int> failing(tick_timer* event) {
    if (event != nullptr) co_await event->async_wait(awaited);
    throw std::runtime_error("no");
}
task<> sum(std::size_t count, std::size_t& total) {
    for (std::size_t i = 0; i < count; ++i) total += static_cast<std::size_t>(co_await at_once(1));
}
task<int> nested(tick_timer& event, int depth) {
    if (depth == 0) co_return co_await after(event, 0);
    const int deeper = co_await nested(event, depth - 1);
    co_return deeper + 1;
}

task<> holding(tick_timer& event, int& locals, int depth) {
    const counted one(locals);
    if (depth == 0)
        co_await event.async_wait(awaited);
    else
        co_await holding(event, locals, depth - 1);
}

struct loop {
    asio::io_context io{1};
    gate inside;
    tick_timer event{io.get_executor(), tick_timer::time_point::max()};

    void begin(task<> work) { spawn(io.get_executor(), inside, std::move(work)); }
};

} // namespace

TEST_CASE("a task gives what it returns, whether or not it had to wait") {
    loop at;
    std::vector<int> seen;
    const auto work = [](loop& on, std::vector<int>& to) -> task<> {
        to.push_back(co_await at_once(1));
        to.push_back(co_await after(on.event, 2));
        to.push_back(*co_await movable());
        to.push_back(co_await nested(on.event, 5));
    };
    at.begin(work(at, seen));
    while (at.inside.inside() != 0) {
        at.io.restart();
        at.io.poll();
        at.event.cancel();
    }
    CHECK(seen == std::vector<int>{1, 2, 7, 5});
}

TEST_CASE("what a task throws comes to who awaits it") {
    loop at;
    std::vector<std::string> seen;
    const auto work = [](loop& on, std::vector<std::string>& to) -> task<> {
        for (tick_timer* const event : {static_cast<tick_timer*>(nullptr), &on.event}) try {
                co_await failing(event);
            } catch (const std::runtime_error& error) {
                to.emplace_back(error.what());
            }
    };
    at.begin(work(at, seen));
    at.io.poll();
    CHECK(seen.size() == 1);
    at.event.cancel();
    at.io.restart();
    at.io.run();
    CHECK(seen == std::vector<std::string>{"no", "no"});
}

TEST_CASE("children that need not wait do not use the stack up") {
    loop at;
    std::size_t total = 0;
    constexpr std::size_t many = 1'000'000; // 8 MiB are less than nine bytes for each
    at.begin(sum(many, total));
    at.io.run();
    CHECK(total == many);
}

TEST_CASE("a task that nobody awaits has done nothing and leaves nothing") {
    loop at;
    int locals = 0;
    { const auto unused = holding(at.event, locals, 0); }
    CHECK(locals == 0);
    CHECK(at.io.poll() == 0);
}

TEST_CASE("a loop that is destroyed takes the coroutines with it that wait for it") {
    int locals = 0;
    {
        loop at;
        at.begin(holding(at.event, locals, 3));
        at.io.poll();
        CHECK(locals == 4);
    }
    CHECK(locals == 0);
}

TEST_CASE("so it does with those that have not begun") {
    int locals = 0;
    {
        loop at;
        std::thread([&] { at.begin(holding(at.event, locals, 3)); }).join(); // another thread: it has to wait its turn
        CHECK(at.inside.inside() == 1);
    }
    CHECK(locals == 0);
}

TEST_CASE("an operation is given copies: what it was begun with may be gone") {
    loop at;
    int seen = 0;
    const auto begin = [](loop& on) { return asio::post(on.io.get_executor(), awaited); };
    const auto work = [begin](loop& on, int& to) -> task<> {
        auto posted = begin(on);
        ++to;
        co_await posted;
        ++to;
    };
    at.begin(work(at, seen));
    at.io.run();
    CHECK(seen == 2);
}

TEST_CASE("frames of one size are used again, each by one at a time") {
    constexpr std::size_t size = 321;
    std::vector<void*> first, second;
    for (int i = 0; i < 8; ++i) first.push_back(frame_memory::take(size));
    for (auto* const each : first) frame_memory::give_back(each, size);
    for (int i = 0; i < 8; ++i) second.push_back(frame_memory::take(size));
    auto distinct = second;
    std::sort(distinct.begin(), distinct.end());
    CHECK(std::unique(distinct.begin(), distinct.end()) == distinct.end());
    for (auto* const each : second) frame_memory::give_back(each, size);
}

TEST_CASE("a frame may end in another thread, and may be larger than what is kept") {
    for (const auto size : {std::size_t{1}, std::size_t{64}, frame_memory::largest, frame_memory::largest + 1}) {
        auto* const block = static_cast<char*>(frame_memory::take(size));
        std::fill_n(block, size, 'x');
        std::thread([=] { frame_memory::give_back(block, size); }).join();
    }
    std::vector<void*> many;
    for (std::size_t i = 0; i < 3 * frame_memory::most_kept / 1000; ++i) many.push_back(frame_memory::take(1000));
    for (auto* const each : many) frame_memory::give_back(each, 1000);
    CHECK(many.size() > 300);
}
