// Which of many alike are kept: one in so many. One core's; its thread only.
#pragma once

#include <cstdint>

namespace scoregate::telemetry {

// Of each group of `one_in` in a row exactly one is kept, at a random place: each has the same chance, whatever pattern
// they come in (every n-th would always hit the same one of n services that are asked in turns), and the number that
// are kept times `one_in` is what there was, but for the last group.
class sampler {
public:
    sampler(std::uint32_t one_in, std::uint64_t seed) : one_in_(one_in), state_(seed), kept_(draw()) {}

    bool keep() {
        if (one_in_ == 1) return true;
        const bool kept = place_ == kept_;
        if (++place_ == one_in_) {
            place_ = 0;
            kept_ = draw();
        }
        return kept;
    }

private:
    // SplitMix64, to a place of a group. `one_in` is so much less than 2^64 that the remainder is even enough.
    std::uint32_t draw() {
        auto mixed = state_ += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return static_cast<std::uint32_t>((mixed ^ (mixed >> 31)) % one_in_);
    }

    std::uint32_t one_in_; // at least 1
    std::uint64_t state_;
    std::uint32_t place_ = 0; // in the group
    std::uint32_t kept_;
};

} // namespace scoregate::telemetry
