#include "proxy/pace.hpp"

#include <catch2/catch.hpp>

using namespace scoregate::proxy;
using namespace std::chrono_literals;

TEST_CASE("a rate is judged once it has been waited for 10 s, in however many waits") {
    pace one;
    one.add(0, 9999ms);
    CHECK_FALSE(one.too_slow(1000));
    one.add(9999, 1ms);
    CHECK(one.too_slow(1000));

    pace other;
    for (int i = 0; i < 10; ++i) {
        CHECK_FALSE(other.too_slow(1000));
        other.add(1000, 1s);
    }
    CHECK_FALSE(other.too_slow(1000)); // it is what it has to be
}

TEST_CASE("each window stands for itself, a longer one by its length") {
    pace one;
    one.add(1'000'000, 10s);
    CHECK_FALSE(one.too_slow(1000));
    one.add(9999, 10s);
    CHECK(one.too_slow(1000));
    one.add(24'999, 25s);
    CHECK(one.too_slow(1000));
    one.add(25'000, 25s);
    CHECK_FALSE(one.too_slow(1000));
}

TEST_CASE("what has moved beyond the rate counts later, as far as it may") {
    pace one(30'000, 0);
    one.add(1'000'000, 10s);
    CHECK_FALSE(one.too_slow(1000));
    for (int i = 0; i < 3; ++i) {
        one.add(0, 10s);
        CHECK_FALSE(one.too_slow(1000));
    }
    one.add(9999, 10s);
    CHECK(one.too_slow(1000));
    one.add(0, 10s);
    CHECK(one.too_slow(1000)); // what was too little is not owed on
}

TEST_CASE("no rate is never too slow, the highest not too large to be compared") {
    pace one;
    one.add(0, 24h);
    CHECK_FALSE(one.too_slow(0));
    one.add((std::uint64_t{1} << 30) * 86400, 24h);
    CHECK_FALSE(one.too_slow(1U << 30));
}

TEST_CASE("what is left of a window is never too short to end it") {
    pace one;
    CHECK(one.left() == 10s);
    one.add(0, 1ns);
    CHECK(one.left() == 10s);
    one.add(0, 4s);
    CHECK(one.left() == 6s);
    one.add(0, 1h);
    CHECK(one.left() == 0s);
    CHECK(one.too_slow(1));
    CHECK(one.left() == 10s);
}

TEST_CASE("it may begin ahead of its rate") {
    pace one(30'000, 15'000);
    one.add(0, pace::window);
    CHECK_FALSE(one.too_slow(1000));
    one.add(0, pace::window);
    CHECK(one.too_slow(1000)); // 5,000 of 10,000 were left
}
