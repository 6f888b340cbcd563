#include "support/allocations.hpp"

#include <openssl/crypto.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace {

// Set when the thread begins: asking for them must not allocate.
__attribute__((tls_model("initial-exec"))) thread_local scoregate::tests::allocations counted;

} // namespace

#if !SCOREGATE_ADDRESS_SANITIZER && !SCOREGATE_THREAD_SANITIZER
// glibc's own, which it keeps callable for those that replace the public ones.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) {
    ++counted.ours;
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    ++counted.ours;
    return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
    ++counted.ours;
    return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    ++counted.ours;
    return __libc_memalign(alignment, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
    ++counted.ours;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** made, std::size_t alignment, std::size_t size) {
    ++counted.ours;
    *made = __libc_memalign(alignment, size);
    return *made != nullptr ? 0 : ENOMEM;
}
}
#endif

namespace {

// What malloc counts for it is not ours.
void* openssl_malloc(std::size_t size, const char*, int) {
    const auto ours = counted.ours;
    void* const made = std::malloc(size);
    counted = {ours, counted.openssl + 1};
    return made;
}
void* openssl_realloc(void* old, std::size_t size, const char*, int) {
    const auto ours = counted.ours;
    void* const made = std::realloc(old, size);
    counted = {ours, counted.openssl + 1};
    return made;
}
void openssl_free(void* old, const char*, int) { std::free(old); }

// Only possible before OpenSSL has allocated anything.
const bool openssl_counted = CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1;

} // namespace

namespace scoregate::tests {

allocations allocations_here() {
    if (!openssl_counted) std::abort();
    return counted;
}

} // namespace scoregate::tests
