// Questions about eight bytes at once, for text that is nearly always harmless: a loop over bytes costs more than all
// else that is done with a head or a line of the log. Each answer is zero or not; a wrong "yes" is as impossible as a
// wrong "no". Constants and pure functions; any thread.
#pragma once

#include <cstdint>
#include <cstring>

namespace scoregate::base::eight_bytes {

inline std::uint64_t load(const char* from) {
    std::uint64_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

constexpr std::uint64_t all(unsigned char byte) { return byte * 0x0101010101010101U; }

// Any that is 0x80 or more.
constexpr std::uint64_t any_high(std::uint64_t bytes) { return bytes & all(0x80); }
// Any that is less than `limit`, which is at most 0x80.
constexpr std::uint64_t any_below(std::uint64_t bytes, unsigned char limit) {
    return (bytes - all(limit)) & ~bytes & all(0x80);
}
constexpr std::uint64_t any_equal(std::uint64_t bytes, unsigned char byte) { return any_below(bytes ^ all(byte), 1); }

} // namespace scoregate::base::eight_bytes
