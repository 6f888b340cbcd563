#include "telemetry/trace_log.hpp"

#include <catch2/catch.hpp>

#include <limits>
#include <string>
#include <thread>

using namespace scoregate::telemetry;

namespace {

std::unique_ptr<const trace> named(std::string name) {
    auto made = std::make_unique<trace>();
    made->request_id = std::move(name);
    return made;
}

std::string names(const trace_log::traces& all) {
    std::string text;
    for (const auto& each : all) text += each->request_id + " ";
    return text;
}

constexpr auto most_drawn = std::numeric_limits<std::uint64_t>::max();

} // namespace

TEST_CASE("a ratio says how many of the numbers that may be drawn are taken") {
    CHECK_FALSE(trace_sampler(0).takes(0));
    CHECK_FALSE(trace_sampler(0).takes(most_drawn));
    CHECK(trace_sampler(1).takes(0));
    CHECK(trace_sampler(1).takes(most_drawn));
    CHECK(trace_sampler(0.5).takes(most_drawn / 2));
    CHECK_FALSE(trace_sampler(0.5).takes(most_drawn / 2 + 1));
    CHECK(trace_sampler(0.25).takes(most_drawn / 4));
    CHECK_FALSE(trace_sampler(0.25).takes(most_drawn / 4 + 1));
    CHECK(trace_sampler(1e-9).takes(0));
    CHECK_FALSE(trace_sampler(1e-9).takes(most_drawn / 1000));
}

TEST_CASE("traces of all cores are fetched in the order they were handed over, so many at a time") {
    trace_log log(trace_log::options{.cores = 2});
    log.at(0).write(named("a"));
    log.at(1).write(named("b"));
    log.at(0).write(named("c"));
    CHECK(log.take(10).empty()); // not handed over yet
    log.at(1).flush();
    log.at(0).flush();
    CHECK(names(log.take(2)) == "b a ");
    log.at(1).write(named("d"));
    log.at(1).flush();
    CHECK(names(log.take(10)) == "c d ");
    CHECK(log.take(10).empty());
    CHECK(log.dropped() == 0);
}

TEST_CASE("a core that collects too many between two ticks drops the later ones") {
    trace_log log(trace_log::options{.most_of_core = 2});
    for (const auto* each : {"a", "b", "c"}) log.at(0).write(named(each));
    CHECK(log.dropped() == 1);
    log.at(0).flush();
    CHECK(names(log.take(10)) == "a b ");
    log.at(0).write(named("d"));
    log.at(0).flush();
    CHECK(names(log.take(10)) == "d ");
    CHECK(log.dropped() == 1);
}

TEST_CASE("an exporter that fetches none leaves the oldest, and the rest is counted") {
    trace_log log(trace_log::options{.cores = 2, .most_waiting = 3});
    for (const auto* each : {"a", "b"}) log.at(0).write(named(each));
    for (const auto* each : {"c", "d"}) log.at(1).write(named(each));
    log.at(0).flush();
    log.at(1).flush();
    CHECK(log.dropped() == 1);
    CHECK(names(log.take(10)) == "a b c ");
    log.lost(2);
    log.exported(1);
    CHECK(log.dropped() == 3);
    CHECK(log.exported() == 1);
}

TEST_CASE("what was taken waits until it is known what became of it") {
    trace_log log({});
    for (int i = 0; i < 3; ++i) log.at(0).write(std::make_unique<trace>());
    log.at(0).flush();
    CHECK(log.waiting() == 3);
    CHECK(log.take(2).size() == 2);
    CHECK(log.waiting() == 3);
    log.exported(1);
    log.lost(1);
    CHECK(log.waiting() == 1);
}

TEST_CASE("every trace of cores that race with the exporter is fetched or counted") {
    constexpr unsigned cores = 2, each = 20000;
    trace_log log(trace_log::options{.cores = cores, .most_waiting = 100});
    std::vector<std::thread> threads;
    for (unsigned core = 0; core < cores; ++core)
        threads.emplace_back([&log, core] {
            for (unsigned i = 0; i < each; ++i) {
                log.at(core).write(named("x"));
                if (i % 16 == 0) log.at(core).flush();
            }
            log.at(core).flush();
        });
    std::uint64_t fetched = 0;
    while (fetched + log.dropped() < cores * each) fetched += log.take(50).size();
    for (auto& thread : threads) thread.join();
    CHECK(fetched + log.dropped() == cores * each);
}
