#include "app/acme_schedule.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace scoregate::app;
using namespace std::chrono_literals;
using std::chrono::days;

TEST_CASE("a certificate is renewed a third of its lifetime before its end, at most 30 days") {
    const acme_time start{days{20000}};
    struct row {
        acme_time::duration lifetime;
        std::optional<days> before;
        acme_time::duration expected; // before the end
    };
    const std::vector<row> rows{
        {days{90}, std::nullopt, days{30}},
        {days{365}, std::nullopt, days{30}},
        {days{6}, std::nullopt, days{2}},
        {60s, std::nullopt, 20s},
        {days{90}, days{10}, days{10}},
        {days{90}, days{44}, days{44}},
        {days{90}, days{60}, days{45}}, // never before half of it
        {60s, days{1}, 30s},
    };
    for (const auto& each : rows) {
        const auto end = start + each.lifetime;
        CHECK(end - renewal_of(start, end, each.before) == each.expected);
    }
}

TEST_CASE("failures are waited out longer and longer, up to an hour and a quarter") {
    CHECK(pause_after(1, 0) == 1min);
    CHECK(pause_after(2, 0) == 2min);
    CHECK(pause_after(3, 0) == 4min);
    CHECK(pause_after(6, 0) == 32min);
    for (const unsigned many : {7U, 8U, 1000U, 4'000'000'000U}) CHECK(pause_after(many, 0) == 1h);
    CHECK(pause_after(1, 1) == 75s);
    CHECK(pause_after(1000, 1) == 75min);
}
