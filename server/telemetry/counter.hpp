// The numbers behind /metrics: one core writes each of them, any thread reads. A relaxed load and a relaxed store
// compile to a plain add without a lock prefix, which is only right because nobody else writes; a reader may be a
// request behind.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace scoregate::telemetry {

// Only ever grows.
class counter {
public:
    void add(std::uint64_t n = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

// A current amount. Signed: with one gauge per core only the sum over cores need be positive.
class gauge {
public:
    void add(std::int64_t n = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void sub(std::int64_t n = 1) noexcept { add(-n); }
    std::int64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::int64_t> value_{0};
};

// Upper bounds of a histogram's buckets, each included in its bucket (Prometheus `le`); one more bucket takes the rest.
using bucket_bounds = std::array<std::chrono::nanoseconds, 16>;

// 1 ms .. 300 s: what a request takes, model included.
inline constexpr bucket_bounds request_bounds = [] {
    using namespace std::chrono_literals;
    return bucket_bounds{1ms, 2500us, 5ms, 10ms, 25ms, 50ms, 100ms, 250ms, 500ms, 1s, 2500ms, 5s, 10s, 30s, 100s, 300s};
}();

// 10 us .. 1 s: what scoregate itself adds, nearly all of which would share the first bucket above.
inline constexpr bucket_bounds overhead_bounds = [] {
    using namespace std::chrono_literals;
    return bucket_bounds{10us, 20us, 50us, 75us, 100us, 150us, 200us, 500us,
                         1ms,  2ms,  5ms,  10ms, 50ms,  100ms, 500ms, 1s};
}();

class histogram {
public:
    // Not cumulative; the last count is of what is over every bound. Several cores' histograms are added up in one.
    struct reading {
        std::array<std::uint64_t, std::tuple_size_v<bucket_bounds> + 1> counts{};
        std::chrono::nanoseconds sum{0};
    };

    // `bounds` ascend and outlive the histogram.
    explicit histogram(const bucket_bounds& bounds = request_bounds) noexcept : bounds_(&bounds) {}

    // A negative duration (a clock read out of order) counts as zero.
    void observe(std::chrono::nanoseconds took) noexcept {
        took = std::max(took, std::chrono::nanoseconds{0});
        const auto bucket = std::lower_bound(bounds_->begin(), bounds_->end(), took) - bounds_->begin();
        counts_[static_cast<std::size_t>(bucket)].add();
        sum_.add(static_cast<std::uint64_t>(took.count()));
    }

    void add_to(reading& total) const noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i) total.counts[i] += counts_[i].value();
        total.sum += std::chrono::nanoseconds{sum_.value()};
    }

    const bucket_bounds& bounds() const noexcept { return *bounds_; }

private:
    const bucket_bounds* bounds_;
    std::array<counter, std::tuple_size_v<bucket_bounds> + 1> counts_;
    counter sum_; // nanoseconds; 584 years
};

} // namespace scoregate::telemetry
