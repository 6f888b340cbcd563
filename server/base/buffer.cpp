#include "base/buffer.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace scoregate::base {

namespace {

buffer_pool::bytes_ptr memory_of(std::size_t size) {
    void* const taken = size <= block_store::largest ? block_store::take(size) : std::malloc(size); // NOLINT
    if (taken == nullptr) throw std::bad_alloc();
    return buffer_pool::bytes_ptr(static_cast<char*>(taken));
}

} // namespace

// Room for all that may be kept: giving back never fails.
buffer_pool::buffer_pool() {
    bulk_.blocks.reserve(most_strides / bulk_block);
    long_.blocks.reserve(most_strides / long_block);
}

buffer_pool::block buffer_pool::take(std::size_t size, bool stride) {
    size = size <= small_block ? small_block : std::max(size, record_block);
    auto* const pooled = free_of(size);
    block taken{{}, size, stride};
    if (pooled == nullptr || pooled->blocks.empty())
        taken.bytes = memory_of(size);
    else {
        taken.bytes = std::move(pooled->blocks.back());
        pooled->blocks.pop_back();
        pooled->unused = std::min(pooled->unused, pooled->blocks.size());
    }
    ++lent_;
    if (stride) strides_lent_ += size;
    // A stride of one size leaves less for what is kept of the other.
    auto& other = pooled == &bulk_ ? long_ : bulk_;
    while (stride && strides_lent_ + kept() > most_strides && !other.blocks.empty()) {
        other.blocks.pop_back();
        other.unused = std::min(other.unused, other.blocks.size());
    }
    return taken;
}

void buffer_pool::give(block&& returned) {
    --lent_;
    if (returned.stride) strides_lent_ -= returned.size;
    if (auto* const pooled = free_of(returned.size)) {
        if (strides_lent_ + kept() + returned.size <= most_strides) pooled->blocks.push_back(std::move(returned.bytes));
    }
    returned = {};
}

void buffer_pool::release_unused() {
    const auto release = [](free_blocks& free, std::size_t few) {
        const auto count = std::min(free.unused, free.blocks.size() - std::min(free.blocks.size(), few));
        free.blocks.erase(free.blocks.begin(), free.blocks.begin() + static_cast<std::ptrdiff_t>(count));
        free.unused = free.blocks.size();
    };
    release(bulk_, kept_bulk);
    release(long_, kept_long);
}

void buffer::take_larger(std::size_t size, bool stride) {
    if (capacity() >= size) return;
    auto larger = pool_.take(size + headroom + tailroom, stride);
    const auto kept = this->size();
    if (kept != 0) std::memcpy(larger.bytes.get() + headroom, data(), kept);
    if (has_block()) pool_.give(std::move(block_));
    block_ = std::move(larger);
    begin_ = headroom;
    end_ = headroom + kept;
}

void buffer::reserve_stride(std::uint64_t to_come) {
    constexpr std::uint64_t worth_a_long_one = 4 * buffer_pool::long_block;
    if (to_come >= worth_a_long_one && capacity() < long_stride && pool_.has_to_spare(buffer_pool::long_block))
        take_larger(long_stride, true);
    else if (capacity() < bulk && pool_.has_to_spare(buffer_pool::bulk_block))
        take_larger(bulk, true);
    else
        reserve();
}

void buffer::compact() {
    if (begin_ == headroom) return;
    std::memmove(block_.bytes.get() + headroom, data(), size());
    end_ = headroom + size();
    begin_ = headroom;
}

void buffer::release() {
    if (has_block()) pool_.give(std::move(block_));
    block_ = {};
    clear();
}

} // namespace scoregate::base
