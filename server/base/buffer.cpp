#include "base/buffer.hpp"

namespace scoregate::base {

buffer_pool::block buffer_pool::take(std::size_t size) {
    ++lent_;
    if (size == bulk_block) ++bulk_lent_;
    const auto pooled = [](std::vector<std::unique_ptr<char[]>>& free, std::size_t of) {
        if (free.empty()) return block{std::make_unique_for_overwrite<char[]>(of), of};
        block taken{std::move(free.back()), of};
        free.pop_back();
        return taken;
    };
    if (size <= small_block) return pooled(small_, small_block);
    if (size == bulk_block) return pooled(bulk_, bulk_block);
    return {std::make_unique_for_overwrite<char[]>(size), size};
}

void buffer_pool::give(block&& returned) {
    --lent_;
    if (returned.size == bulk_block) --bulk_lent_;
    if (returned.size == small_block && small_.size() < kept_small)
        small_.push_back(std::move(returned.bytes));
    else if (returned.size == bulk_block && bulk_.size() < kept_bulk)
        bulk_.push_back(std::move(returned.bytes));
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

void buffer::reserve_stride() { reserve(capacity() < bulk && pool_.has_bulk_to_spare() ? bulk : ordinary); }

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
