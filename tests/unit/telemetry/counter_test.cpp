#include "telemetry/counter.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>

using namespace scoregate::telemetry;
using namespace std::chrono_literals;

TEST_CASE("a counter counts, a gauge goes both ways") {
    counter requests;
    requests.add();
    requests.add(41);
    CHECK(requests.value() == 42);

    gauge open;
    open.add(3);
    open.sub();
    CHECK(open.value() == 2);
    open.sub(5);
    CHECK(open.value() == -3);
}

TEST_CASE("bounds ascend from 1 ms to 300 s and from 10 us to 1 s") {
    for (const auto& bounds : {request_bounds, overhead_bounds})
        CHECK(std::is_sorted(bounds.begin(), bounds.end(), std::less_equal<>{}));
    CHECK(request_bounds.front() == 1ms);
    CHECK(request_bounds.back() == 300s);
    CHECK(overhead_bounds.front() == 10us);
    CHECK(overhead_bounds.back() == 1s);
}

TEST_CASE("a duration on a bound belongs to that bucket, one nanosecond more to the next") {
    for (std::size_t i = 0; i < request_bounds.size(); ++i) {
        histogram seen;
        seen.observe(request_bounds[i]);
        seen.observe(request_bounds[i] + 1ns);
        histogram::reading read;
        seen.add_to(read);
        CAPTURE(i);
        for (std::size_t bucket = 0; bucket < read.counts.size(); ++bucket)
            CHECK(read.counts[bucket] == (bucket == i || bucket == i + 1 ? 1u : 0u));
        CHECK(read.sum == 2 * request_bounds[i] + 1ns);
    }
}

TEST_CASE("a histogram takes zero, negative and endless durations") {
    histogram seen;
    seen.observe(0ns);
    seen.observe(-5ms);
    seen.observe(1000h);
    histogram::reading read;
    seen.add_to(read);
    CHECK(read.counts.front() == 2);
    CHECK(read.counts.back() == 1);
    CHECK(read.sum == 1000h);
}

TEST_CASE("readings of several cores add up") {
    histogram one{overhead_bounds}, two{overhead_bounds};
    one.observe(10us);
    two.observe(10us);
    two.observe(15us);
    histogram::reading read;
    one.add_to(read);
    two.add_to(read);
    CHECK(read.counts[0] == 2);
    CHECK(read.counts[1] == 1);
    CHECK(read.sum == 35us);
}
