// Counts what each thread of an executable takes from the heap: malloc and its relatives (operator new ends there), and
// what OpenSSL takes, apart. Only where tests/CMakeLists.txt says so.
#pragma once

#include "base/sanitized.hpp"

#include <cstdint>

namespace scoregate::tests {

struct allocations {
    std::uint64_t ours = 0; // stays 0 under sanitizers, which have a malloc of their own
    std::uint64_t openssl = 0;
    friend bool operator==(const allocations&, const allocations&) = default;
};

inline constexpr bool counts_ours = !base::sanitized;

// Of the calling thread, since it began.
allocations allocations_here();

} // namespace scoregate::tests
