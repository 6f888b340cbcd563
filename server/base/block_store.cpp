#include "base/block_store.hpp"

#include "base/sanitized.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <span>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace scoregate::base::block_store {

namespace {

constexpr bool keeps = !sanitized;

constexpr std::size_t most_blocks = 2 * 1024 * 1024; // 40 GiB of addresses, which cost nothing until they are used
constexpr std::size_t step = 128;                    // blocks that are made usable at once
constexpr std::size_t at_overflow = 64;              // go back to the kernel at once

// The range, reserved once for the life of the process; empty where addresses are limited (RLIMIT_AS), and where a
// block is not made of whole pages: one could not give its memory back without its neighbour's.
std::span<char> reserve() {
    rlimit addresses{};
    if (::getrlimit(RLIMIT_AS, &addresses) != 0 || addresses.rlim_cur != RLIM_INFINITY) return {};
    if (largest % static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) != 0) return {};
    constexpr auto size = most_blocks * largest;
    void* const made = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) return {};
    ::madvise(made, size, MADV_NOHUGEPAGE); // a page that was given back must not come again with its neighbours
    return {static_cast<char*>(made), size};
}

// The blocks that no thread has, without memory.
class shared_blocks {
public:
    constexpr shared_blocks() = default;

    void* take() {
        const std::lock_guard hold(mutex_);
        if (bare_.empty()) return make();
        void* const found = bare_.back();
        bare_.pop_back();
        return found;
    }

    // Room in the list has been made along with the blocks.
    void give_back(std::span<void* const> blocks) noexcept {
        for (void* const each : blocks) ::madvise(each, largest, MADV_DONTNEED);
        const std::lock_guard hold(mutex_);
        bare_.insert(bare_.end(), blocks.begin(), blocks.end());
    }

private:
    void* make();

    std::mutex mutex_;
    std::vector<void*> bare_;
    std::size_t usable_ = 0; // blocks from the beginning of the range
};

std::span<char> range() {
    static const auto reserved = reserve();
    return reserved;
}

// One of the next blocks of the range; the others of the step are bare.
void* shared_blocks::make() {
    const auto whole = range();
    if (usable_ * largest == whole.size()) return nullptr;
    char* const first = whole.data() + usable_ * largest;
    try {
        if (bare_.capacity() < usable_ + step) bare_.reserve(2 * (usable_ + step));
    } catch (...) {
        return nullptr;
    }
    if (::mprotect(first, step * largest, PROT_READ | PROT_WRITE) != 0) return nullptr;
    usable_ += step;
    for (std::size_t i = step - 1; i != 0; --i) bare_.push_back(first + i * largest);
    return first;
}

// Threads may give blocks back until the very end of the process.
shared_blocks& shared() {
    static auto* const made = new shared_blocks;
    return *made;
}

// The free blocks of one thread, those that were used last at the end.
struct own_blocks {
    std::array<void*, most_kept_for_now> blocks{};
    std::size_t count = 0;
    std::size_t unused = 0; // of them, since the last release_unused()
    std::size_t most = most_kept;

    constexpr own_blocks() = default;
    own_blocks(const own_blocks&) = delete;
    own_blocks& operator=(const own_blocks&) = delete;
    ~own_blocks() { release(count); }

    void* take() {
        void* const found = blocks[--count];
        unused = std::min(unused, count);
        return found;
    }
    void give_back(void* block) {
        if (count == most) release(std::min(most / 2, at_overflow));
        blocks[count++] = block;
    }
    // Those whose last use is longest ago.
    void release(std::size_t how_many) {
        if (how_many == 0) return;
        shared().give_back({blocks.data(), how_many});
        std::copy(blocks.begin() + how_many, blocks.begin() + count, blocks.begin());
        count -= how_many;
        unused -= std::min(unused, how_many);
    }
};

own_blocks& own() {
    static thread_local own_blocks mine;
    return mine;
}

} // namespace

void* take(std::size_t size) noexcept {
    if (keeps) {
        auto& mine = own();
        if (mine.count != 0) return mine.take();
        if (void* const found = shared().take()) return found;
    }
    return std::malloc(size); // NOLINT(cppcoreguidelines-no-malloc): for OpenSSL, which has no operator new
}

void give_back(void* block) noexcept {
    if (!owns(block)) return std::free(block); // NOLINT(cppcoreguidelines-no-malloc)
    own().give_back(block);
}

void release_unused() noexcept {
    auto& mine = own();
    mine.release(std::min(mine.unused, most_released));
    mine.unused = mine.count;
    mine.most = most_kept_for_now;
}

bool owns(const void* block) noexcept {
    if (!keeps || block == nullptr) return false;
    const auto whole = range();
    return reinterpret_cast<std::uintptr_t>(block) - reinterpret_cast<std::uintptr_t>(whole.data()) < whole.size();
}

} // namespace scoregate::base::block_store
