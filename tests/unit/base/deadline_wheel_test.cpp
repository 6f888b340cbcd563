#include "base/deadline_wheel.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <optional>
#include <random>
#include <vector>

using namespace scoregate::base;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr auto tick = deadline_wheel::tick_length;

// A deadline that remembers when it fired; `now` is the test's clock.
struct bell {
    bell(deadline_wheel& wheel, const milliseconds& now) : clock(now), due(wheel, this, &bell::rang) {}
    static void rang(void* self) {
        auto& owner = *static_cast<bell*>(self);
        owner.fired_at.push_back(owner.clock);
    }
    const milliseconds& clock;
    std::vector<milliseconds> fired_at{};
    deadline due;
};

struct clockwork {
    deadline_wheel wheel;
    milliseconds now{0};
    void advance(milliseconds by, milliseconds step = 10ms) {
        for (const auto end = now + by; now < end;) {
            now += std::min(step, end - now);
            wheel.advance(now);
        }
    }
};

} // namespace

TEST_CASE("a deadline never fires early and at most two ticks late") {
    for (const auto offset : {0ms, 1ms, 25ms, 49ms, 50ms, 51ms, 1234ms})
        for (const auto after : {0ms, 1ms, 49ms, 50ms, 51ms, 100ms, 2000ms, 10000ms}) {
            CAPTURE(offset.count(), after.count());
            clockwork clock;
            clock.advance(offset, 1ms);
            bell one(clock.wheel, clock.now);
            one.due.arm(after);
            const auto armed_at = clock.now;
            while (one.fired_at.empty() && clock.now < armed_at + after + 10 * tick) clock.advance(1ms);
            REQUIRE(one.fired_at.size() == 1);
            CHECK(one.due.fired());
            CHECK(one.fired_at[0] >= armed_at + after);
            CHECK(one.fired_at[0] <= armed_at + after + 2 * tick);
        }
}

TEST_CASE("a deadline of less than no time fires at once, not never") {
    clockwork clock;
    bell one(clock.wheel, clock.now);
    one.due.arm(-5s);
    clock.advance(2 * tick);
    CHECK_FALSE(one.fired_at.empty());
}

TEST_CASE("armed again: earlier, later, and with the old time forgotten") {
    clockwork clock;
    bell one(clock.wheel, clock.now);
    one.due.arm(10s);
    one.due.arm(100ms);
    clock.advance(200ms);
    CHECK_FALSE(one.fired_at.empty());

    one.fired_at.clear();
    one.due.arm(100ms);
    CHECK_FALSE(one.due.fired()); // arming clears it
    clock.advance(50ms);
    one.due.arm(1s);
    clock.advance(1s, 1ms);
    CHECK(one.fired_at.empty());
    const auto rest = clock.now;
    clock.advance(2 * tick, 1ms);
    REQUIRE_FALSE(one.fired_at.empty());
    CHECK(one.fired_at[0] >= rest);
}

TEST_CASE("a deadline that is put off again and again does not fire") {
    clockwork clock;
    bell one(clock.wheel, clock.now);
    for (int i = 0; i < 300; ++i) {
        one.due.arm(500ms);
        clock.advance(400ms, 50ms);
    }
    CHECK(one.fired_at.empty());
    clock.advance(500ms);
    CHECK_FALSE(one.fired_at.empty());
}

TEST_CASE("disarmed is silent, and can be armed again") {
    clockwork clock;
    bell one(clock.wheel, clock.now);
    one.due.disarm(); // never armed
    one.due.arm(100ms);
    one.due.disarm();
    clock.advance(100s);
    CHECK(one.fired_at.empty());
    CHECK_FALSE(one.due.fired());
    one.due.arm(100ms);
    clock.advance(200ms);
    CHECK_FALSE(one.fired_at.empty());
}

TEST_CASE("what has fired fires each tick until it is disarmed or armed") {
    clockwork clock;
    bell one(clock.wheel, clock.now);
    one.due.arm(50ms);
    clock.advance(100ms);
    REQUIRE(one.fired_at.size() == 1);
    clock.advance(5 * tick);
    CHECK(one.fired_at.size() == 6);
    one.due.disarm();
    clock.advance(5 * tick);
    CHECK(one.fired_at.size() == 6);

    one.due.arm(0ms);
    clock.advance(3 * tick);
    const auto fired = one.fired_at.size();
    CHECK(fired > 7);
    one.due.arm(1s);
    clock.advance(1s);
    CHECK(one.fired_at.size() == fired);
}

TEST_CASE("a callback may arm its own deadline again: it fires once each time") {
    struct repeated {
        static void rang(void* self) {
            auto& owner = *static_cast<repeated*>(self);
            ++owner.times;
            owner.due.arm(1s);
        }
        int times = 0;
        deadline due;
        explicit repeated(deadline_wheel& wheel) : due(wheel, this, &repeated::rang) {}
    };
    clockwork clock;
    bell before(clock.wheel, clock.now);
    repeated one(clock.wheel);
    bell behind(clock.wheel, clock.now);
    for (auto* each : {&before.due, &one.due, &behind.due}) each->arm(1s);
    clock.advance(10s);
    CHECK(one.times >= 9);
    CHECK(one.times <= 10);
    CHECK_FALSE(one.due.fired());
    CHECK(before.fired_at.size() > 100); // the others of its slot go on as ever
    CHECK(behind.fired_at.size() > 100);
    one.due.disarm();
    clock.advance(10s);
    CHECK(one.times <= 10);
}

TEST_CASE("deadlines beyond one turn of the wheel, at the same slot as near ones") {
    clockwork clock;
    constexpr auto turn = 1024 * tick;
    bell near(clock.wheel, clock.now), far(clock.wheel, clock.now), further(clock.wheel, clock.now);
    near.due.arm(1s);
    far.due.arm(1s + turn);
    further.due.arm(1s + 5 * turn);
    clock.advance(1s + 2 * tick, tick);
    CHECK(near.fired_at.size() >= 1);
    near.due.disarm();
    CHECK(far.fired_at.empty());
    clock.advance(turn - 2 * tick, tick);
    CHECK(far.fired_at.empty());
    clock.advance(2 * tick, tick);
    CHECK_FALSE(far.fired_at.empty());
    far.due.disarm();
    clock.advance(4 * turn - 2 * tick, tick);
    CHECK(further.fired_at.empty());
    clock.advance(2 * tick, tick);
    CHECK_FALSE(further.fired_at.empty());
}

TEST_CASE("a wheel that was late fires what became due meanwhile") {
    clockwork clock;
    bell one(clock.wheel, clock.now), other(clock.wheel, clock.now);
    one.due.arm(1s);
    other.due.arm(1h);
    clock.now = 30min; // the machine slept
    clock.wheel.advance(clock.now);
    CHECK_FALSE(one.fired_at.empty());
    CHECK(other.fired_at.empty());
}

TEST_CASE("a deadline may go while it is armed, wherever it stands in its slot") {
    for (std::size_t gone = 0; gone < 3; ++gone) {
        CAPTURE(gone);
        clockwork clock;
        std::vector<std::unique_ptr<bell>> all;
        for (int i = 0; i < 3; ++i) {
            all.push_back(std::make_unique<bell>(clock.wheel, clock.now));
            all.back()->due.arm(100ms);
        }
        all[gone].reset();
        clock.advance(200ms);
        for (const auto& each : all)
            if (each) CHECK_FALSE(each->fired_at.empty());
        all.clear();
        clock.advance(1h, tick); // looks into every slot: the sanitizers would see a dangling link
    }
}

TEST_CASE("many deadlines, armed and disarmed at random, against a list") {
    std::mt19937 random(20240817);
    clockwork clock;
    struct expected {
        std::unique_ptr<bell> one;
        std::optional<milliseconds> due;
        std::size_t seen = 0;
    };
    std::vector<expected> all(40);
    for (auto& each : all) each.one = std::make_unique<bell>(clock.wheel, clock.now);
    for (int step = 0; step < 20000; ++step) {
        auto& each = all[random() % all.size()];
        switch (random() % 4) {
        case 0:
        case 1: {
            const unsigned longest = random() % 8 == 0 ? 200000 : 3000;
            const milliseconds after{random() % longest};
            each.one->due.arm(after);
            each.due = clock.now + after;
            break;
        }
        case 2:
            each.one->due.disarm();
            each.due.reset();
            break;
        default:
            each.one = std::make_unique<bell>(clock.wheel, clock.now);
            each.due.reset();
            each.seen = 0;
        }
        clock.advance(milliseconds{random() % 120}, tick);
        for (auto& one : all) {
            const auto& fired = one.one->fired_at;
            if (fired.size() > one.seen) REQUIRE((one.due && fired[one.seen] >= *one.due));
            one.seen = fired.size();
            if (one.due && clock.now > *one.due + 2 * tick) REQUIRE(one.one->due.fired());
            if (one.due && clock.now < *one.due) REQUIRE_FALSE(one.one->due.fired());
        }
    }
}
