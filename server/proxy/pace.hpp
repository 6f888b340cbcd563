// Whether a peer keeps a rate, over windows of 10 s of waiting for it: time in which it is not waited for is not its
// own. Plain arithmetic, no clock; one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace scoregate::proxy {

class pace {
public:
    using duration = std::chrono::steady_clock::duration;
    static constexpr std::chrono::seconds window{10};

    pace() = default;
    // What has moved beyond the rate counts for the windows after it, up to `most_ahead` bytes; as if `ahead` had
    // already.
    pace(std::uint64_t most_ahead, std::uint64_t ahead) : most_ahead_(most_ahead), bytes_(ahead) {}

    // So many bytes have moved; for so long they were waited for.
    void add(std::uint64_t bytes, duration waited) {
        bytes_ += bytes;
        waited_ += waited;
    }
    // True once a window is over in which it was slower than `rate`, in bytes/s; the next begins then. 0: no rate.
    bool too_slow(std::uint32_t rate) {
        if (waited_ < window) return false;
        const auto wanted = static_cast<std::uint64_t>(rate * std::chrono::duration<double>(waited_).count());
        const bool slow = bytes_ < wanted;
        bytes_ = slow ? 0 : std::min(bytes_ - wanted, most_ahead_);
        waited_ = {};
        return slow;
    }
    // Of the window, rounded up.
    std::chrono::milliseconds left() const {
        return std::chrono::ceil<std::chrono::milliseconds>(std::max<duration>(window - waited_, duration{}));
    }

private:
    std::uint64_t most_ahead_ = 0, bytes_ = 0;
    duration waited_{};
};

} // namespace scoregate::proxy
