#include "control/name_answer.hpp"

#include <catch2/catch.hpp>

using namespace scoregate::control;
using namespace std::chrono_literals;
using boost::asio::ip::make_address;

namespace {

using kind = name_answer::kind;
using news = name_record::news;
using list = std::vector<boost::asio::ip::address>;

constexpr name_record::time_point start{1000h};
constexpr name_record::limits within{1s, 60s};

name_answer found(list addresses, std::chrono::seconds ttl = 10s) {
    return {.what = kind::found, .addresses = std::move(addresses), .ttl = ttl};
}
const name_answer failed{.what = kind::failed, .why = "no answer"}, none{.what = kind::none, .why = "no such name"};

const auto a = make_address("10.0.0.1"), b = make_address("10.0.0.2"), c = make_address("fd00::3");

// A name that has been found at `start`.
name_record known(list addresses) {
    name_record made;
    REQUIRE(made.take(found(std::move(addresses)), start, within).changed);
    return made;
}

} // namespace

TEST_CASE("an answer is used for its TTL, within the limits") {
    name_record name;
    CHECK_FALSE(name.answered());
    name.take(found({a}, 10s), start, within);
    CHECK(name.answered());
    CHECK(name.due() == start + 10s);
    name.take(found({a}, 0s), start, within);
    CHECK(name.due() == start + 1s);
    name.take(found({a}, 3600s), start, within);
    CHECK(name.due() == start + 60s);
}

TEST_CASE("the same answer in another order is no news, and does not change the order") {
    auto name = known({a, b});
    CHECK_FALSE(name.take(found({b, a}), start, within).changed);
    CHECK(name.addresses() == list{a, b});
    CHECK(name.take(found({b}), start, within).changed);
    CHECK(name.addresses() == list{b});
    CHECK(name.take(found({b, c, c, b}), start, within).changed);
    CHECK(name.addresses() == list{b, c});
}

TEST_CASE("a failure keeps the last good answer for ever, is tried again, and is told once") {
    auto name = known({a});
    auto now = start;
    for (const auto pause : {1s, 2s, 4s, 5s, 5s, 5s}) {
        const auto outcome = name.take(failed, now, within);
        CHECK_FALSE(outcome.changed);
        CHECK(outcome.told == (now == start ? news::trouble : news::nothing));
        CHECK(name.due() == now + pause);
        now += pause;
    }
    CHECK_FALSE(name.take(failed, start + 1000h, within).changed);
    CHECK(name.addresses() == list{a});
    const auto well = name.take(found({a}), start + 1001h, within);
    CHECK_FALSE(well.changed);
    CHECK(well.told == news::recovery);
    CHECK(name.take(failed, start + 1002h, within).told == news::trouble);
    CHECK(name.due() == start + 1002h + 1s); // the pauses begin anew
}

TEST_CASE("that a known name does not exist is believed after the grace") {
    auto name = known({a});
    CHECK(name.take(none, start, within).told == news::missing);
    CHECK_FALSE(name.take(none, start + name_record::grace - 1ms, within).changed);
    CHECK(name.addresses() == list{a});
    SECTION("not if it came back meanwhile") {
        CHECK(name.take(found({a}), start + 29s, within).told == news::recovery);
        CHECK_FALSE(name.take(none, start + name_record::grace, within).changed);
        CHECK(name.addresses() == list{a});
    }
    SECTION("time in which DNS says nothing does not count") {
        name.take(failed, start + 29s, within);
        CHECK_FALSE(name.take(failed, start + 31s, within).changed);
        CHECK_FALSE(name.take(none, start + 32s, within).changed);
        CHECK_FALSE(name.take(none, start + 32s + name_record::grace - 1ms, within).changed);
        CHECK(name.take(none, start + 32s + name_record::grace, within).changed);
    }
    SECTION("then it is removed") {
        const auto outcome = name.take(none, start + name_record::grace, within);
        CHECK(outcome.changed);
        CHECK(outcome.told == news::removed);
        CHECK(name.addresses().empty());
        CHECK(name.take(none, start + 40s, within).told == news::nothing);
        CHECK(name.take(found({b}), start + 50s, within).told == news::recovery);
        CHECK(name.addresses() == list{b});
    }
}

TEST_CASE("a name that was never found is tried again, told once, and found") {
    name_record name;
    CHECK(name.take(none, start, within).told == news::trouble);
    CHECK(name.answered());
    CHECK(name.due() == start + 1s);
    CHECK(name.take(failed, start + 1s, within).told == news::nothing);
    const auto outcome = name.take(found({a}), start + 3s, within);
    CHECK(outcome.changed);
    CHECK(outcome.told == news::recovery);
}

TEST_CASE("when one family gets no answer, what is known of it is kept") {
    auto name = known({a, c});
    auto answer = found({b});
    answer.lacks_v6 = true;
    CHECK(name.take(answer, start, within).changed);
    CHECK(name.addresses() == list{b, c});
    answer.lacks_v6 = false;
    CHECK(name.take(answer, start, within).changed);
    CHECK(name.addresses() == list{b});
}

TEST_CASE("a family that gets no answer is asked for again as a name is, not when the other's TTL is over") {
    auto name = known({a, c});
    auto answer = found({a}, 60s);
    answer.lacks_v6 = true;
    auto now = start;
    for (const auto pause : {1s, 2s, 4s, 5s, 5s}) {
        name.take(answer, now, within);
        CHECK(name.due() == now + pause);
        now += pause;
    }
    CHECK(name.addresses() == list{a, c});
    name.take(found({a, c}, 60s), now, within);
    CHECK(name.due() == now + 60s);
    name.take(answer, now, within);
    CHECK(name.due() == now + 1s);
    answer.ttl = 1s; // no later than without the failure
    name.take(answer, now, within);
    name.take(answer, now, within);
    CHECK(name.due() == now + 1s);
}

TEST_CASE("of a name that has nothing of one family, the other, which got no answer, is kept") {
    auto answer = none;
    answer.lacks_v6 = true;
    auto both = known({a, c});
    CHECK(both.take(answer, start, within).told == news::missing);
    CHECK(both.addresses() == list{a, c});
    const auto later = both.take(answer, start + name_record::grace, within);
    CHECK(later.changed);
    CHECK(later.told == news::removed);
    CHECK(both.addresses() == list{c});
    CHECK_FALSE(both.take(answer, start + 2 * name_record::grace, within).changed);
    CHECK_FALSE(both.take(answer, start + 3 * name_record::grace, within).changed);

    auto other = known({c}); // of which DNS says nothing at all
    CHECK(other.take(answer, start, within).told == news::trouble);
    CHECK_FALSE(other.take(answer, start + name_record::grace, within).changed);
    CHECK(other.addresses() == list{c});
}

TEST_CASE("of too many targets always the same are used") {
    using targets = std::vector<service_target>;
    targets many{{"c", 1}, {"a", 2}, {"b", 1}, {"a", 1}, {"b", 1}};
    CHECK(restrict_to(3, many));
    CHECK(many == targets{{"a", 1}, {"a", 2}, {"b", 1}});
    targets again{{"b", 1}, {"a", 1}, {"c", 1}, {"a", 2}};
    CHECK(restrict_to(3, again));
    CHECK(again == many);
    CHECK_FALSE(restrict_to(3, again));
    targets few{{"b", 1}, {"a", 1}, {"b", 1}};
    CHECK_FALSE(restrict_to(2, few));
    CHECK(few == targets{{"a", 1}, {"b", 1}});
}

TEST_CASE("new targets that cannot be reached do not take the place of known ones") {
    name_record name;
    CHECK_FALSE(name.defer(start, false)); // nothing is known
    name.take({.what = kind::found, .targets = {{"one", 1}}, .ttl = 5s}, start, within);
    CHECK(name.defer(start, false));
    CHECK(name.due() == start + 1s);
    CHECK(name.defer(start + 1000h, false)); // while DNS fails, for as long as it takes
    CHECK(name.defer(start + 1001h, true));
    CHECK(name.defer(start + 1001h + name_record::grace - 1ms, true));
    SECTION("DNS fails again") {
        CHECK(name.defer(start + 1001h + name_record::grace, false));
        CHECK(name.defer(start + 1001h + name_record::grace, true));
    }
    SECTION("DNS has said for long enough that they do not exist") {
        CHECK_FALSE(name.defer(start + 1001h + name_record::grace, true));
    }
    CHECK(name.targets().size() == 1);
}

TEST_CASE("targets are kept as addresses are") {
    name_record name;
    name_answer answer{.what = kind::found, .targets = {{"one", 1}, {"two", 2}}, .ttl = 5s};
    CHECK(name.take(answer, start, within).changed);
    std::swap(answer.targets[0], answer.targets[1]);
    CHECK_FALSE(name.take(answer, start, within).changed);
    CHECK_FALSE(name.take(none, start, within).changed);
    CHECK(name.targets().size() == 2);
    CHECK(name.take(none, start + name_record::grace, within).changed);
    CHECK(name.targets().empty());
}
