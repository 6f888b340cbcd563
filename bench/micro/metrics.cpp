// What metrics cost a request: all that one which succeeds writes into them, of one service and of many in turn, and
// with the rarest of many pairs of status and fault. The clock is read for deadlines and the log anyway. Prints
// nanoseconds of CPU time per request, median and spread over rounds; then what a scrape costs, which no request pays.
#include "telemetry/registry.hpp"
#include "telemetry/service_metrics.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;

namespace {

constexpr int rounds = 31;

double nanoseconds_spent() {
    timespec at{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return static_cast<double>(at.tv_sec) * 1e9 + static_cast<double>(at.tv_nsec);
}

void report(const char* what, int times, const std::function<void(int)>& work) {
    std::vector<double> all;
    for (int round = 0; round < rounds; ++round) {
        const auto start = nanoseconds_spent();
        for (int i = 0; i < times; ++i) work(i);
        all.push_back((nanoseconds_spent() - start) / times);
    }
    std::sort(all.begin(), all.end());
    std::printf("%-48s %10.1f ns  (%.1f .. %.1f)\n", what, all[all.size() / 2], all.front(), all.back());
}

// As proxy::exchange counts: once for the service and then for the deployment in flight, the rest when it has ended.
void count(service_metrics& whole, service_metrics& blue, base::fault fault, std::uint16_t status, int turn) {
    whole.at(0).in_flight.add();
    whole.at(0).in_flight.sub();
    auto& seen = blue.at(0);
    seen.in_flight.add();
    seen.in_flight.sub();
    seen.requests.add(fault, status);
    seen.request_duration.observe(1ms + std::chrono::microseconds{turn % 64 * 100});
    seen.bytes_in.add(700);
    seen.bytes_out.add(400);
    seen.time_to_first_byte.observe(1ms + std::chrono::microseconds{turn % 64 * 90});
    seen.overhead.observe(std::chrono::nanoseconds{20'000 + turn % 64 * 1000});
}

std::vector<std::unique_ptr<service_metrics>> made(std::size_t number, const std::string& deployment) {
    std::vector<std::unique_ptr<service_metrics>> all;
    for (std::size_t i = 0; i < number; ++i)
        all.push_back(std::make_unique<service_metrics>("service-" + std::to_string(i), deployment, 1U));
    return all;
}

} // namespace

int main() {
    for (const std::size_t number : {std::size_t{1}, std::size_t{1000}}) {
        const auto wholes = made(number, ""), blues = made(number, "blue");
        const auto what = std::to_string(number) + " service(s) in turn";
        report(what.c_str(), 100'000, [&](int turn) {
            const auto which = static_cast<std::size_t>(turn) % number;
            count(*wholes[which], *blues[which], base::fault::none, 200, turn);
        });
        std::vector<const service_metrics*> all;
        all.reserve(blues.size());
        for (const auto& each : blues) all.push_back(each.get());
        const auto scrape = "a scrape of " + std::to_string(number) + " deployment(s)";
        std::size_t bytes = 0;
        report(scrape.c_str(), 3, [&](int) { bytes += prometheus_text({.services = all}).size(); });
        if (bytes == 0) return 1;
    }
    service_metrics whole("iris", "", 1), blue("iris", "blue", 1);
    for (std::uint16_t status = 200; status < 230; ++status) blue.at(0).requests.add(base::fault::none, status);
    report("the 31st pair of status and fault", 100'000,
           [&](int turn) { count(whole, blue, base::fault::client_gone, 499, turn); });
}
