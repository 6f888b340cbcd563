#include "base/block_store.hpp"
#include "base/sanitized.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace store = scoregate::base::block_store;

namespace {

std::vector<char*> take(std::size_t count) {
    std::vector<char*> taken;
    for (std::size_t i = 0; i < count; ++i) {
        taken.push_back(static_cast<char*>(store::take(store::largest)));
        std::memset(taken.back(), static_cast<int>(i), store::largest);
    }
    return taken;
}

void give_back(const std::vector<char*>& all) {
    for (auto* const each : all) store::give_back(each);
}

// How many of the store's blocks have all their pages.
std::size_t with_memory(const std::vector<char*>& blocks) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::size_t pages = 0;
    for (auto* const each : blocks) {
        CHECK(store::owns(each));
        std::vector<unsigned char> there(store::largest / page);
        REQUIRE(::mincore(each, store::largest, there.data()) == 0);
        pages += static_cast<std::size_t>(
            std::count_if(there.begin(), there.end(), [](unsigned char one) { return (one & 1) != 0; }));
    }
    return pages * page / store::largest;
}

} // namespace

TEST_CASE("blocks are whole, aligned and nobody else's") {
    const auto taken = take(300); // several steps
    for (std::size_t i = 0; i < taken.size(); ++i) {
        CHECK(reinterpret_cast<std::uintptr_t>(taken[i]) % 16 == 0);
        CHECK(std::count(taken[i], taken[i] + store::largest, static_cast<char>(i)) == store::largest);
    }
    give_back(taken);
}

TEST_CASE("what is of the heap goes back to it") {
    auto* const of_heap = std::malloc(100);
    CHECK_FALSE(store::owns(of_heap));
    CHECK_FALSE(store::owns(nullptr));
    store::give_back(of_heap); // the address sanitizer sees to it
    store::give_back(nullptr);
}

TEST_CASE("the memory of free blocks goes back to the kernel, but for a little") {
    if (scoregate::base::sanitized) return; // there all blocks are of the heap
    const auto taken = take(1000);
    const auto resident = [&] { return with_memory(taken); };
    CHECK(resident() == 1000);
    give_back(taken);
    CHECK(resident() <= store::most_kept);
    const auto again = take(1000);
    CHECK(std::set<char*>(again.begin(), again.end()) == std::set<char*>(taken.begin(), taken.end()));
    give_back(again);
}

TEST_CASE("a thread that releases what it does not use keeps what it does") {
    if (scoregate::base::sanitized) return;
    std::thread([] {
        store::release_unused(); // from now on it may keep many
        const auto taken = take(100);
        give_back(taken);
        CHECK(with_memory(taken) == 100); // just used
        store::release_unused();
        CHECK(with_memory(taken) == 100);
        give_back(take(50));
        store::release_unused();
        CHECK(with_memory(taken) == 50); // the others had not been used since
        store::release_unused();
        CHECK(with_memory(taken) == 0);

        const auto many = take(store::most_kept_for_now + 500);
        give_back(many);
        CHECK(with_memory(many) <= store::most_kept_for_now);
        CHECK(with_memory(many) >= store::most_kept_for_now - 100);
        store::release_unused();
        for (auto left = with_memory(many); left != 0;) {
            store::release_unused();
            const auto before = std::exchange(left, with_memory(many));
            CHECK(before - left <= store::most_released);
            REQUIRE(left < before);
        }
    }).join();
}

TEST_CASE("a block may go back in another thread, and one that ends keeps none") {
    if (scoregate::base::sanitized) return;
    std::set<char*> seen;
    for (int i = 0; i < 50; ++i) {
        std::vector<char*> taken;
        std::thread([&] { taken = take(store::most_kept); }).join();
        std::thread([&] { give_back(taken); }).join();
        seen.insert(taken.begin(), taken.end());
    }
    CHECK(seen.size() <= 2 * store::most_kept);
}
