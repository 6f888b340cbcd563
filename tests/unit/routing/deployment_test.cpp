// Which replica gets a request, and what a reload does to replicas.
#include "unit/routing/deployment_calls.hpp"

#include <set>

using namespace deployment_tests;

TEST_CASE("the replica with the fewest requests in flight gets the next") {
    deployment blue;
    blue.update(of({"a", "b", "c"}), no_cap);
    std::vector<slot> held;
    for (int i = 0; i < 6; ++i) held.push_back(take(blue));
    CHECK(in_flight(blue) == counts{{"a", 2}, {"b", 2}, {"c", 2}});
    for (auto& each : held)
        if (name_of(each) == "b") each.release();
    CHECK(in_flight(blue) == counts{{"a", 2}, {"b", 0}, {"c", 2}});
    CHECK(name_of(take(blue)) == "b");
    const auto one = take(blue), other = take(blue);
    CHECK(name_of(one) == "b");
    CHECK(name_of(other) == "b");
}

TEST_CASE("ties rotate") {
    deployment blue;
    blue.update(of({"a", "b", "c"}), no_cap);
    std::string order;
    for (int i = 0; i < 6; ++i) order += name_of(take(blue)); // each is released at once
    CHECK(order == "abcabc");

    std::vector<slot> held;
    for (int i = 0; i < 3; ++i) held.push_back(take(blue));
    order.clear();
    for (int i = 0; i < 6; ++i) order += name_of(take(blue));
    CHECK(order == "abcabc");
}

TEST_CASE("a reload does not send the next request back to the first replica") {
    deployment blue;
    std::string order;
    for (int i = 0; i < 6; ++i) {
        blue.update(of({"a", "b", "c"}), no_cap);
        order += name_of(take(blue));
    }
    CHECK(order == "abcabc");
}

TEST_CASE("those that tie share evenly, also beside a busy or an unreachable one") {
    deployment blue;
    blue.update(of({"a", "b", "c"}), allow(2));
    const auto busy = take(blue);
    REQUIRE(name_of(busy) == "a");
    std::string order;
    for (int i = 0; i < 6; ++i) order += name_of(take(blue));
    CHECK(order == "bcbcbc");

    deployment green;
    green.update({unreachable("a"), settings_of("b"), settings_of("c")}, allow(1));
    order.clear();
    for (int i = 0; i < 6; ++i) order += name_of(take(green));
    CHECK(order == "bcbcbc");
}

TEST_CASE("a slot says where, moves, and frees itself once") {
    deployment blue;
    blue.update({settings_of("a:5001", 5001)}, no_cap);
    slot none;
    CHECK_FALSE(none);
    none.release();
    slot one = take(blue);
    CHECK(one.where().addresses == std::vector{address_of(5001)});
    slot moved = std::move(one);
    CHECK_FALSE(one);
    CHECK(moved);
    CHECK(in_flight(blue) == counts{{"a:5001", 1}});
    slot other = take(blue);
    CHECK(in_flight(blue) == counts{{"a:5001", 2}});
    other = std::move(moved); // frees what it held
    CHECK(in_flight(blue) == counts{{"a:5001", 1}});
    auto& itself = other;
    other = std::move(itself);
    CHECK(other);
    other.release();
    other.release();
    CHECK(in_flight(blue) == counts{{"a:5001", 0}});
}

TEST_CASE("an update keeps the replicas that stay, with what is in flight") {
    deployment blue;
    blue.update(of({"a", "b"}), no_cap);
    const auto a = take(blue), b = take(blue), a2 = take(blue);
    const auto id = a.where().id;
    blue.update(of({"c", "a"}), no_cap);
    CHECK(in_flight(blue) == counts{{"a", 2}, {"c", 0}});
    CHECK(a.where().id == id);
    const auto next = take(blue);
    CHECK(name_of(next) == "c");
    const auto after = take(blue);
    CHECK(name_of(after) == "c"); // 1 in flight there, 2 at a
}

TEST_CASE("a URL whose addresses change gets new connections and keeps its requests in flight") {
    deployment blue;
    blue.update({settings_of("a", 5001)}, allow(1, 1));
    auto old = take(blue);
    blue.update({settings_of("a", 5002)}, allow(1, 1)); // perhaps the same server by another name
    CHECK(in_flight(blue) == counts{{"a", 1}});
    CHECK_FALSE(blue.reserve_now(start));
    CHECK(old.where().addresses == std::vector{address_of(5001)}); // still whole for who holds it
    CHECK_FALSE(old.leaving());
    const auto id = old.where().id;
    caller who;
    CHECK(ask(blue, who) == "queued");
    old.release();
    REQUIRE(who.wakes == 1);
    const auto fresh = who.take();
    CHECK(fresh.where().id != id); // connections are kept by it
    CHECK(fresh.where().addresses == std::vector{address_of(5002)});
    CHECK(in_flight(blue) == counts{{"a", 1}});
}

TEST_CASE("addresses that change and change back while requests are under way") {
    deployment blue;
    blue.update({settings_of("a", 5001)}, allow(2, 0));
    auto first = take(blue);
    blue.update({settings_of("a", 5002)}, allow(2, 0));
    auto second = take(blue);
    blue.update({settings_of("a", 5001)}, allow(2, 0));
    CHECK(in_flight(blue) == counts{{"a", 2}});
    CHECK_FALSE(blue.reserve_now(start));
    second.release();
    CHECK(take(blue).where().id == first.where().id);
    blue.update({}, allow(2, 0));
    CHECK(first.leaving());
    CHECK(blue.look().leaving == 1);
    first.release();
    CHECK(blue.look().leaving == 0);
}

TEST_CASE("a removed replica gets nothing new and lives until its last slot") {
    deployment blue;
    blue.update(of({"a", "b"}), no_cap);
    std::vector<slot> held;
    for (int i = 0; i < 4; ++i) held.push_back(take(blue));
    blue.update(of({"b"}), no_cap);
    for (int i = 0; i < 4; ++i) CHECK(name_of(take(blue)) == "b");
    CHECK(in_flight(blue) == counts{{"b", 2}});
    for (auto& each : held) { // the sanitizers see it if one went too early
        CHECK_FALSE(each.where().url.empty());
        each.release();
    }
    CHECK(in_flight(blue) == counts{{"b", 0}});
    blue.update({}, no_cap);
    CHECK_FALSE(blue.reserve_now(start));
}

TEST_CASE("a removed replica that comes back while it is busy is still busy") {
    deployment blue;
    blue.update(of({"a"}), allow(1, 0));
    auto held = take(blue);
    blue.update({}, allow(1, 0));
    blue.update(of({"a"}), allow(1, 0));
    CHECK(in_flight(blue) == counts{{"a", 1}});
    CHECK_FALSE(blue.reserve_now(start)); // or two would run on it
    const auto id = held.where().id;
    held.release();
    CHECK(take(blue).where().id == id);
    blue.update({}, allow(1, 0));
    blue.update(of({"a"}), allow(1, 0));
    CHECK(take(blue).where().id != id); // nobody was with it: forgotten
}

TEST_CASE("an identifier is never used again") {
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 3; ++i) {
        deployment blue;
        blue.update(of({"a", "b"}), no_cap);
        CHECK(seen.insert(take(blue).where().id).second);
        CHECK(seen.insert(take(blue).where().id).second);
    }
}

TEST_CASE("without a replica that can be reached there is none ready, and it is said at once") {
    deployment blue;
    caller who;
    CHECK(ask(blue, who) == "no_ready_replica");
    blue.update({unreachable("a"), unreachable("b")}, allow(1));
    CHECK(ask(blue, who) == "no_ready_replica");
    CHECK_FALSE(blue.full()); // it would not say queue_full
    CHECK_FALSE(blue.look().replicas.at(0).resolved);
    CHECK(blue.look().slots == 0u);
    const auto refused = blue.reserve_now(start);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == fault::no_ready_replica);
    CHECK(refused.error().retry_after == 1);
    blue.update({unreachable("a"), settings_of("b")}, allow(1));
    CHECK(ask(blue, who) == "b");
    CHECK(blue.look().replicas.at(1).resolved);
    CHECK(blue.look().slots == 1u);
}
