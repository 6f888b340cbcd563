// Memory that the requests of all cores share: each takes what it needs of a common budget and gives it back. The
// budget is one atomic count; a share belongs to one request, on one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace scoregate::base {

class byte_budget {
public:
    // False, and nothing taken, if that would be more than `most` bytes together.
    bool take(std::uint64_t bytes, std::uint64_t most) {
        if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= most) return true;
        give_back(bytes);
        return false;
    }
    void give_back(std::uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
    std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> used_{0};
};

// What one request has taken. Gives it back by itself; the budget outlives it.
class byte_share {
public:
    byte_share() = default;
    ~byte_share() { give_back(); }
    byte_share(byte_share&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    byte_share& operator=(byte_share&& other) noexcept {
        if (this != &other) {
            give_back();
            of_ = std::exchange(other.of_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }

    std::uint64_t size() const { return size_; }
    // Takes more, so that it has `size` bytes; never less than it has. False if the budget has not so many.
    bool grow_to(std::uint64_t size, byte_budget& of, std::uint64_t most) {
        if (size <= size_) return true;
        if (!of.take(size - size_, most)) return false;
        of_ = &of;
        size_ = size;
        return true;
    }
    void give_back() {
        if (size_ != 0) of_->give_back(std::exchange(size_, 0));
    }

private:
    byte_budget* of_ = nullptr;
    std::uint64_t size_ = 0;
};

} // namespace scoregate::base
