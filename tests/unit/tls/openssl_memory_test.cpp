#include "base/block_store.hpp"
#include "base/sanitized.hpp"
#include "tls/openssl_memory.hpp"

#include <catch2/catch.hpp>

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>

using namespace scoregate;
using namespace scoregate::tls::openssl_memory;

// That it works is seen in a process of its own: e2e/test_floods.py, and bench/run idle.
TEST_CASE("OpenSSL's memory cannot come from elsewhere once some has been taken") {
    OPENSSL_free(OPENSSL_malloc(1));
    CHECK_FALSE(tls::keep_record_buffers_apart());
}

TEST_CASE("what is as large as a record lies apart, however OpenSSL asks for it") {
    constexpr bool apart = !base::sanitized; // a sanitizer watches the heap alone
    const auto check = [](void* block, bool of_store) {
        CHECK(base::block_store::owns(block) == of_store);
        give_back(block, nullptr, 0);
    };
    check(take(16 * 1024, nullptr, 0), apart);
    check(resize(nullptr, 17 * 1024, nullptr, 0), apart);
    check(resize(nullptr, 21848, nullptr, 0), false); // for handshake messages, by BUF_MEM_grow(3)
    check(take(100, nullptr, 0), false);
    check(resize(nullptr, 100, nullptr, 0), false);
    check(take(base::block_store::largest + 1, nullptr, 0), false);
    check(nullptr, false);
}

TEST_CASE("a block of OpenSSL's keeps what is in it when it grows or shrinks") {
    auto* block = static_cast<char*>(take(10'000, nullptr, 0));
    std::memset(block, 'x', 10'000);
    for (const std::size_t size : {20'000, 9'000, 100'000, 5'000, 12'000, 100}) {
        block = static_cast<char*>(resize(block, size, nullptr, 0));
        const auto kept = std::min<std::size_t>(size, 9'000);
        CHECK(std::count(block, block + std::min<std::size_t>(kept, 100), 'x') ==
              static_cast<std::ptrdiff_t>(std::min<std::size_t>(kept, 100)));
        if (size >= 9'000) std::memset(block, 'x', size);
    }
    CHECK(resize(block, 0, nullptr, 0) == nullptr);
}
