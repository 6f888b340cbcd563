// Times by their size, in bounded memory: each power of two is cut into 128 buckets, so that a percentile is within
// half a percent of the truth. From 0 to an hour; what is longer counts as an hour. The greatest is kept exactly.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <vector>

namespace load {

class histogram {
public:
    // A negative time counts as 0.
    void record(std::chrono::nanoseconds time) {
        const auto value = std::clamp<std::int64_t>(time.count(), 0, longest);
        ++buckets_[bucket(std::uint64_t(value))];
        ++count_;
        max_ = std::max(max_, value);
    }

    // The smallest time that a share of at least `share` (0..1) of all does not exceed; 0 where there are none.
    std::chrono::nanoseconds percentile(double share) const {
        auto rank = std::max<std::int64_t>(1, std::int64_t(std::ceil(share * double(count_))));
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            rank -= std::int64_t(buckets_[i]);
            if (rank <= 0) return std::chrono::nanoseconds(std::min(middle(i), max_));
        }
        return std::chrono::nanoseconds(0);
    }

    std::chrono::nanoseconds max() const { return std::chrono::nanoseconds(max_); }
    std::uint64_t count() const { return count_; }

private:
    static constexpr int fine_bits = 7; // 128 buckets for each power of two
    static constexpr std::uint64_t fine = 1U << fine_bits;
    static constexpr std::int64_t longest = std::int64_t(3600) * 1'000'000'000;

    // Values below 2 * 128 have a bucket each; of the others the highest eight bits choose it.
    static constexpr std::size_t bucket(std::uint64_t value) {
        const int shift = std::max(0, int(std::bit_width(value)) - fine_bits - 1);
        return std::size_t(shift) * fine + (value >> shift);
    }

    static std::int64_t middle(std::size_t index) {
        if (index < 2 * fine) return std::int64_t(index);
        const auto shift = index / fine - 1;
        const auto lowest = (index - shift * fine) << shift;
        return std::int64_t(lowest + ((std::uint64_t(1) << shift) >> 1));
    }

    std::vector<std::uint64_t> buckets_ = std::vector<std::uint64_t>(bucket(longest) + 1);
    std::uint64_t count_ = 0;
    std::int64_t max_ = 0;
};

} // namespace load
