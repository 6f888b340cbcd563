#include "routing/rate_limiter.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

using namespace scoregate::routing;
using namespace std::chrono_literals;

namespace {

using time_point = rate_limiter::time_point;
const time_point start{100h};
constexpr std::uint64_t key = 1, other_key = 2;
std::uint64_t identity_of(std::string_view text) { return identity_of_address(*scoregate::base::parse_ip(text)); }

const auto address = identity_of("192.0.2.1"), other_address = identity_of("192.0.2.2");

// How many of `tries` at one moment are let in.
int let_in(rate_limiter& limiter, std::uint64_t who, time_point now, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += limiter.admit(who, now).count() == 0 ? 1 : 0;
    return count;
}

} // namespace

TEST_CASE("a burst at once, then the pace, and never more than both over any time") {
    const auto who = GENERATE(key, address);
    rate_limiter limiter({50, 100});
    CHECK(let_in(limiter, who, start, 300) == 100);
    CHECK(limiter.admit(who, start) == 20ms);
    CHECK(let_in(limiter, who, start + 19ms, 9) == 0);
    CHECK(let_in(limiter, who, start + 20ms, 9) == 1);
    CHECK(let_in(limiter, who, start + 1s, 300) == 49);
    CHECK(let_in(limiter, who, start + 1h, 300) == 100); // no more is saved up than one burst

    int count = 0; // asked for at twenty times the pace
    for (int ms = 0; ms < 60000; ++ms) count += let_in(limiter, who, start + 2h + ms * 1ms, 1);
    CHECK(count == 100 + 60 * 50 - 1);
}

TEST_CASE("the wait that is told is the wait that is needed, to the nanosecond") {
    const auto who = GENERATE(key, address);
    struct row {
        request_rate rate;
        std::chrono::nanoseconds pace;
    };
    const auto one = GENERATE(values<row>({
        {{1, 1}, 1s},
        {{3, 1}, 333333334ns}, // rounded up: never faster than asked for
        {{0.001, 1}, 1000s},
        {{0.5, 3}, 2s},
        {{1e6, 1000}, 1us},
    }));
    CAPTURE(one.rate.per_second);
    rate_limiter limiter(one.rate);
    CHECK(let_in(limiter, who, start, 2000) == static_cast<int>(one.rate.burst));
    auto now = start;
    for (int i = 0; i < 5; ++i) {
        CHECK(limiter.admit(who, now) == one.pace);
        CHECK(limiter.admit(who, now + one.pace - 1ns) == 1ns);
        now += one.pace;
        CHECK(limiter.admit(who, now) == 0ns);
    }
}

TEST_CASE("a refused request costs nothing") {
    rate_limiter limiter({1, 2});
    CHECK(let_in(limiter, key, start, 2) == 2);
    for (int i = 0; i < 1000; ++i) CHECK(limiter.admit(key, start + i * 1ms) == 1s - i * 1ms);
    CHECK(limiter.admit(key, start + 1s) == 0ns);
}

TEST_CASE("callers are apart") {
    rate_limiter limiter({1, 3});
    for (const auto who : {key, other_key, address, other_address, identity_of("2001:db8::1")}) {
        CAPTURE(who);
        CHECK(let_in(limiter, who, start, 9) == 3);
    }
    CHECK(limiter.callers() == 3); // keys are not in the table
}

TEST_CASE("a clock that steps back between cores lets in no more") {
    rate_limiter limiter({1000, 10});
    int count = 0;
    for (int i = 0; i < 10000; ++i) count += let_in(limiter, key, start + (i % 2 == 0 ? 1ms : 0ms) * (i + 1), 1);
    CHECK(count <= 10 + 10000);
    rate_limiter still({1, 5});
    CHECK(let_in(still, key, start, 9) == 5);
    CHECK(let_in(still, key, start - 10s, 9) == 0);
    CHECK(let_in(still, key, start, 9) == 0);
    CHECK(let_in(still, key, start + 1s, 9) == 1);
}

TEST_CASE("addresses: of IPv6 the /64 counts, and none is taken for another") {
    CHECK(identity_of("2001:db8:1:2::1") == identity_of("2001:db8:1:2:ffff::9"));
    CHECK(identity_of("2001:db8:1:2::1") != identity_of("2001:db8:1:3::1"));
    CHECK(identity_of("fe80::1") == identity_of("fe80::2"));
    CHECK(identity_of("::ffff:192.0.2.1") == address);
    CHECK(address != other_address);
    for (const auto* text : {"0.0.0.0", "127.0.0.1", "255.255.255.255", "2001:db8::1", "fe80::1"}) {
        CAPTURE(text);
        CHECK(identity_of(text) >= rate_limiter::own_places);
    }
}

TEST_CASE("other numbers: what was used of the old burst is used of the new one") {
    const auto who = GENERATE(key, address);
    struct row {
        request_rate before, after;
        int used, left; // of the new burst, at once
        std::chrono::nanoseconds then;
    };
    const auto one = GENERATE(values<row>({
        {{10, 10}, {10, 10}, 4, 6, 100ms},
        {{10, 10}, {10, 20}, 10, 10, 100ms},
        {{0.001, 100}, {100, 100}, 100, 0, 10ms}, // out of a debt of a day at once
        {{100, 200}, {1, 10}, 200, 0, 1s},
        {{100, 200}, {1, 10}, 7, 3, 1s},
        {{100, 200}, {1, 10}, 0, 10, 1s},
    }));
    CAPTURE(one.after.per_second, one.used);
    rate_limiter before(one.before);
    CHECK(let_in(before, who, start, one.used) == one.used);
    rate_limiter after(one.after, before, start);
    CHECK(let_in(after, other_key, start, 500) == static_cast<int>(one.after.burst));
    CHECK(let_in(after, who, start, 500) == one.left);
    CHECK(after.admit(who, start) == one.then);
}

TEST_CASE("memory is bounded, and who is over his limit stays known whoever else comes") {
    rate_limiter limiter({1, 10});
    std::vector<std::uint64_t> greedy;
    for (std::uint64_t i = 0; i < 100; ++i) greedy.push_back(identity_of("198.51.100." + std::to_string(i)));
    for (const auto who : greedy) CHECK(let_in(limiter, who, start, 99) == 10);
    for (std::uint64_t i = 0; i < 4 * rate_limiter::most_callers; ++i)
        if (limiter.admit((0x2001ULL << 48) + i, start).count() != 0) FAIL("a newcomer was refused");
    CHECK(limiter.callers() <= rate_limiter::most_callers);
    CHECK(limiter.callers() > rate_limiter::most_callers * 9 / 10);
    for (const auto who : greedy) CHECK(let_in(limiter, who, start, 9) == 0);

    // A second later the newcomers have their whole allowance and need no entry.
    for (std::uint64_t i = 0; i < 1000; ++i) limiter.admit((0x2002ULL << 48) + i, start + 1s);
    for (const auto who : greedy) CHECK(let_in(limiter, who, start + 1s, 9) == 1);
    rate_limiter copy({1, 20}, limiter, start + 1s);
    CHECK(copy.callers() == 1100);
    for (const auto who : greedy) CHECK(let_in(copy, who, start + 1s, 99) == 10);
}

TEST_CASE("the table never loses or doubles anyone: random callers against a limit each") {
    std::mt19937_64 random(4711);
    rate_limiter limiter({0.001, 3});
    std::vector<std::uint64_t> callers(20000);
    for (std::size_t i = 0; i < callers.size(); ++i) callers[i] = (i + 5) << (i % 3 * 16);
    std::sort(callers.begin(), callers.end());
    callers.erase(std::unique(callers.begin(), callers.end()), callers.end());
    std::vector<int> counts(callers.size());
    for (int i = 0; i < 200000; ++i) {
        const auto which = random() % callers.size();
        counts[which] += let_in(limiter, callers[which], start, 1);
    }
    for (std::size_t i = 0; i < callers.size(); ++i) counts[i] += let_in(limiter, callers[i], start, 3);
    CHECK(std::all_of(counts.begin(), counts.end(), [](int count) { return count == 3; }));
}

TEST_CASE("threads that hammer one bucket get exactly its burst and its pace") {
    const auto who = GENERATE(key, address);
    rate_limiter limiter({1000, 500});
    std::atomic<std::int64_t> clock{0}, count{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&] {
            std::int64_t mine = 0;
            for (int n = 0; n < 50000; ++n) // each step of the clock is 10 us, 4 s in all
                if (limiter.admit(who, start + clock.fetch_add(1) * 10us).count() == 0) ++mine;
            count += mine;
        });
    for (auto& each : threads) each.join();
    CHECK(count <= 500 + 4000);
    CHECK(count >= 500 + 4000 - 8); // a thread that was held up between its clock and its request may lose one
}

TEST_CASE("threads with callers of their own in one table") {
    rate_limiter limiter({0.001, 5});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 8; ++t)
        threads.emplace_back([&limiter, &wrong, t] {
            for (std::uint64_t i = 0; i < 2000; ++i)
                if (let_in(limiter, (t << 40) + i + 99, start, 7) != 5) ++wrong;
        });
    for (auto& each : threads) each.join();
    CHECK(wrong == 0);
}
