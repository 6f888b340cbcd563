#include "tls/openssl_memory.hpp"

#include "base/block_store.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

// NOLINTBEGIN(cppcoreguidelines-no-malloc): this is OpenSSL's malloc
namespace scoregate::tls {

namespace openssl_memory {

namespace {

namespace store = base::block_store;

// Buffers of records. What is smaller leaves no hole worth the name; that of handshake messages (21,848 bytes) does,
// but the next handshake takes it.
constexpr bool is_large(std::size_t size) { return size > 8192 && size <= store::largest; }

} // namespace

void* take(std::size_t size, const char*, int) { return is_large(size) ? store::take(size) : std::malloc(size); }

void give_back(void* block, const char*, int) { store::give_back(block); }

void* resize(void* block, std::size_t size, const char* file, int line) {
    if (block == nullptr) return take(size, file, line);
    if (!store::owns(block)) return std::realloc(block, size);
    if (is_large(size)) return block;
    void* const other = size == 0 ? nullptr : take(size, file, line);
    if (other == nullptr && size != 0) return nullptr; // `block` stays valid
    if (other != nullptr) std::memcpy(other, block, std::min(size, store::largest));
    store::give_back(block);
    return other;
}

} // namespace openssl_memory

bool keep_record_buffers_apart() {
    using namespace openssl_memory;
    return CRYPTO_set_mem_functions(take, resize, give_back) == 1;
}

} // namespace scoregate::tls
// NOLINTEND(cppcoreguidelines-no-malloc)
