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
    CHECK(name.take(none, start, within).told == news::trouble);
    CHECK_FALSE(name.take(none, start + name_record::grace - 1ms, within).changed);
    CHECK(name.addresses() == list{a});
    SECTION("not if it came back meanwhile") {
        CHECK(name.take(found({a}), start + 29s, within).told == news::recovery);
        CHECK_FALSE(name.take(none, start + name_record::grace, within).changed);
        CHECK(name.addresses() == list{a});
    }
    SECTION("a failure says nothing and alters nothing") {
        name.take(failed, start + 29s, within);
        CHECK_FALSE(name.take(failed, start + 31s, within).changed);
        CHECK(name.take(none, start + 32s, within).changed);
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
