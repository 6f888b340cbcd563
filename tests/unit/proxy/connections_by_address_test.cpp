#include "proxy/connections_by_address.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

using scoregate::proxy::connections_by_address;

TEST_CASE("an address has so many connections and no more, whatever others have") {
    connections_by_address counted;
    auto first = counted.enter(7, 2), second = counted.enter(7, 2);
    CHECK(first);
    CHECK(second);
    CHECK_FALSE(counted.enter(7, 2));
    CHECK(counted.enter(8, 2));
    CHECK(counted.of(7) == 2);
    CHECK(counted.of(8) == 0); // its place was given back at once
    first = {};
    CHECK(counted.of(7) == 1);
    first = counted.enter(7, 2);
    CHECK(first);
    CHECK_FALSE(counted.enter(7, 2));
    CHECK_FALSE(counted.enter(7, 1)); // the limit was lowered
    auto third = counted.enter(7, 3);
    CHECK(third);
    CHECK_FALSE(counted.enter(9, 0));
    CHECK(counted.of(9) == 0);
}

TEST_CASE("a place that has moved is given back once") {
    connections_by_address counted;
    {
        auto one = counted.enter(7, 9);
        auto moved = std::move(one);
        CHECK(counted.of(7) == 1);
        auto other = counted.enter(8, 9);
        moved = std::move(other);
        CHECK(counted.of(7) == 0);
        CHECK(counted.of(8) == 1);
    }
    CHECK(counted.of(8) == 0);
}

TEST_CASE("cores count together") {
    connections_by_address counted;
    std::atomic<std::uint32_t> most_seen{0};
    std::atomic<std::uint64_t> let_in{0};
    std::vector<std::thread> cores;
    for (int core = 0; core < 4; ++core)
        cores.emplace_back([&] {
            for (std::uint64_t i = 0; i < 20'000; ++i) {
                const auto place = counted.enter(i % 3, 2);
                if (!place) continue;
                ++let_in;
                for (auto open = counted.of(i % 3), seen = most_seen.load();
                     seen < open && !most_seen.compare_exchange_weak(seen, open);) {
                }
            }
        });
    for (auto& each : cores) each.join();
    CHECK(most_seen <= 2);
    CHECK(let_in > 0);
    for (std::uint64_t who = 0; who < 3; ++who) CHECK(counted.of(who) == 0);
}
