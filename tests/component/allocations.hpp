// Counts what each thread of this executable takes from the heap: malloc and its relatives (operator new ends there),
// and what OpenSSL takes, apart. Not under sanitizers, which have a malloc of their own.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCOREGATE_COUNTS_ALLOCATIONS 0
#else
#define SCOREGATE_COUNTS_ALLOCATIONS 1
#endif

namespace scoregate::tests {

struct allocations {
    std::uint64_t ours = 0;
    std::uint64_t openssl = 0;
};

// Of the calling thread, since it began.
allocations allocations_here();

} // namespace scoregate::tests
