// What admission costs a request: reserve() and release() with a free slot by the number of replicas, with two cores at
// once, and when the slot is handed over to who waits. Prints nanoseconds per request, median and spread over rounds:
// CPU time of the one thread that works, wall time where two do.
#include "routing/deployment.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace scoregate;
using namespace scoregate::routing;

namespace {

constexpr int rounds = 31, times = 50'000;

const auto now = std::chrono::steady_clock::now();

std::vector<replica_settings> replicas(unsigned count) {
    std::vector<replica_settings> all;
    for (unsigned i = 0; i < count; ++i)
        all.push_back(
            {"http://model-" + std::to_string(i) + ":5001", {{base::asio::ip::address_v4::loopback(), 5001}}});
    return all;
}

// A request that finds a free slot, from head to end.
void pass(deployment& through) {
    waiter who([](waiter&) noexcept {});
    const auto answer = through.reserve(who, now);
    if (!std::holds_alternative<slot>(answer)) std::abort();
}

double nanoseconds_of(clockid_t clock) {
    timespec at{};
    clock_gettime(clock, &at);
    return static_cast<double>(at.tv_sec) * 1e9 + static_cast<double>(at.tv_nsec);
}

void report(const char* what, const std::function<double()>& nanoseconds_each) {
    std::vector<double> all;
    for (int round = 0; round < rounds; ++round) all.push_back(nanoseconds_each());
    std::sort(all.begin(), all.end());
    std::printf("%-58s %6.0f ns  (%.0f .. %.0f)\n", what, all[all.size() / 2], all.front(), all.back());
}

template <class Work>
double cpu_time_each(Work work) {
    const auto start = nanoseconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < times; ++i) work();
    return (nanoseconds_of(CLOCK_THREAD_CPUTIME_ID) - start) / times;
}

// `busy` replicas have one request each; `cap` as in max_concurrent_requests_per_instance.
void alone(const char* what, unsigned count, unsigned busy, std::optional<unsigned> cap) {
    deployment one;
    one.update(replicas(count), {cap, {}});
    std::vector<slot> held;
    for (unsigned i = 0; i < busy; ++i) held.push_back(std::move(*one.reserve_now(now)));
    report(what, [&] { return cpu_time_each([&] { pass(one); }); });
}

// Per request of both together: half of what each one sees. Long enough that starting two threads does not matter.
double two_cores_each(deployment& shared) {
    constexpr int longer = 10 * times;
    const auto work = [&] {
        for (int i = 0; i < longer; ++i) pass(shared);
    };
    const auto start = nanoseconds_of(CLOCK_MONOTONIC);
    std::thread one(work), other(work);
    one.join();
    other.join();
    return (nanoseconds_of(CLOCK_MONOTONIC) - start) / (2.0 * longer);
}

// Always one running and one waiting: join the queue, free the slot, be woken, take it.
double hand_over_each(deployment& saturated) {
    struct counted : waiter {
        counted() : waiter([](waiter& who) noexcept { ++static_cast<counted&>(who).wakes; }) {}
        int wakes = 0;
    } who;
    auto running = std::move(*saturated.reserve_now(now));
    const auto cost = cpu_time_each([&] {
        if (!std::holds_alternative<queued>(saturated.reserve(who, now))) std::abort();
        running.release();
        running = who.take();
    });
    if (who.wakes != times) std::abort();
    return cost;
}

} // namespace

int main() {
    std::printf("%d rounds of %d\n", rounds, times);
    alone("1 replica, idle", 1, 0, 1);
    alone("8 replicas, idle", 8, 0, 1);
    alone("64 replicas, idle", 64, 0, 1);
    alone("64 replicas, 63 busy, one slot each", 64, 63, 1);
    alone("64 replicas, all busy, no cap: the whole search", 64, 64, {});
    for (const unsigned count : {1u, 64u}) {
        deployment shared;
        shared.update(replicas(count), {2, {}});
        const auto what = "two cores at once, " + std::to_string(count) + " replica(s), per request of both";
        report(what.c_str(), [&] { return two_cores_each(shared); });
    }
    for (const unsigned count : {1u, 64u}) {
        deployment saturated;
        saturated.update(replicas(count), {1, {}});
        std::vector<slot> others;
        for (unsigned i = 1; i < count; ++i) others.push_back(std::move(*saturated.reserve_now(now)));
        const auto what = "queued and handed over, " + std::to_string(count) + " replica(s)";
        report(what.c_str(), [&] { return hand_over_each(saturated); });
    }
}
