#include "control/reload_unit.hpp"

#include <catch2/catch.hpp>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;

namespace {

tls::content_digest holds(unsigned char what) { return {what}; }
const config::problems mismatch{{"scoregate.json", "/sslKeyPemFile", "does not match"}};
const reload_unit::time_point start{};

} // namespace

TEST_CASE("content that is in force is not read again") {
    reload_unit unit("certificate:a", holds(1), 10s);
    CHECK_FALSE(unit.worth_reading(holds(1), start));
    CHECK(unit.worth_reading(holds(2), start));
    unit.accept(holds(2));
    CHECK_FALSE(unit.worth_reading(holds(2), start));
    CHECK(unit.worth_reading(holds(1), start));
    unit.accept(holds(2)); // read all the same, because somebody asked: nothing was reloaded
    CHECK(unit.past().succeeded == 1);
    CHECK(unit.past().last_succeeded);
    CHECK(unit.past().last_at > std::chrono::system_clock::now() - 1min);
}

TEST_CASE("content that is no good is waited out, then it is one failure") {
    reload_unit unit("certificate:a", holds(1), 10s);
    CHECK_FALSE(unit.refuse(holds(2), mismatch, false, start));
    CHECK(unit.waiting());
    CHECK(unit.worth_reading(holds(2), start));                          // it is tried again
    CHECK_FALSE(unit.refuse(holds(3), mismatch, false, start + 9999ms)); // other content has no time of its own
    CHECK(unit.past().failed == 0);
    CHECK(unit.past().last_succeeded);
    CHECK(unit.refuse(holds(3), mismatch, false, start + 10s));
    CHECK(unit.past().failed == 1);
    CHECK_FALSE(unit.past().last_succeeded);
    CHECK(unit.past().last_problems == mismatch);
    CHECK_FALSE(unit.waiting());
    CHECK_FALSE(unit.worth_reading(holds(3), start + 10s)); // told once
    CHECK(unit.worth_reading(holds(4), start + 11s));
    CHECK_FALSE(unit.refuse(holds(4), mismatch, false, start + 11s)); // waited for anew
    unit.accept(holds(5));
    CHECK(unit.past().succeeded == 1);
    CHECK(unit.past().failed == 1);
    CHECK(unit.past().last_succeeded);
    CHECK(unit.past().last_problems.empty());
    CHECK(unit.worth_reading(holds(3), start + 12s)); // another certificate may be what it lacked
}

TEST_CASE("content that has failed is tried again now and then, and that is told and counted once") {
    reload_unit unit("certificate:a", holds(1), 0s);
    CHECK(unit.refuse(holds(2), mismatch, false, start));
    const auto later = start + reload_unit::between_retries;
    CHECK_FALSE(unit.worth_reading(holds(2), later - 1ms));
    CHECK(unit.worth_reading(holds(2), later));
    CHECK_FALSE(unit.refuse(holds(2), mismatch, false, later));
    CHECK_FALSE(unit.worth_reading(holds(2), later + 1ms));
    CHECK(unit.past().failed == 1);
    CHECK_FALSE(unit.past().last_succeeded);
    unit.accept(holds(2)); // the date has come, for example
    CHECK(unit.past().succeeded == 1);
    CHECK(unit.past().last_succeeded);
}

TEST_CASE("what may become better is waited for, not for ever") {
    reload_unit unit("certificate:a", holds(1), 10s);
    CHECK(unit.wait(start));
    CHECK(unit.waiting());
    CHECK(unit.wait(start + 9999ms));
    CHECK_FALSE(unit.wait(start + 10s));
    unit.accept(holds(2));
    CHECK_FALSE(unit.waiting());
    CHECK(unit.wait(start + 11s)); // anew
}

TEST_CASE("who insists is told at once") {
    reload_unit unit("certificate:a", holds(1), 10s);
    CHECK(unit.refuse(holds(2), mismatch, true, start));
    CHECK(unit.refuse(holds(2), mismatch, true, start));
    CHECK(unit.past().failed == 2);
}

TEST_CASE("files that hold again what is in force end a failure without a reload") {
    reload_unit unit("certificate:a", holds(1), 10s);
    CHECK(unit.refuse(holds(2), mismatch, true, start));
    CHECK_FALSE(unit.worth_reading(holds(1), start));
    CHECK(unit.past().last_succeeded);
    CHECK(unit.past().last_problems.empty());
    CHECK(unit.past().succeeded == 0);
    // And the time that was waited: what comes next has all of its own.
    CHECK_FALSE(unit.refuse(holds(2), mismatch, false, start + 1h));
    CHECK_FALSE(unit.worth_reading(holds(1), start));
    CHECK_FALSE(unit.refuse(holds(2), mismatch, false, start + 2h));
}
