#include "routing/deployment.hpp"
#include "support/results.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace scoregate;
using namespace scoregate::routing;

namespace {

base::tcp::endpoint address_of(unsigned short port) { return {base::asio::ip::address_v4::loopback(), port}; }

replica_settings settings_of(const std::string& name, unsigned short port = 5001, bool resolved = true) {
    replica_settings made;
    made.url = "http://" + name;
    if (resolved) made.addresses.push_back(address_of(port));
    return made;
}

std::vector<replica_settings> of(const std::vector<std::string>& names) {
    std::vector<replica_settings> all;
    for (const auto& name : names) all.push_back(settings_of(name));
    return all;
}

slot take(deployment& from) {
    auto reserved = from.reserve();
    REQUIRE(reserved);
    return std::move(*reserved);
}

std::string name_of(const slot& held) { return held.where().url.substr(7); }

std::map<std::string, unsigned> in_flight(const deployment& of) {
    std::map<std::string, unsigned> all;
    for (const auto& each : of.states()) all[each.url.substr(7)] = each.in_flight;
    return all;
}

using counts = std::map<std::string, unsigned>;

} // namespace

TEST_CASE("the replica with the fewest requests in flight gets the next") {
    deployment blue;
    blue.update(of({"a", "b", "c"}));
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
    blue.update(of({"a", "b", "c"}));
    std::string order;
    for (int i = 0; i < 6; ++i) order += name_of(take(blue)); // each is released at once
    CHECK(order == "abcabc");

    std::vector<slot> held;
    for (int i = 0; i < 3; ++i) held.push_back(take(blue));
    order.clear();
    for (int i = 0; i < 6; ++i) order += name_of(take(blue));
    CHECK(order == "abcabc");
}

TEST_CASE("those that tie share evenly, also beside a busy or an unreachable one") {
    deployment blue;
    blue.update(of({"a", "b", "c"}));
    const auto busy = take(blue);
    REQUIRE(name_of(busy) == "a");
    std::string order;
    for (int i = 0; i < 6; ++i) order += name_of(take(blue));
    CHECK(order == "bcbcbc");

    deployment green;
    green.update({settings_of("a", 1, false), settings_of("b"), settings_of("c")});
    order.clear();
    for (int i = 0; i < 6; ++i) order += name_of(take(green));
    CHECK(order == "bcbcbc");
}

TEST_CASE("without a replica that resolves there is none ready") {
    deployment blue;
    REQUIRE_FALSE(blue.reserve());
    CHECK(blue.reserve().error().kind == base::fault::no_ready_replica);
    blue.update({settings_of("a", 1, false), settings_of("b", 1, false)});
    REQUIRE_FALSE(blue.reserve());
    CHECK_FALSE(blue.states().at(0).resolved);
    blue.update({settings_of("a", 1, false), settings_of("b")});
    CHECK(name_of(take(blue)) == "b");
    CHECK(blue.states().at(1).resolved);
}

TEST_CASE("a slot says where, moves, and frees itself once") {
    deployment blue;
    blue.update({settings_of("a:5001", 5001)});
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
    blue.update(of({"a", "b"}));
    const auto a = take(blue), b = take(blue), a2 = take(blue);
    const auto id = a.where().id;
    blue.update(of({"c", "a"}));
    CHECK(in_flight(blue) == counts{{"a", 2}, {"c", 0}});
    CHECK(a.where().id == id);
    const auto next = take(blue);
    CHECK(name_of(next) == "c");
    const auto after = take(blue);
    CHECK(name_of(after) == "c"); // 1 in flight there, 2 at a
}

TEST_CASE("a replica whose address has changed is another one") {
    deployment blue;
    blue.update({settings_of("a", 5001)});
    const auto old = take(blue);
    blue.update({settings_of("a", 5002)});
    CHECK(in_flight(blue) == counts{{"a", 0}});
    const auto fresh = take(blue);
    CHECK(fresh.where().id != old.where().id);
    CHECK(fresh.where().addresses == std::vector{address_of(5002)});
    CHECK(old.where().addresses == std::vector{address_of(5001)}); // still whole for who holds it
}

TEST_CASE("a removed replica gets nothing new and lives until its last slot") {
    deployment blue;
    blue.update(of({"a", "b"}));
    std::vector<slot> held;
    for (int i = 0; i < 4; ++i) held.push_back(take(blue));
    blue.update(of({"b"}));
    for (int i = 0; i < 4; ++i) CHECK(name_of(take(blue)) == "b");
    CHECK(in_flight(blue) == counts{{"b", 2}});
    for (auto& each : held) { // the sanitizers see it if one went too early
        CHECK_FALSE(each.where().url.empty());
        each.release();
    }
    CHECK(in_flight(blue) == counts{{"b", 0}});
    blue.update({});
    CHECK_FALSE(blue.reserve());
}

TEST_CASE("the same URL twice is two places") {
    deployment blue;
    blue.update(of({"a", "a"}));
    const auto one = take(blue), other = take(blue);
    CHECK(one.where().id != other.where().id);
    blue.update(of({"a", "a"}));
    CHECK(blue.states().at(0).in_flight == 1);
    CHECK(blue.states().at(1).in_flight == 1);
}

TEST_CASE("an identifier is never used again") {
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 3; ++i) {
        deployment blue;
        blue.update(of({"a", "b"}));
        CHECK(seen.insert(take(blue).where().id).second);
        CHECK(seen.insert(take(blue).where().id).second);
    }
}

// A deployment as one would write it without a thought for cost: a list, searched from behind the one chosen last.
TEST_CASE("at random, against a naive deployment") {
    struct naive {
        std::vector<std::pair<std::string, unsigned>> replicas; // name, in flight
        std::size_t next = 0;
        std::string reserve() {
            std::string chosen;
            std::size_t best = replicas.size();
            for (std::size_t i = 0; i < replicas.size(); ++i) {
                const auto at = (next + i) % replicas.size();
                if (best == replicas.size() || replicas[at].second < replicas[best].second) best = at;
            }
            if (best == replicas.size()) return "";
            ++replicas[best].second;
            next = (best + 1) % replicas.size();
            return replicas[best].first;
        }
    };
    std::mt19937 random(4711);
    for (int round = 0; round < 50; ++round) {
        deployment real;
        naive model;
        std::vector<slot> held;
        for (int step = 0; step < 400; ++step) {
            const auto dice = random() % 20;
            if (dice == 0) {
                std::vector<std::string> names;
                for (const char c : std::string("abcdef"))
                    if (random() % 2 == 0) names.emplace_back(1, c);
                std::shuffle(names.begin(), names.end(), random);
                real.update(of(names));
                naive updated;
                for (const auto& name : names) {
                    const auto old = std::find_if(model.replicas.begin(), model.replicas.end(),
                                                  [&](const auto& each) { return each.first == name; });
                    updated.replicas.emplace_back(name, old == model.replicas.end() ? 0 : old->second);
                }
                // Slots on replicas that went away count no more, not even if the same name comes back.
                for (auto& each : held)
                    if (each && std::find(names.begin(), names.end(), name_of(each)) == names.end()) each.release();
                model = updated;
            } else if (dice < 12) {
                auto reserved = real.reserve();
                const auto expected = model.reserve();
                REQUIRE(reserved.has_value() == !expected.empty());
                if (!reserved) continue;
                REQUIRE(name_of(*reserved) == expected);
                held.push_back(std::move(*reserved));
            } else if (!held.empty()) {
                std::swap(held[random() % held.size()], held.back());
                if (held.back())
                    for (auto& each : model.replicas)
                        if (each.first == name_of(held.back())) --each.second;
                held.pop_back();
            }
            counts expected;
            for (const auto& each : model.replicas) expected[each.first] = each.second;
            REQUIRE(in_flight(real) == expected);
        }
    }
}

TEST_CASE("many threads: no slot is lost or counted twice") {
    deployment blue;
    blue.update(of({"a", "b", "c"}));
    constexpr int threads = 4, turns = 5000;
    std::atomic<int> failed{0}, finished{0};
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
        all.emplace_back([&, t] {
            std::vector<slot> held;
            for (int i = 0; i < turns; ++i) {
                auto reserved = blue.reserve();
                if (!reserved)
                    ++failed;
                else {
                    if (reserved->where().url.empty()) ++failed;
                    held.push_back(std::move(*reserved));
                }
                if (held.size() > static_cast<std::size_t>(1 + (i + t) % 7)) held.erase(held.begin());
            }
            ++finished;
        });
    for (int i = 0; finished != threads; ++i) { // reloads meanwhile; a and b stay
        blue.update(of(i % 2 == 0 ? std::vector<std::string>{"b", "a", "d"} : std::vector<std::string>{"a", "b", "c"}));
        std::this_thread::yield();
    }
    for (auto& each : all) each.join();
    CHECK(failed == 0);
    for (const auto& each : blue.states()) CHECK(each.in_flight == 0);
    blue.update(of({"a", "b"}));
    CHECK(in_flight(blue) == counts{{"a", 0}, {"b", 0}});
}
