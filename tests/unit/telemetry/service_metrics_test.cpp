#include "telemetry/service_metrics.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <map>
#include <thread>
#include <utility>

using namespace scoregate;
using namespace scoregate::telemetry;

namespace {

using table = std::map<std::pair<base::fault, std::uint16_t>, std::uint64_t>;

table counts_of(const request_counts& seen) {
    table found;
    seen.for_each([&](base::fault fault, std::uint16_t status, std::uint64_t count) {
        CHECK(found.emplace(std::pair{fault, status}, count).second);
    });
    return found;
}

} // namespace

TEST_CASE("requests are counted exactly for every fault and status code") {
    request_counts seen;
    CHECK(counts_of(seen).empty());
    table expected;
    for (int round = 0; round < 3; ++round)
        for (std::size_t fault = 0; fault < base::fault_count; ++fault)
            for (std::uint16_t status = 100; status < 600; status += 7) {
                const auto times = (fault + status + static_cast<unsigned>(round)) % 3;
                for (std::size_t i = 0; i < times; ++i) seen.add(static_cast<base::fault>(fault), status);
                if (times) expected[{static_cast<base::fault>(fault), status}] += times;
            }
    CHECK(counts_of(seen) == expected);
}

TEST_CASE("a status of 0 with no fault is a pair like any other") {
    request_counts seen;
    seen.add(base::fault::none, 0);
    CHECK(counts_of(seen) == table{{{base::fault::none, 0}, 1}});
}

TEST_CASE("a reader sees whole pairs that only grow while a core counts") {
    request_counts seen;
    constexpr std::uint64_t rounds = 200;
    std::atomic<bool> done{false};
    std::thread core([&] {
        for (std::uint64_t i = 0; i < rounds; ++i)
            for (std::uint16_t status = 100; status < 600; ++status) seen.add(base::fault::none, status);
        done = true;
    });
    table before;
    bool sound = true;
    for (bool last = false; !last;) {
        last = done;
        table now;
        seen.for_each([&](base::fault fault, std::uint16_t status, std::uint64_t count) {
            sound = sound && fault == base::fault::none && status >= 100 && status < 600 && count != 0;
            now[{fault, status}] = count;
        });
        for (const auto& [pair, count] : before) sound = sound && now[pair] >= count;
        before = std::move(now);
    }
    core.join();
    CHECK(sound);
    CHECK(before.size() == 500);
    for (const auto& [pair, count] : before) CHECK(count == rounds);
}

TEST_CASE("each core has cache lines of its own") {
    service_metrics of("iris", "blue", 3);
    REQUIRE(of.cores().size() == 3);
    for (unsigned core = 0; core < 3; ++core) CHECK(reinterpret_cast<std::uintptr_t>(&of.at(core)) % 64 == 0);
    of.at(1).in_flight.add();
    CHECK(of.cores()[0].in_flight.value() == 0);
    CHECK(of.cores()[1].in_flight.value() == 1);
    CHECK(of.service() == "iris");
    CHECK(of.deployment() == "blue");
}
