#include "base/gate.hpp"

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

#include <stdexcept>

using namespace scoregate::base;

namespace {

task<> wait_until(tick_timer& event) { co_await event.async_wait(awaited); }
task<> fail_loudly() {
    throw std::logic_error("an invariant");
    co_return;
}

} // namespace

TEST_CASE("a gate tells when the last one has left") {
    gate inside;
    int emptied = 0;
    inside.when_empty([&] { ++emptied; });
    CHECK(emptied == 1); // nobody was inside
    inside.enter();
    inside.enter();
    CHECK(inside.inside() == 2);
    inside.leave();
    CHECK(emptied == 1);
    inside.leave();
    CHECK(emptied == 2);
    CHECK(inside.inside() == 0);

    gate busy;
    busy.enter();
    int later = 0;
    busy.when_empty([&] { ++later; });
    CHECK(later == 0);
    busy.leave();
    CHECK(later == 1);
}

TEST_CASE("what is spawned is inside from the call to its end") {
    asio::io_context io{1};
    gate inside;
    tick_timer event(io.get_executor(), tick_timer::time_point::max());
    spawn(io.get_executor(), inside, wait_until(event));
    CHECK(inside.inside() == 1); // before it has run at all
    bool seen_inside = false, emptied = false;
    asio::post(io, [&] {
        seen_inside = inside.inside() == 1;
        inside.when_empty([&] { emptied = true; });
        event.cancel();
    });
    io.run();
    CHECK(seen_inside);
    CHECK(emptied);
    CHECK(inside.inside() == 0);
}

TEST_CASE("what escapes a coroutine comes out of the loop, after it has left the gate") {
    asio::io_context io{1};
    gate inside;
    spawn(io.get_executor(), inside, fail_loudly());
    CHECK_THROWS_AS(io.run(), std::logic_error);
    CHECK(inside.inside() == 0);
}
