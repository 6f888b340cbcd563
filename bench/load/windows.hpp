// Percentiles of short windows of one measurement, and their median: what is usual. A machine that stands still for a
// few milliseconds twice a second decides the p99 of the whole, but spoils only the windows that it happens in. What a
// server does in more than half of the windows, this shows as well as the whole does.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace load {

class windows {
public:
    explicit windows(std::chrono::nanoseconds length) : length_(length) {}

    // `at`: when it was due, from the beginning of the measurement.
    void record(std::chrono::nanoseconds at, std::chrono::nanoseconds time) {
        const auto which = std::size_t(std::max<std::int64_t>(0, at / length_));
        if (which >= times_.size()) times_.resize(which + 1);
        times_[which].push_back(time);
    }

    // Those in which something was due.
    std::size_t count() const {
        return std::size_t(std::count_if(times_.begin(), times_.end(), [](const auto& each) { return !each.empty(); }));
    }

    // The median of the windows' percentiles, `share` 0..1; 0 where there are no windows.
    std::chrono::nanoseconds percentile(double share) const {
        std::vector<std::chrono::nanoseconds> found;
        for (auto each : times_)
            if (!each.empty()) found.push_back(of(each, share));
        return found.empty() ? std::chrono::nanoseconds(0) : of(found, 0.5);
    }

private:
    static std::chrono::nanoseconds of(std::vector<std::chrono::nanoseconds>& times, double share) {
        const auto rank = std::max<std::ptrdiff_t>(1, std::ptrdiff_t(std::ceil(share * double(times.size()))));
        const auto chosen = times.begin() + (rank - 1);
        std::nth_element(times.begin(), chosen, times.end());
        return *chosen;
    }

    std::chrono::nanoseconds length_;
    std::vector<std::vector<std::chrono::nanoseconds>> times_;
};

} // namespace load
