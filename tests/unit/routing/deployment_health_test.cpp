// How a deployment's replicas are, by what comes of requests and by what probes say, and whom that keeps from whom.
#include "unit/routing/deployment_calls.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace deployment_tests;
using namespace std::chrono_literals;

namespace {

admission probed(std::optional<unsigned> slots) {
    auto made = allow(slots);
    made.probed = true;
    return made;
}

std::map<std::string, std::string> standings_in(const deployment& of) {
    std::map<std::string, std::string> all;
    for (const auto& each : of.look().replicas)
        all[each.url.substr(7)] = std::string(routing::to_string(each.standing));
    return all;
}
using table = std::map<std::string, std::string>;

std::uint64_t id_of(deployment& of, const std::string& name) {
    for (const auto& each : of.subjects())
        if (each.url == "http://" + name) return each.id;
    FAIL("no replica " << name);
    return 0;
}

// A slot at that replica: others are held until it is its turn.
slot take_at(deployment& from, const std::string& name) {
    std::vector<slot> others;
    for (int i = 0; i < 100; ++i) {
        auto got = from.reserve_now(start);
        if (!got) break;
        if (name_of(*got) == name) return std::move(*got);
        others.push_back(std::move(*got));
    }
    return {};
}

// Requests at that replica, one after another, that end so. False: it gets none any more.
bool end_at(deployment& of, const std::string& name, outcome what, unsigned times = 1) {
    for (unsigned i = 0; i < times; ++i) {
        auto got = take_at(of, name);
        if (!got) return false;
        got.release(what);
    }
    return true;
}

// As the control thread does, so that what has begun ends.
clock_type::time_point pass(deployment& of, clock_type::time_point from, clock_type::duration time) {
    of.advance(from);
    for (auto at = from; at < from + time; at += 250ms) of.advance(at);
    of.advance(from + time);
    return from + time;
}

void eject(deployment& of, const std::string& name) {
    REQUIRE(end_at(of, name, outcome::failed, failures_to_eject));
    REQUIRE(standings_in(of)[name] == "ejected");
}

} // namespace

TEST_CASE("five failures in a row eject a replica, four do not, and one answer between them forgives all") {
    deployment blue;
    blue.update(of({"a", "b"}), no_cap);
    REQUIRE(end_at(blue, "a", outcome::failed, 4));
    CHECK(standings_in(blue) == table{{"a", "ready"}, {"b", "ready"}});
    REQUIRE(end_at(blue, "a", outcome::answered));
    REQUIRE(end_at(blue, "a", outcome::failed, 4));
    CHECK(standings_in(blue)["a"] == "ready");
    for (const auto neither : {outcome::busy, outcome::untold}) REQUIRE(end_at(blue, "a", neither, 20));
    CHECK(standings_in(blue)["a"] == "ready");
    REQUIRE(end_at(blue, "a", outcome::failed)); // what is neither does not forgive
    CHECK(standings_in(blue) == table{{"a", "ejected"}, {"b", "ready"}});
    for (int i = 0; i < 10; ++i) CHECK(name_of(take(blue)) == "b");
    CHECK(blue.look().slots == std::nullopt);
    const auto changes = blue.advance(start);
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].url == "http://a");
    CHECK(changes[0].now == standing::ejected);
    CHECK(changes[0].ejected_for == 30s);
    CHECK(blue.advance(start).empty());
}

TEST_CASE("since when a replica is ready or not is known") {
    const auto since = [](const deployment& which) { return which.look().replicas.at(0).since; };
    const auto before = std::chrono::system_clock::now();
    deployment blue;
    blue.update(of({"a", "b"}), no_cap);
    const auto came = since(blue);
    CHECK(came >= before);
    blue.update(of({"a", "b"}), no_cap);
    CHECK(since(blue) == came);
    eject(blue, "a");
    const auto ejected = since(blue);
    CHECK(ejected > came);
    pass(blue, start, first_ejection);
    REQUIRE(standings_in(blue)["a"] == "half_open");
    CHECK(since(blue) == ejected); // it is not ready yet
    auto nowhere = of({"a", "b"});
    nowhere.front().addresses.clear();
    blue.update(nowhere, no_cap);
    CHECK(since(blue) > ejected);
}

TEST_CASE("an ejection ends, one request tries the replica, and its answer brings it back") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(4));
    eject(blue, "a");
    auto now = pass(blue, start, first_ejection - 1s);
    CHECK(standings_in(blue)["a"] == "ejected");
    now = pass(blue, now, 1s);
    CHECK(standings_in(blue)["a"] == "half_open");

    auto trial = take_at(blue, "a");
    REQUIRE(trial);
    CHECK_FALSE(take_at(blue, "a")); // one at a time, whatever the cap
    trial.release(outcome::untold);  // its client left: nobody knows
    CHECK(standings_in(blue)["a"] == "half_open");
    REQUIRE(end_at(blue, "a", outcome::busy));
    CHECK(standings_in(blue)["a"] == "half_open");
    trial = take_at(blue, "a");
    REQUIRE(trial);
    trial.release(outcome::answered);
    CHECK(standings_in(blue) == table{{"a", "ready"}, {"b", "ready"}});
    REQUIRE(end_at(blue, "a", outcome::failed, 4)); // counted from new
    CHECK(standings_in(blue)["a"] == "ready");
}

TEST_CASE(
    "a failed trial ejects at once, for twice as long each time up to a limit; well again for long, it is forgotten") {
    deployment blue;
    blue.update(of({"a", "b"}), no_cap);
    eject(blue, "a");
    auto now = start;
    for (const auto length : {30s, 60s, 120s, 240s, 300s, 300s}) {
        const auto changes = blue.advance(now);
        const auto ejected = std::find_if(changes.begin(), changes.end(),
                                          [](const auto& each) { return each.now == standing::ejected; });
        REQUIRE(ejected != changes.end());
        CHECK(ejected->ejected_for == length);
        now = pass(blue, now, length - 1s);
        CHECK(standings_in(blue)["a"] == "ejected");
        now = pass(blue, now, 1s);
        REQUIRE(standings_in(blue)["a"] == "half_open");
        REQUIRE(end_at(blue, "a", outcome::failed));
    }
    now = pass(blue, now, longest_ejection);
    REQUIRE(end_at(blue, "a", outcome::answered));
    now = pass(blue, now, longest_ejection);
    eject(blue, "a");
    CHECK(blue.advance(now).back().ejected_for == first_ejection);
}

TEST_CASE("at most half of the ready replicas are ejected, and never the last") {
    deployment alone;
    alone.update(of({"a"}), no_cap);
    CHECK(end_at(alone, "a", outcome::failed, 50));
    CHECK(standings_in(alone) == table{{"a", "ready"}});

    deployment three;
    three.update({settings_of("a"), settings_of("b"), settings_of("c"), unreachable("d")}, no_cap);
    eject(three, "a");
    CHECK(end_at(three, "b", outcome::failed, 50));
    CHECK(end_at(three, "c", outcome::failed, 50));
    CHECK(standings_in(three)["b"] == "ready");
    CHECK(standings_in(three)["c"] == "ready");

    deployment four;
    four.update(of({"a", "b", "c", "d"}), no_cap);
    eject(four, "a");
    eject(four, "b");
    CHECK(end_at(four, "c", outcome::failed, 50));
    CHECK(end_at(four, "d", outcome::failed, 50));
    // One who is on trial is out, too.
    pass(four, start, first_ejection);
    CHECK(standings_in(four)["a"] == "half_open");
    CHECK(end_at(four, "c", outcome::failed, 50));
    CHECK(standings_in(four)["c"] == "ready");
    // Once somebody is back there is room for another.
    REQUIRE(end_at(four, "a", outcome::answered));
    REQUIRE(end_at(four, "c", outcome::failed));
    CHECK(standings_in(four)["c"] == "ejected");
}

TEST_CASE("who is ejected is used again when all others are gone") {
    deployment blue;
    blue.update(of({"a", "b"}), no_cap);
    eject(blue, "a");
    SECTION("by a reload") { blue.update({settings_of("a"), unreachable("b")}, no_cap); }
    SECTION("by probes") { blue.set_unready(id_of(blue, "b")); }
    CHECK(standings_in(blue)["a"] == "half_open");
    CHECK(name_of(take(blue)) == "a");
    // And its trial cannot eject it: it is the last.
    REQUIRE(end_at(blue, "a", outcome::failed, 3));
    CHECK(standings_in(blue)["a"] == "half_open");
}

TEST_CASE("what is told before the slot is given back counts at once, and once") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(8));
    std::vector<slot> held;
    for (unsigned i = 0; i < failures_to_eject; ++i) held.push_back(take_at(blue, "a"));
    for (auto& each : held) each.report(outcome::failed);
    CHECK(standings_in(blue)["a"] == "ejected");
    CHECK(in_flight(blue)["a"] == failures_to_eject);
    held.clear();
    CHECK(in_flight(blue)["a"] == 0);
}

TEST_CASE("a reload keeps health; another address is another chance") {
    deployment blue;
    blue.update({settings_of("a", 5001), settings_of("b")}, no_cap);
    eject(blue, "a");
    blue.update({settings_of("b"), settings_of("a", 5001), settings_of("c")}, no_cap);
    CHECK(standings_in(blue) == table{{"a", "ejected"}, {"b", "ready"}, {"c", "ready"}});
    blue.update({settings_of("b"), settings_of("a", 5002), settings_of("c")}, no_cap);
    CHECK(standings_in(blue)["a"] == "ready");
}

TEST_CASE("a probed replica is used once it is ready; who came before waits for it") {
    deployment blue;
    caller who, refused;
    blue.update(of({"a"}), probed(1));
    CHECK(standings_in(blue) == table{{"a", "starting"}});
    CHECK(blue.look().slots == 0u);
    CHECK(ask(blue, who) == "queued");
    CHECK(ask(blue, refused) == "queue_full"); // as many wait as there are slots
    CHECK(blue.full());
    const auto now = blue.reserve_now(start);
    REQUIRE_FALSE(now);
    CHECK(now.error().kind == fault::no_ready_replica);
    blue.set_ready(id_of(blue, "a"));
    REQUIRE(who.wakes == 1);
    CHECK(name_of(who.take()) == "a");
    CHECK(blue.look().slots == 1u);
}

TEST_CASE("without a cap, too, there is a queue for a replica that starts") {
    deployment blue;
    std::vector<caller> callers(waiters_without_cap + 1);
    blue.update(of({"a"}), probed(std::nullopt));
    for (std::size_t i = 0; i < waiters_without_cap; ++i) REQUIRE(ask(blue, callers[i]) == "queued");
    CHECK(ask(blue, callers.back()) == "queue_full");
    blue.set_ready(id_of(blue, "a"));
    for (std::size_t i = 0; i < waiters_without_cap; ++i) CHECK(callers[i].wakes == 1);
    for (auto& each : callers) each.take().release();
    CHECK(in_flight(blue) == counts{{"a", 0}});
}

TEST_CASE("when probes find all replicas unready there is none ready") {
    deployment blue;
    caller who;
    blue.update(of({"a", "b"}), probed(1));
    blue.set_ready(id_of(blue, "a"));
    blue.set_unready(id_of(blue, "b"));
    CHECK(ask(blue, who) == "a"); // and gives it back
    blue.set_unready(id_of(blue, "a"));
    CHECK(ask(blue, who) == "no_ready_replica");
    CHECK_FALSE(blue.full());
    blue.set_ready(id_of(blue, "b"));
    CHECK(ask(blue, who) == "b");
    blue.set_ready(1'000'000'000); // nobody has it
    blue.update(of({"a", "b"}), allow(1));
    CHECK(standings_in(blue) == table{{"a", "ready"}, {"b", "ready"}}); // no more probes, no more verdicts
}

TEST_CASE("a probe that fails takes an ejected replica out, one that succeeds does not bring it in") {
    deployment blue;
    blue.update(of({"a", "b"}), probed(4));
    for (const auto* each : {"a", "b"}) blue.set_ready(id_of(blue, each));
    eject(blue, "a");
    blue.set_ready(id_of(blue, "a"));
    CHECK(standings_in(blue)["a"] == "ejected");
    blue.set_unready(id_of(blue, "a"));
    CHECK(standings_in(blue)["a"] == "unready");
    pass(blue, start, 2 * first_ejection);
    CHECK(standings_in(blue)["a"] == "unready");
    blue.set_ready(id_of(blue, "a"));
    CHECK(standings_in(blue)["a"] == "ready");
}

TEST_CASE("a probe takes a slot of its own replica, and none when that is at its cap") {
    deployment blue;
    blue.update(of({"a", "b"}), probed(1));
    const auto a = id_of(blue, "a");
    {
        const auto probe = blue.reserve_for_probe(a); // also while it is starting
        REQUIRE(probe);
        CHECK(name_of(*probe) == "a");
        CHECK(in_flight(blue)["a"] == 1);
        CHECK_FALSE(blue.reserve_for_probe(a));
        blue.set_ready(a);
        CHECK_FALSE(blue.reserve_now(start)); // nobody else is at it meanwhile
    }
    const auto busy = take(blue);
    CHECK(name_of(busy) == "a");
    CHECK_FALSE(blue.reserve_for_probe(a));
    CHECK_FALSE(blue.reserve_for_probe(1'000'000'000));
    blue.update({unreachable("a")}, probed(1));
    CHECK_FALSE(blue.reserve_for_probe(a));
}

TEST_CASE("whole replies are told to the prober, once") {
    deployment blue;
    blue.update(of({"a"}), no_cap);
    CHECK_FALSE(blue.subjects().at(0).answered);
    for (const auto what : {outcome::answered, outcome::busy}) {
        REQUIRE(end_at(blue, "a", what));
        CHECK(blue.subjects().at(0).answered);
        CHECK_FALSE(blue.subjects().at(0).answered);
    }
    for (const auto what : {outcome::failed, outcome::untold}) {
        REQUIRE(end_at(blue, "a", what));
        CHECK_FALSE(blue.subjects().at(0).answered);
    }
}

TEST_CASE("a replica that joins others that are at work gets its share little by little") {
    deployment blue;
    blue.update(of({"a"}), no_cap);
    auto now = pass(blue, start, slow_start);
    blue.update(of({"a", "b"}), no_cap);
    const auto share_of_b = [&] { // of 110 requests at once
        std::vector<slot> held;
        for (int i = 0; i < 110; ++i) held.push_back(take(blue));
        return in_flight(blue)["b"];
    };
    CHECK(share_of_b() == 10);
    unsigned before = 10;
    for (int second = 1; second < 10; ++second) {
        now = pass(blue, now, 1s);
        const auto share = share_of_b();
        CHECK(share >= before);
        before = share;
    }
    pass(blue, now, 1s);
    CHECK(share_of_b() == 55);
}

TEST_CASE("replicas that come into use together share evenly from the first request") {
    deployment blue;
    blue.update(of({"a", "b"}), probed(std::nullopt));
    for (const auto* each : {"a", "b"}) blue.set_ready(id_of(blue, each));
    std::vector<slot> held;
    for (int i = 0; i < 100; ++i) held.push_back(take(blue));
    CHECK(in_flight(blue) == counts{{"a", 50}, {"b", 50}});
}

TEST_CASE("who avoids a replica gets another one, waits before everybody else for it, and passes nobody by") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(1, 10));
    auto a = take(blue), b = take(blue);
    REQUIRE(name_of(a) == "a");
    caller first, again;
    CHECK(ask(blue, first) == "queued");
    again.avoid(a.where());
    CHECK(ask(blue, again) == "queued");
    a.release(); // goes to the one who takes it, though the other stands before him
    CHECK(again.wakes == 0);
    REQUIRE(first.wakes == 1);
    CHECK(name_of(first.take()) == "a");
    caller newcomer;
    CHECK(ask(blue, newcomer) == "a"); // free again, and nobody who waits would have it
    b.release();
    REQUIRE(again.wakes == 1);
    CHECK(name_of(again.take()) == "b");
}

TEST_CASE("who avoids all that there are is told that none is ready, at once") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(1, 10));
    auto a = take(blue), b = take(blue);
    caller who;
    who.avoid(a.where());
    CHECK(ask(blue, who) == "queued");
    CHECK(blue.abandon(who));
    who.avoid(b.where());
    CHECK(ask(blue, who) == "no_ready_replica");
    const auto at_once = blue.reserve_now(start, &who);
    REQUIRE_FALSE(at_once);
    CHECK(at_once.error().kind == fault::no_ready_replica);
    a.release();
    CHECK(ask(blue, who) == "no_ready_replica");
    who.avoid_none();
    CHECK(ask(blue, who) == "a");
}

TEST_CASE("who avoids all that may be used gets one that is ejected, which is on trial then") {
    deployment blue;
    blue.update(of({"a", "b", "c"}), allow(1, 10));
    eject(blue, "a");
    caller who, next, last;
    const auto b = take_at(blue, "b"), c = take_at(blue, "c");
    who.avoid(b.where());
    CHECK(ask(blue, who) == "queued"); // there is c still
    CHECK(standings_in(blue)["a"] == "ejected");
    REQUIRE(blue.abandon(who));

    for (auto* each : {&who, &next, &last}) {
        each->avoid_none();
        each->avoid(b.where());
        each->avoid(c.where());
    }
    std::vector<slot> held;
    CHECK(ask(blue, who, &held) == "a");
    CHECK(standings_in(blue)["a"] == "half_open");
    CHECK(ask(blue, next) == "queued"); // one at a time
    CHECK(ask(blue, last) == "queued");
    SECTION("it answers") {
        held[0].release(outcome::answered);
        CHECK(standings_in(blue)["a"] == "ready");
    }
    SECTION("nobody knows") { held[0].release(outcome::untold); }
    REQUIRE(next.wakes == 1);
    CHECK(last.wakes == 0);
    next.take().release(outcome::answered);
    REQUIRE(last.wakes == 1);
    CHECK(name_of(last.take()) == "a");
}

TEST_CASE("without waiting, too, who avoids all others gets one that is ejected") {
    deployment blue;
    blue.update(of({"a", "b"}), no_cap);
    eject(blue, "a");
    caller who;
    who.avoid(take(blue).where());
    auto got = blue.reserve_now(start, &who);
    REQUIRE(got);
    CHECK(name_of(*got) == "a");
    got->release(outcome::failed);
    CHECK(standings_in(blue)["a"] == "ejected"); // it had its chance, and there is another one
    CHECK(name_of(take(blue)) == "b");
}

TEST_CASE("those who have been somewhere are served in the order in which they came back") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(1, 10));
    auto a = take(blue), b = take(blue);
    REQUIRE(name_of(a) == "a");
    caller newcomer, first, second;
    CHECK(ask(blue, newcomer) == "queued");
    first.avoid(a.where());
    second.avoid(a.where());
    CHECK(ask(blue, first) == "queued");
    CHECK(ask(blue, second) == "queued");
    b.release();
    REQUIRE(first.wakes == 1);
    CHECK(second.wakes == 0);
    first.take().release();
    REQUIRE(second.wakes == 1);
    CHECK(newcomer.wakes == 0);
    second.take().release();
    REQUIRE(newcomer.wakes == 1);
    newcomer.take().release();
}

TEST_CASE("who waits is served when an ejection ends") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(1, 10));
    eject(blue, "a");
    const auto b = take(blue);
    caller who, next;
    CHECK(ask(blue, who) == "queued");
    CHECK(ask(blue, next) == "queued");
    pass(blue, start, first_ejection);
    REQUIRE(who.wakes == 1);
    CHECK(next.wakes == 0);
    who.take().release(outcome::answered);
    REQUIRE(next.wakes == 1);
    CHECK(name_of(next.take()) == "a");
}

TEST_CASE("who is tried again waits in the order of arrival among his like") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(1, 10));
    auto a = take(blue), b = take(blue);
    caller newcomer, first, second;
    CHECK(ask(blue, newcomer) == "queued");
    for (auto* each : {&first, &second}) {
        each->avoid(a.where());
        CHECK(ask(blue, *each) == "queued");
    }
    b.release();
    CHECK(first.wakes == 1);
    first.take().release();
    CHECK(second.wakes == 1);
    second.take().release();
    CHECK(newcomer.wakes == 1);
    CHECK(name_of(newcomer.take()) == "b");
}

TEST_CASE("what was sent before an ejection is no trial: it neither keeps one off nor decides it") {
    deployment blue;
    blue.update(of({"a", "b"}), allow(8));
    auto old = take_at(blue, "a"), older = take_at(blue, "a");
    eject(blue, "a");
    pass(blue, start, first_ejection);
    REQUIRE(standings_in(blue)["a"] == "half_open");
    auto trial = take_at(blue, "a");
    REQUIRE(trial);
    CHECK_FALSE(take_at(blue, "a"));
    old.release(outcome::answered);
    CHECK(standings_in(blue)["a"] == "half_open");
    older.release(outcome::failed);
    CHECK(standings_in(blue)["a"] == "half_open");
    CHECK_FALSE(take_at(blue, "a"));
    trial.release(outcome::answered);
    CHECK(standings_in(blue)["a"] == "ready");
}

TEST_CASE("a replica that comes back without probes is not kept out by what they once found") {
    deployment blue;
    blue.update(of({"a"}), probed(1));
    auto probe = blue.reserve_for_probe(id_of(blue, "a"));
    REQUIRE(probe);
    blue.set_unready(id_of(blue, "a"));
    blue.update({}, probed(1));
    blue.update(of({"a"}), allow(1));
    CHECK(standings_in(blue)["a"] == "ready");
}

TEST_CASE("replicas that somebody else has been using are used at once; probes may object") {
    deployment blue;
    auto taken_over = probed(1);
    taken_over.assumed_ready = true;
    blue.update(of({"a"}), taken_over);
    CHECK(standings_in(blue)["a"] == "ready");
    blue.update(of({"a", "b"}), probed(1));
    CHECK(standings_in(blue) == table{{"a", "ready"}, {"b", "starting"}});
    blue.set_unready(id_of(blue, "a"));
    CHECK(standings_in(blue)["a"] == "unready");
}

TEST_CASE("after a time without any, replicas come into use together again") {
    deployment blue;
    blue.update(of({"a", "b"}), probed(std::nullopt));
    for (const auto* each : {"a", "b"}) blue.set_ready(id_of(blue, each));
    auto now = pass(blue, start, slow_start);
    for (const auto* each : {"a", "b"}) blue.set_unready(id_of(blue, each));
    now = pass(blue, now, 1s);
    for (const auto* each : {"a", "b"}) blue.set_ready(id_of(blue, each));
    std::vector<slot> held;
    for (int i = 0; i < 100; ++i) held.push_back(take(blue));
    CHECK(in_flight(blue) == counts{{"a", 50}, {"b", 50}});
}
