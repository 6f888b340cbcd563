// Memory for the large short-lived blocks of connections: a TLS record's, a body's. They lie in a range of addresses of
// their own, apart from the heap, where each would leave a hole between the small objects that stay: after a busy hour
// ten thousand idle connections held twice what they use. What is free beyond a little goes back to the kernel at once,
// the rest when it has not been used for a moment. Any thread; a block may be given back by another than took it.
// Sanitizers get each block from the heap, so that they can watch it.
#pragma once

#include <cstddef>

namespace scoregate::base::block_store {

// In bytes: a record's buffer of OpenSSL's has 16 KiB and some. Not more: a page that one user has touched stays with
// the block, and the next pays for it.
inline constexpr std::size_t largest = 20 * 1024;
// Free blocks that a thread keeps, with their memory, so that the usual take() needs no lock and touches no new page:
// any thread, and one that calls release_unused() from time to time.
inline constexpr std::size_t most_kept = 16, most_kept_for_now = 1024, most_released = 256;

// At least `size` bytes, at most `largest`, aligned like malloc's; of the heap where the process may have no more
// addresses. Null if there is no memory.
void* take(std::size_t size) noexcept;
// A block from take() or from malloc(), or null.
void give_back(void* block) noexcept;
// Gives the kernel the memory of those blocks that this thread has kept since the last call and not used, up to
// `most_released`: each is a system call, and takes its time from the requests.
void release_unused() noexcept;
// Whether it is a block of the store, all `largest` bytes of which may be used.
bool owns(const void* block) noexcept;

struct deleter {
    void operator()(char* block) const noexcept { give_back(block); }
};

} // namespace scoregate::base::block_store
