// Byte buffers of one core, lent while data is in flight. A buffer holds no memory until it is given a block, and gives
// the block back to its core's pool; blocks come in four sizes so that an ordinary request costs little memory and a
// large body few system calls. One thread.
#pragma once

#include "base/block_store.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::base {

class buffer_pool {
public:
    static constexpr std::size_t small_block = 16 * 1024;
    static constexpr std::size_t record_block = block_store::largest; // holds a whole TLS record
    static constexpr std::size_t bulk_block = 128 * 1024;
    static constexpr std::size_t long_block = 512 * 1024;

    using bytes_ptr = std::unique_ptr<char[], block_store::deleter>;
    struct block {
        bytes_ptr bytes;
        std::size_t size = 0;
        bool stride = false;
    };

    buffer_pool();

    // At least `size` bytes: a small or a record's block of the block store, a pooled block for exactly a bulk or a
    // long one, else memory of that size. A stride is one of those that has_to_spare() counts.
    block take(std::size_t size, bool stride = false);
    void give(block&&);
    // Frees the pooled blocks that nobody has needed since the last call, but for 2 MiB.
    void release_unused();
    // Bytes of pooled blocks that nobody has.
    std::size_t kept() const { return bulk_.blocks.size() * bulk_block + long_.blocks.size() * long_block; }
    // Blocks that are with somebody now.
    std::size_t lent() const { return lent_; }
    // Whether a bulk or a long block more may be lent for a stride. They are for as many bodies at once as pay for the
    // memory: thousands that stand still would not. Long ones leave half of it to bodies that come later.
    bool has_to_spare(std::size_t stride) const {
        return strides_lent_ + stride <= (stride == long_block ? most_strides / 2 : most_strides);
    }

private:
    // Of one size, those that were used last at the end.
    struct free_blocks {
        std::vector<bytes_ptr> blocks;
        std::size_t unused = 0; // of them, since the last release_unused()
    };
    static constexpr std::size_t kept_bulk = 8, kept_long = 2;   // between bursts: 2 MiB per core
    static constexpr std::size_t most_strides = 8 * 1024 * 1024; // bytes per core, kept ones included

    free_blocks* free_of(std::size_t size) {
        return size == bulk_block ? &bulk_ : size == long_block ? &long_ : nullptr;
    }

    free_blocks bulk_, long_;
    std::size_t lent_ = 0, strides_lent_ = 0; // blocks of all kinds; bytes of strides
};

// [ headroom | consumed | readable | writable | tailroom ]: head- and tailroom let a chunk's framing be written around
// a payload where it stands.
class buffer {
public:
    static constexpr std::size_t headroom = 16, tailroom = 16;
    static constexpr std::size_t ordinary = buffer_pool::small_block - headroom - tailroom;
    static constexpr std::size_t record = buffer_pool::record_block - headroom - tailroom;
    static constexpr std::size_t bulk = buffer_pool::bulk_block - headroom - tailroom;
    static constexpr std::size_t long_stride = buffer_pool::long_block - headroom - tailroom;

    explicit buffer(buffer_pool& pool) : pool_(pool) {}
    ~buffer() { release(); }
    buffer(const buffer&) = delete;
    buffer& operator=(const buffer&) = delete;

    bool has_block() const { return block_.size != 0; }
    bool empty() const { return begin_ == end_; }
    std::size_t size() const { return end_ - begin_; }
    std::size_t capacity() const { return has_block() ? block_.size - headroom - tailroom : 0; }

    // Null without a block, to which nothing may be added.
    char* data() { return has_block() ? block_.bytes.get() + begin_ : nullptr; }
    std::string_view readable() const {
        if (!has_block()) return {};
        return {block_.bytes.get() + begin_, size()};
    }
    std::span<char> writable() {
        if (!has_block()) return {};
        return {block_.bytes.get() + end_, block_.size - tailroom - end_};
    }
    void commit(std::size_t n) { end_ += n; }
    void consume(std::size_t n) {
        begin_ += n;
        if (begin_ == end_) begin_ = end_ = headroom;
    }
    void clear() { begin_ = end_ = headroom; }

    // Room for `size` bytes in all, those that are readable kept (and moved to the front).
    void reserve(std::size_t size = ordinary) { take_larger(size, false); }
    // For a body of which so many bytes are to come: room for as large a stride as is worth it and the pool has to
    // spare, at least as reserve().
    void reserve_stride(std::uint64_t to_come);
    // Moves what is readable to the front, so that writable() is as large as can be.
    void compact();
    // Gives the block back; what was in it is gone.
    void release();
    // Gives back a block that a large body had, if nothing stands in it.
    void trim() {
        if (empty() && capacity() > record) release();
    }

    void append(std::string_view bytes) {
        if (bytes.empty()) return; // may have no address, which memcpy must not get
        std::memcpy(block_.bytes.get() + end_, bytes.data(), bytes.size());
        end_ += bytes.size();
    }

private:
    void take_larger(std::size_t size, bool stride);

    buffer_pool& pool_;
    buffer_pool::block block_;
    std::size_t begin_ = headroom, end_ = headroom;
};

} // namespace scoregate::base
