#include "telemetry/sampler.hpp"

#include <catch2/catch.hpp>

#include <array>

using scoregate::telemetry::sampler;

TEST_CASE("one in one is all") {
    sampler all(1, 7);
    for (int i = 0; i < 100; ++i) CHECK(all.keep());
}

TEST_CASE("of each group exactly one is kept, at any place of it") {
    constexpr std::uint32_t one_in = 10, groups = 10000;
    sampler some(one_in, 20260201);
    std::array<int, one_in> kept_at{};
    for (std::uint32_t group = 0; group < groups; ++group) {
        int kept = 0;
        for (auto& place : kept_at)
            if (some.keep()) {
                ++kept;
                ++place;
            }
        if (kept != 1) FAIL(kept);
    }
    for (const int count : kept_at) { // 1000 each, with a standard deviation of 30
        CHECK(count > 850);
        CHECK(count < 1150);
    }
}

TEST_CASE("what comes in turns is kept by its share") {
    sampler some(2, 1); // every second one would be that of one service alone
    std::array<int, 2> kept{};
    for (int i = 0; i < 20000; ++i) kept[static_cast<std::size_t>(i % 2)] += some.keep();
    CHECK(kept[0] + kept[1] == 10000);
    CHECK(kept[0] > 4750);
    CHECK(kept[0] < 5250);
}

TEST_CASE("cores with other seeds keep others") {
    sampler one(1000, 1), other(1000, 2);
    int both = 0;
    for (int i = 0; i < 100000; ++i) {
        const bool first = one.keep(), second = other.keep();
        both += first && second;
    }
    CHECK(both < 10);
}
