// Who waits, who is served next, who is refused and when it may come back.
#include "unit/routing/deployment_calls.hpp"

using namespace deployment_tests;
TEST_CASE("slots and places in the queue, by the limits") {
    struct row {
        std::optional<unsigned> cap;
        std::optional<std::size_t> queue;
        std::size_t slots, places; // on two replicas and one that cannot be reached
    };
    for (const auto& each :
         {row{1, std::nullopt, 2, 2}, row{3, std::nullopt, 6, 6}, row{1, 0, 2, 0}, row{2, 1, 4, 1}, row{1, 5, 2, 5}}) {
        CAPTURE(each.slots, each.places);
        deployment blue;
        blue.update({settings_of("a"), unreachable("b"), settings_of("c")}, {each.cap, each.queue});
        CHECK(blue.look().slots == each.slots);
        std::vector<caller> callers(each.places + 1);
        std::vector<slot> held;
        for (std::size_t i = 0; i < each.slots; ++i) {
            CHECK_FALSE(blue.full());
            CHECK(ask(blue, callers[0], &held) != "queued");
        }
        REQUIRE(held.size() == each.slots);
        const auto per_replica = static_cast<unsigned>(each.slots / 2);
        CHECK(in_flight(blue) == counts{{"a", per_replica}, {"b", 0}, {"c", per_replica}});
        for (std::size_t i = 0; i < each.places; ++i) {
            CHECK_FALSE(blue.full());
            CHECK(ask(blue, callers[i]) == "queued");
        }
        CHECK(blue.full());
        CHECK(blue.look().queued == each.places);
        CHECK(ask(blue, callers.back()) == "queue_full");
        for (std::size_t i = 0; i < each.places; ++i) CHECK(blue.abandon(callers[i]));
    }
}

TEST_CASE("without a cap nobody waits") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(std::nullopt, 0));
    std::vector<slot> held;
    for (int i = 0; i < 1000; ++i) held.push_back(take(blue));
    CHECK(in_flight(blue) == counts{{"a", 500}, {"b", 500}});
    CHECK_FALSE(blue.full());
    CHECK(blue.look().slots == std::nullopt);
}

TEST_CASE("the freed replica goes to who waits longest, and one is woken for each") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(1));
    auto a = take(blue), b = take(blue);
    caller first, second, late;
    CHECK(ask(blue, first) == "queued");
    CHECK(ask(blue, second) == "queued");
    b.release();
    CHECK(first.wakes == 1);
    CHECK(second.wakes == 0);
    CHECK(in_flight(blue) == counts{{"a", 1}, {"b", 1}}); // never free for anybody else
    CHECK(ask(blue, late) == "queued");
    auto granted = first.take();
    REQUIRE(granted);
    CHECK(name_of(granted) == "b");
    CHECK_FALSE(first.take());
    a.release();
    granted.release();
    CHECK(second.wakes == 1);
    CHECK(late.wakes == 1);
    CHECK(name_of(second.take()) == "a");
    CHECK(name_of(late.take()) == "b");
    CHECK(in_flight(blue) == counts{{"a", 0}, {"b", 0}});
    CHECK(first.wakes == 1);
}

TEST_CASE("reserve_now does not wait and does not pass those who do") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 5));
    auto held = take(blue);
    const auto refused = blue.reserve_now(start);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == fault::queue_full);
    CHECK(refused.error().retry_after == 1);
    caller who;
    CHECK(ask(blue, who) == "queued");
    held.release();
    CHECK_FALSE(blue.reserve_now(start));
    CHECK(who.wakes == 1);
}

TEST_CASE("who abandons leaves the queue and makes room; after a grant it is too late") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 2));
    auto held = take(blue);
    caller first, second, third;
    CHECK(ask(blue, first) == "queued");
    CHECK(ask(blue, second) == "queued");
    CHECK(ask(blue, third) == "queue_full");
    CHECK(blue.abandon(first));
    CHECK_FALSE(blue.full());
    CHECK(ask(blue, third) == "queued");
    held.release();
    CHECK(first.wakes == 0);
    CHECK(second.wakes == 1);
    CHECK_FALSE(blue.abandon(second));
    CHECK(second.take()); // given back at once: on to the next
    CHECK(third.wakes == 1);
    CHECK(third.take());
    CHECK(in_flight(blue) == counts{{"a", 0}});
    held = take(blue);
    CHECK(ask(blue, first) == "queued"); // the same one may wait again
    held.release();
    CHECK(first.wakes == 1);
    CHECK(name_of(first.take()) == "a");
}

TEST_CASE("a reload that makes room serves who waits, in order and no further than the new room") {
    struct row {
        std::string what;
        std::vector<replica_settings> replicas;
        admission allowed;
        std::vector<std::string> granted; // of four who wait, while one slot of "a" is taken
    };
    const auto a = settings_of("a"), b = settings_of("b"), c = settings_of("c");
    for (const auto& each : {row{"a replica more", {a, b}, allow(1, 4), {"b"}},
                             row{"two replicas more", {a, b, c}, allow(1, 4), {"b", "c"}},
                             row{"a higher cap", {a}, allow(3, 4), {"a", "a"}},
                             row{"both: the least busy first", {a, b}, allow(2, 4), {"b", "a", "b"}},
                             row{"no cap", {a, b}, allow(std::nullopt, 4), {"b", "a", "b", "a"}},
                             row{"another replica instead", {c}, allow(2, 4), {"c", "c"}},
                             row{"one that cannot be reached", {a, unreachable("b")}, allow(1, 4), {}},
                             row{"a longer queue", {a}, allow(1, 10), {}}, row{"a shorter queue", {a}, allow(1, 0), {}},
                             row{"no replica", {}, allow(1, 4), {}}}) {
        CAPTURE(each.what);
        deployment blue;
        blue.update({a}, allow(1, 4));
        const auto held = take(blue);
        std::vector<caller> waiting(4);
        for (auto& who : waiting) REQUIRE(ask(blue, who) == "queued");
        blue.update(each.replicas, each.allowed);
        std::vector<std::string> granted;
        std::vector<slot> slots;
        for (std::size_t i = 0; i < waiting.size(); ++i) {
            CHECK(waiting[i].wakes == (i < each.granted.size() ? 1 : 0));
            if (auto got = waiting[i].take()) {
                granted.push_back(name_of(got));
                slots.push_back(std::move(got));
            }
        }
        CHECK(granted == each.granted);
        CHECK(blue.look().queued == 4 - granted.size());
        for (auto& who : waiting)
            if (who.wakes == 0) CHECK(blue.abandon(who));
    }
}

TEST_CASE("a lower cap takes nothing away and grants nothing until enough came back") {
    deployment blue;
    blue.update(of({"a"}), allow(3));
    std::vector<slot> held;
    for (int i = 0; i < 3; ++i) held.push_back(take(blue));
    blue.update(of({"a"}), allow(1, 5));
    caller who;
    CHECK(ask(blue, who) == "queued");
    held.pop_back();
    CHECK(who.wakes == 0);
    held.pop_back();
    CHECK(who.wakes == 0);
    CHECK(in_flight(blue) == counts{{"a", 1}});
    held.pop_back();
    CHECK(who.wakes == 1);
    CHECK(in_flight(blue) == counts{{"a", 1}});
}

TEST_CASE("who waits keeps waiting while no replica can be reached") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 5));
    auto held = take(blue);
    caller who, late;
    CHECK(ask(blue, who) == "queued");
    blue.update({unreachable("a")}, allow(1, 5));
    CHECK(ask(blue, late) == "no_ready_replica");
    held.release(); // of the one that was removed
    CHECK(who.wakes == 0);
    CHECK(blue.look().queued == 1);
    blue.update(of({"a"}), allow(1, 5));
    CHECK(who.wakes == 1);
    CHECK(name_of(who.take()) == "a");
}

TEST_CASE("full follows every change") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 0));
    CHECK_FALSE(blue.full());
    auto held = take(blue);
    CHECK(blue.full());
    held.release();
    CHECK_FALSE(blue.full());
    held = take(blue);
    blue.update(of({"a"}), allow(2, 0));
    CHECK_FALSE(blue.full());
    blue.update(of({"a"}), allow(1, 1));
    CHECK_FALSE(blue.full());
    caller who;
    CHECK(ask(blue, who) == "queued");
    CHECK(blue.full());
    blue.update(of({"a"}), allow(1, 2));
    CHECK_FALSE(blue.full());
    blue.update(of({"a"}), allow(1));
    CHECK(blue.full());
    blue.update({}, allow(1));
    CHECK_FALSE(blue.full());
    blue.update(of({"a"}), allow(1));
    CHECK(blue.full());
    CHECK(blue.abandon(who));
    CHECK_FALSE(blue.full());
    CHECK(ask(blue, who) == "queued");
    held.release(); // handed over: the queue has room again
    CHECK_FALSE(blue.full());
}

TEST_CASE("Retry-After is who waits and one more, by the pace of late") {
    struct row {
        std::string what;
        milliseconds every; // a slot is given back, and taken again
        int times;
        std::size_t waiting;
        unsigned expected;
    };
    for (const auto& each : {row{"four a second, nobody waits", milliseconds(250), 20, 0, 1},
                             row{"four a second, one waits", milliseconds(250), 20, 1, 1},
                             row{"four a second, seven wait", milliseconds(250), 20, 7, 2},
                             row{"four a second, eight wait: rounded up", milliseconds(250), 20, 8, 3},
                             row{"one a second, nine wait", milliseconds(1000), 4, 9, 10},
                             row{"one in four seconds, two wait", milliseconds(4000), 5, 2, 12},
                             row{"one in thirty seconds, nobody waits", milliseconds(30000), 5, 0, 30},
                             row{"never more than a minute", milliseconds(1000), 4, 200, 60}}) {
        CAPTURE(each.what);
        deployment blue;
        blue.update(of({"a"}), allow(1, each.waiting));
        auto held = take(blue);
        std::vector<caller> waiting(each.waiting);
        for (auto& who : waiting) REQUIRE(ask(blue, who) == "queued");
        auto now = start;
        refused_until(blue, now);
        for (int i = 0; i < each.times; ++i) {
            const auto next = now + each.every;
            for (; now + seconds(5) < next; now += seconds(5)) refused_until(blue, now);
            now = next;
            // The oldest gets the slot and its caller comes again, so that as many wait as before.
            held.release();
            if (waiting.empty()) {
                held = take(blue);
            } else {
                auto& oldest = waiting[static_cast<std::size_t>(i) % waiting.size()];
                held = oldest.take();
                REQUIRE(held);
                REQUIRE(ask(blue, oldest, nullptr, now) == "queued");
            }
            refused_until(blue, now);
        }
        CHECK(refused_until(blue, now) == each.expected);
        CHECK(blue.retry_after(now) == seconds(each.expected));
        for (auto& who : waiting) CHECK(blue.abandon(who));
    }
}

TEST_CASE("Retry-After grows while nothing is given back") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 0));
    auto held = take(blue);
    for (const auto& [after, expected] :
         std::map<int, unsigned>{{0, 1}, {3, 3}, {12, 12}, {20, 20}, {29, 29}, {38, 38}, {47, 47}, {56, 56}, {65, 60}})
        CHECK(refused_until(blue, start + seconds(after)) == expected);
}

TEST_CASE("Retry-After grows when replicas that were fast hang") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 0));
    auto held = take(blue);
    auto now = start;
    for (int i = 0; i < 2000; ++i, now += milliseconds(10)) {
        held.release();
        held = take(blue);
        refused_until(blue, now);
    }
    CHECK(refused_until(blue, now) == 1);
    refused_until(blue, now + seconds(8));
    CHECK(refused_until(blue, now + seconds(16)) >= 11);
    CHECK(refused_until(blue, now + seconds(24)) >= 19);
    for (int i = 0; i < 8; ++i) { // it moves again
        held.release();
        held = take(blue);
    }
    CHECK(refused_until(blue, now + seconds(24)) <= 4);
}

TEST_CASE("Retry-After forgets a pace that is older than ten seconds") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 0));
    auto held = take(blue);
    refused_until(blue, start);
    CHECK(refused_until(blue, start + seconds(10)) == 10);
    CHECK(refused_until(blue, start + milliseconds(20001)) == 1);
}

TEST_CASE("Retry-After bears a clock that steps back") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 0));
    const auto held = take(blue);
    refused_until(blue, start + seconds(2));
    CHECK(refused_until(blue, start) == 1);
    CHECK(refused_until(blue, start + seconds(6)) == 4);
    CHECK(refused_until(blue, start + seconds(5)) == 4);
}
