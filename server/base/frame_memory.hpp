// Memory for coroutine frames and the operations they await: blocks of a thread's own, kept by size for the next frame
// of that size. A request takes the same few frames as the one before it, so in steady state none comes from the heap,
// however many connections are open. Asio's own recycling looks through one short list of blocks of any size, and gives
// one up for each it misses: with 64 busy connections that was five allocations per request. Sanitizers get each block
// fresh from the heap, so that they can watch it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace scoregate::base::frame_memory {

// Frames above it come from the heap.
inline constexpr std::size_t largest = 4096;
// What a thread keeps of one size, in bytes: the frames of two hundred requests. The rest goes back to the heap.
inline constexpr std::size_t most_kept = 128 * 1024;

// At least `size` bytes, aligned like operator new's. Throws std::bad_alloc.
void* take(std::size_t size);
// `block` was taken with this `size`, perhaps by another thread.
void give_back(void* block, std::size_t size) noexcept;

} // namespace scoregate::base::frame_memory

namespace scoregate::base {

// The same for what Asio keeps of an operation while it is under way.
template <class T>
struct frame_allocator {
    using value_type = T;

    frame_allocator() noexcept = default;
    template <class Other>
    frame_allocator(const frame_allocator<Other>&) noexcept {} // NOLINT(google-explicit-constructor): an allocator's

    T* allocate(std::size_t count) { return static_cast<T*>(frame_memory::take(count * sizeof(T))); }
    void deallocate(T* block, std::size_t count) noexcept { frame_memory::give_back(block, count * sizeof(T)); }
    friend bool operator==(const frame_allocator&, const frame_allocator&) noexcept { return true; }
};

// And for text that a frame has.
using frame_string = std::basic_string<char, std::char_traits<char>, frame_allocator<char>>;

// And for an object that comes and goes with requests.
struct frame_deleter {
    template <class T>
    void operator()(T* object) const noexcept {
        std::destroy_at(object);
        frame_memory::give_back(object, sizeof(T));
    }
};
template <class T>
using frame_ptr = std::unique_ptr<T, frame_deleter>;

template <class T, class... Args>
frame_ptr<T> make_in_frame(Args&&... args) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    void* const place = frame_memory::take(sizeof(T));
    try {
        return frame_ptr<T>(new (place) T(std::forward<Args>(args)...));
    } catch (...) {
        frame_memory::give_back(place, sizeof(T));
        throw;
    }
}

} // namespace scoregate::base
