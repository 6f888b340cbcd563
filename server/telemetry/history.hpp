// What the last 15 minutes were like, service by service: the difference of what is counted (service_metrics), taken
// every 5 s. Decides and adds up, knows no clock and no JSON. Control thread; what it reads the cores go on writing.
//
// Memory: a sample is 88 bytes, so 180 samples of 100 services and of what no service took are 1.6 MB at most; besides,
// 168 bytes for each deployment of these services. Services beyond 100 are left out, and how many is told.
#pragma once

#include "telemetry/counter.hpp"
#include "telemetry/service_metrics.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace scoregate::telemetry {

// How long the faster `part` (0..1) took at most, as Prometheus' histogram_quantile estimates it: evenly spread within
// a bucket; what is over every bound counts as the last of them. Empty: nothing was counted.
std::optional<std::chrono::nanoseconds> quantile(const histogram::reading&, const bucket_bounds&, double part);

class history {
public:
    using clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds interval{5};
    static constexpr std::size_t most_samples = 180, most_services = 100; // the latter with a name

    // A deployment, or a service as a whole.
    struct source {
        const service_metrics* of;
        std::uint64_t queued = 0; // requests that wait there now
    };

    // Of one service in one interval. Errors are the replica's or scoregate's own, client errors the client's; what
    // a model answers by itself counts by its status.
    struct sample {
        std::array<std::uint32_t, std::tuple_size_v<bucket_bounds> + 1> durations{};
        std::uint32_t requests = 0, errors = 0, client_errors = 0; // that ended
        std::uint32_t queued = 0, in_flight = 0;                   // at its end

        void add_to(histogram::reading& total) const;
    };
    using samples = std::deque<sample>; // the oldest first

    struct summary {
        std::chrono::duration<double> length{0};
        std::uint64_t requests = 0, errors = 0, client_errors = 0;
        std::optional<std::chrono::nanoseconds> p50, p99;
        std::uint32_t queued = 0;    // the most at the end of any interval
        std::uint32_t in_flight = 0; // at the end of the last

        double rate() const { return length.count() > 0 ? static_cast<double>(requests) / length.count() : 0; }
    };

    // Nothing has been counted before `began`.
    explicit history(clock::time_point began) : last_at_(began) {}

    // Ends an interval. What is not among `sources` any more is forgotten; what is new there began in this interval.
    void observe(std::span<const source> sources, clock::time_point now);

    // Of the last sample; they are numbered from 1 on.
    std::uint64_t turn() const { return turn_; }
    // By name; "": requests that no service took. Who came later has fewer samples: the last of all are of one time.
    const std::map<std::string, samples, std::less<>>& services() const { return services_; }
    // Of the intervals, the oldest first; as many as the longest of `services` has.
    const std::deque<clock::duration>& lengths() const { return lengths_; }
    std::size_t left_out() const { return left_out_; }

    // Of the last `count` samples of one of `services`.
    summary last(const samples& of, std::size_t count) const;

private:
    struct totals {
        histogram::reading durations;
        std::uint64_t requests = 0, errors = 0, client_errors = 0;
    };

    static totals read(const service_metrics&);
    void choose(std::span<const source> sources);

    clock::time_point last_at_;
    std::uint64_t turn_ = 0;
    std::map<std::string, samples, std::less<>> services_;
    std::map<std::pair<std::string, std::string>, totals> before_; // by service and deployment
    std::deque<clock::duration> lengths_;
    std::size_t left_out_ = 0;
};

} // namespace scoregate::telemetry
