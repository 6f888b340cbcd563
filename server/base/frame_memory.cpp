#include "base/frame_memory.hpp"

#include "base/sanitized.hpp"

#include <array>
#include <new>

namespace scoregate::base::frame_memory {

namespace {

constexpr bool keeps = !sanitized;

constexpr std::size_t step = 16; // sizes are rounded up to it, as operator new would

struct block {
    block* next;
};

struct kept_blocks {
    struct list {
        block* first = nullptr;
        std::size_t bytes = 0;
    };
    std::array<list, largest / step> lists{};

    constexpr kept_blocks() = default;
    kept_blocks(const kept_blocks&) = delete;
    kept_blocks& operator=(const kept_blocks&) = delete;
    ~kept_blocks() {
        for (auto& each : lists)
            while (each.first != nullptr) {
                auto* const going = each.first;
                each.first = going->next;
                ::operator delete(going);
            }
    }
};

kept_blocks::list& list_for(std::size_t size) {
    static thread_local kept_blocks kept;
    return kept.lists[(size - 1) / step];
}

constexpr std::size_t rounded(std::size_t size) { return (size + step - 1) / step * step; }

} // namespace

void* take(std::size_t size) {
    if (!keeps || size > largest) return ::operator new(size);
    auto& list = list_for(size);
    auto* const found = list.first;
    if (found == nullptr) return ::operator new(rounded(size));
    list.first = found->next;
    list.bytes -= rounded(size);
    return found;
}

void give_back(void* given, std::size_t size) noexcept {
    if (!keeps || size > largest) return ::operator delete(given);
    auto& list = list_for(size);
    if (list.bytes >= most_kept) return ::operator delete(given);
    list.first = new (given) block{list.first};
    list.bytes += rounded(size);
}

} // namespace scoregate::base::frame_memory
