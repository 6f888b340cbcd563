#include "base/buffer.hpp"

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

buffer_pool::block buffer_pool::take(std::size_t size) {
    ++lent_;
    if (size == bulk_block || size == long_block) strides_lent_ += size;
    const auto pooled = [](std::vector<bytes_ptr>& free, std::size_t of) {
        if (free.empty()) return block{memory_of(of), of};
        block taken{std::move(free.back()), of};
        free.pop_back();
        return taken;
    };
    if (size <= small_block) return {memory_of(small_block), small_block};
    if (size == bulk_block) return pooled(bulk_, bulk_block);
    if (size == long_block) return pooled(long_, long_block);
    return {memory_of(size), size};
}

void buffer_pool::give(block&& returned) {
    --lent_;
    if (returned.size == bulk_block || returned.size == long_block) strides_lent_ -= returned.size;
    if (returned.size == bulk_block && bulk_.size() < kept_bulk)
        bulk_.push_back(std::move(returned.bytes));
    else if (returned.size == long_block && long_.size() < kept_long)
        long_.push_back(std::move(returned.bytes));
    returned = {};
}

void buffer::reserve(std::size_t size) {
    if (capacity() < size) {
        auto larger = pool_.take(size + headroom + tailroom);
        const auto kept = this->size();
        if (kept != 0) std::memcpy(larger.bytes.get() + headroom, data(), kept);
        if (has_block()) pool_.give(std::move(block_));
        block_ = std::move(larger);
        begin_ = headroom;
        end_ = headroom + kept;
    }
}

void buffer::reserve_stride(std::uint64_t to_come) {
    constexpr std::uint64_t worth_a_long_one = 4 * buffer_pool::long_block;
    if (to_come >= worth_a_long_one && capacity() < long_stride && pool_.has_to_spare(buffer_pool::long_block))
        reserve(long_stride);
    else
        reserve(capacity() < bulk && pool_.has_to_spare(buffer_pool::bulk_block) ? bulk : ordinary);
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
