#include "base/buffer.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <vector>

using scoregate::base::buffer;
using scoregate::base::buffer_pool;

namespace {

constexpr auto ordinary = buffer::ordinary;
constexpr auto bulk = buffer::bulk;

} // namespace

TEST_CASE("blocks come in four sizes, and others exactly") {
    buffer_pool pool;
    CHECK(pool.take(1).size == buffer_pool::small_block);
    CHECK(pool.take(buffer_pool::small_block).size == buffer_pool::small_block);
    CHECK(pool.take(buffer_pool::small_block + 1).size == buffer_pool::record_block);
    CHECK(pool.take(buffer_pool::record_block + 1).size == buffer_pool::record_block + 1);
    CHECK(pool.take(buffer_pool::bulk_block).size == buffer_pool::bulk_block);
    CHECK(pool.take(buffer_pool::bulk_block + 1).size == buffer_pool::bulk_block + 1);
    CHECK(pool.take(buffer_pool::long_block).size == buffer_pool::long_block);
}

TEST_CASE("a large block that was given back is lent again") {
    buffer_pool pool;
    auto large = pool.take(buffer_pool::bulk_block);
    const void* const its_bytes = large.bytes.get();
    pool.give(std::move(large));
    CHECK(large.size == 0);
    CHECK(pool.take(100).bytes.get() != its_bytes);
    CHECK(pool.take(buffer_pool::bulk_block).bytes.get() == its_bytes);
}

TEST_CASE("a pool knows how many blocks are lent") {
    buffer_pool pool;
    {
        buffer small(pool), grown(pool), exact(pool);
        CHECK(pool.lent() == 0);
        small.reserve();
        grown.reserve();
        grown.reserve(bulk); // in place of the smaller one
        exact.reserve(bulk + 1);
        CHECK(pool.lent() == 3);
        small.release();
        CHECK(pool.lent() == 2);
    }
    CHECK(pool.lent() == 0);
}

namespace {

// Takes so many blocks at once and gives all of them back.
void use(buffer_pool& pool, std::size_t size, std::size_t count) {
    std::vector<buffer_pool::block> lent;
    for (std::size_t i = 0; i < count; ++i) lent.push_back(pool.take(size));
    for (auto& each : lent) pool.give(std::move(each));
}

} // namespace

TEST_CASE("a pool keeps large blocks while they are used, then a few of them") {
    constexpr auto bulk_block = buffer_pool::bulk_block, long_block = buffer_pool::long_block;
    buffer_pool pool;
    use(pool, bulk_block, 40);
    CHECK(pool.kept() == 40 * bulk_block);
    pool.release_unused(); // they have all been used
    CHECK(pool.kept() == 40 * bulk_block);
    use(pool, bulk_block, 30);
    pool.release_unused(); // ten have not
    CHECK(pool.kept() == 30 * bulk_block);
    pool.release_unused();
    pool.release_unused();
    CHECK(pool.kept() == 8 * bulk_block);
    use(pool, long_block, 8);
    CHECK(pool.kept() == 8 * bulk_block + 8 * long_block);
    pool.release_unused();
    pool.release_unused();
    CHECK(pool.kept() == 8 * bulk_block + 2 * long_block);
}

TEST_CASE("what a pool keeps is bounded, together with the strides that are lent") {
    constexpr auto bulk_block = buffer_pool::bulk_block, most = 64 * bulk_block;
    buffer_pool pool;
    use(pool, bulk_block, 100);
    CHECK(pool.kept() == most);
    std::vector<std::unique_ptr<buffer>> strides;
    for (int i = 0; i < 10; ++i) {
        strides.push_back(std::make_unique<buffer>(pool));
        strides.back()->reserve_stride(1 << 20);
    }
    CHECK(pool.kept() == most - 10 * bulk_block);
    use(pool, bulk_block, 100);
    CHECK(pool.kept() == most - 10 * bulk_block);
    use(pool, buffer_pool::small_block, 100); // nor any of those that are not pooled
    use(pool, bulk_block + 1, 100);
    CHECK(pool.kept() == most - 10 * bulk_block);
    strides.clear();
    CHECK(pool.kept() == most);
    for (int i = 0; i < 8; ++i) {
        strides.push_back(std::make_unique<buffer>(pool));
        strides.back()->reserve_stride(16 << 20);
        CHECK(strides.back()->capacity() == buffer::long_stride);
        CHECK(pool.kept() == most - strides.size() * buffer_pool::long_block);
    }
}

TEST_CASE("a block of the size of a stride that is none leaves the strides to others") {
    buffer_pool pool;
    std::vector<std::unique_ptr<buffer>> collected;
    for (int i = 0; i < 64; ++i) {
        collected.push_back(std::make_unique<buffer>(pool));
        collected.back()->reserve(bulk);
    }
    buffer stride(pool);
    stride.reserve_stride(1 << 20);
    CHECK(stride.capacity() == bulk);
}

TEST_CASE("a buffer without a block holds nothing and has room for nothing") {
    buffer_pool pool;
    buffer empty(pool);
    CHECK_FALSE(empty.has_block());
    CHECK(empty.empty());
    CHECK(empty.size() == 0);
    CHECK(empty.capacity() == 0);
    CHECK(empty.readable().empty());
    CHECK(empty.writable().empty());
    empty.compact();
    empty.clear();
    empty.release();
    CHECK(empty.readable().empty());
}

TEST_CASE("bytes go in behind and out in front") {
    buffer_pool pool;
    buffer bytes(pool);
    bytes.reserve();
    CHECK(bytes.has_block());
    CHECK(bytes.capacity() == ordinary);
    CHECK(bytes.writable().size() == ordinary);
    bytes.append("hello ");
    bytes.append("world");
    bytes.append({}); // nothing, and no address
    CHECK(bytes.readable() == "hello world");
    CHECK(bytes.writable().size() == ordinary - 11);
    bytes.consume(6);
    CHECK(bytes.readable() == "world");
    CHECK(bytes.data() == bytes.readable().data());
    bytes.writable()[0] = '!';
    bytes.commit(1);
    CHECK(bytes.readable() == "world!");
    bytes.compact();
    CHECK(bytes.readable() == "world!");
    CHECK(bytes.writable().size() == ordinary - 6);
    bytes.consume(6);
    CHECK(bytes.empty());
    CHECK(bytes.writable().size() == ordinary); // used up: starts at the front again
}

TEST_CASE("there is always room for a chunk's framing around what is readable") {
    buffer_pool pool;
    buffer bytes(pool);
    bytes.reserve();
    const auto room = bytes.writable();
    std::fill(room.begin(), room.end(), 'p');
    bytes.commit(room.size());
    CHECK(bytes.writable().empty());
    std::fill_n(bytes.data() - buffer::headroom, buffer::headroom, 'h'); // the sanitizers watch
    std::fill_n(bytes.data() + bytes.size(), buffer::tailroom, 't');
    CHECK(bytes.readable() == std::string(ordinary, 'p'));
}

TEST_CASE("reserve keeps what is readable") {
    buffer_pool pool;
    buffer bytes(pool);
    bytes.reserve(100);
    bytes.append(std::string(1000, 'x') + "kept");
    bytes.consume(1000);
    bytes.reserve(ordinary); // enough already: nothing moves
    CHECK(bytes.capacity() == ordinary);
    CHECK(bytes.readable() == "kept");
    bytes.reserve(ordinary + 1); // the next larger block
    CHECK(bytes.capacity() == buffer::record);
    CHECK(bytes.readable() == "kept");
    bytes.reserve(bulk);
    CHECK(bytes.capacity() == bulk);
    CHECK(bytes.readable() == "kept");
    CHECK(bytes.writable().size() == bulk - 4);
    bytes.reserve(bulk + 1);
    CHECK(bytes.capacity() == bulk + 1);
    CHECK(bytes.readable() == "kept");
}

TEST_CASE("large strides are for so many at once, and then for the next") {
    buffer_pool pool;
    std::vector<std::unique_ptr<buffer>> streams;
    for (int i = 0; i < 65; ++i) {
        streams.push_back(std::make_unique<buffer>(pool));
        streams.back()->reserve_stride(1 << 20);
        CHECK(streams.back()->capacity() == (i < 64 ? bulk : ordinary));
    }
    auto& last = *streams.back();
    last.append("kept");
    last.reserve_stride(1 << 20);
    CHECK(last.capacity() == ordinary);
    streams.front()->release();
    last.reserve_stride(1 << 20);
    CHECK(last.capacity() == bulk);
    CHECK(last.readable() == "kept");
    last.reserve_stride(1 << 20); // has it
    CHECK(last.capacity() == bulk);
}

TEST_CASE("the largest bodies have the longest strides, as long as others can have large ones") {
    constexpr auto long_stride = buffer::long_stride;
    constexpr std::uint64_t huge = 16 << 20;
    buffer_pool pool;
    std::vector<std::unique_ptr<buffer>> streams;
    for (int i = 0; i < 42; ++i) { // 8 x 512 KiB and 32 x 128 KiB are 8 MiB
        streams.push_back(std::make_unique<buffer>(pool));
        streams.back()->reserve_stride(huge);
        CHECK(streams.back()->capacity() == (i < 8 ? long_stride : i < 40 ? bulk : ordinary));
    }
    for (int i = 0; i < 40; ++i) streams[static_cast<std::size_t>(i)]->release();
    auto& last = *streams.back();
    last.append("kept");
    last.reserve_stride(huge);
    CHECK(last.capacity() == long_stride);
    CHECK(last.readable() == "kept");
    last.reserve_stride(100); // what is left of it needs no other block
    CHECK(last.capacity() == long_stride);
    buffer middling(pool);
    middling.reserve_stride((2 << 20) - 1);
    CHECK(middling.capacity() == bulk);
}

TEST_CASE("trim gives back what a large body had, if nothing stands in it") {
    buffer_pool pool;
    buffer bytes(pool);
    bytes.reserve(buffer::record);
    bytes.trim();
    CHECK(bytes.capacity() == buffer::record);
    bytes.reserve(bulk);
    bytes.append("kept");
    bytes.trim();
    CHECK(bytes.capacity() == bulk);
    bytes.clear();
    bytes.trim();
    CHECK_FALSE(bytes.has_block());
}

TEST_CASE("release gives the block back to the pool, and so does the end of the buffer") {
    buffer_pool pool;
    const void* block = nullptr;
    {
        buffer bytes(pool);
        bytes.reserve(bulk);
        block = bytes.data();
        bytes.append("gone");
        bytes.release();
        CHECK_FALSE(bytes.has_block());
        CHECK(bytes.empty());
        bytes.reserve(bulk);
        CHECK(static_cast<const void*>(bytes.data()) == block);
        CHECK(bytes.empty());
    }
    buffer next(pool);
    next.reserve(bulk);
    CHECK(static_cast<const void*>(next.data()) == block);

    buffer larger(pool); // a block that was outgrown goes back too
    larger.reserve(bulk);
    const void* const outgrown = larger.data();
    larger.reserve(bulk + 1);
    buffer after(pool);
    after.reserve(bulk);
    CHECK(static_cast<const void*>(after.data()) == outgrown);
}
