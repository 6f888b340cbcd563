// How many connections each client address has open, for limits.max_connections_per_ip. Any core may call; a mutex for
// each of 64 parts, taken when a connection begins and when it ends, and not at all while the limit is off. Outlives
// the connections.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace scoregate::proxy {

// With random numbers, so that nobody can choose addresses that fall together.
struct hash_of_address {
    std::uint64_t factor = 1, summand = 0;
    std::size_t operator()(std::uint64_t whose) const;
};

class connections_by_address {
public:
    // A connection that is counted. Gives its place back by itself.
    class place {
    public:
        place() = default;
        ~place() { give_back(); }
        place(place&& other) noexcept : in_(std::exchange(other.in_, nullptr)), whose_(other.whose_) {}
        place& operator=(place&& other) noexcept {
            if (this != &other) {
                give_back();
                in_ = std::exchange(other.in_, nullptr);
                whose_ = other.whose_;
            }
            return *this;
        }
        explicit operator bool() const { return in_ != nullptr; }

    private:
        friend class connections_by_address;
        place(connections_by_address* in, std::uint64_t whose) : in_(in), whose_(whose) {}
        void give_back() {
            if (auto* const in = std::exchange(in_, nullptr)) in->leave(whose_);
        }

        connections_by_address* in_ = nullptr;
        std::uint64_t whose_ = 0;
    };

    connections_by_address();
    connections_by_address(const connections_by_address&) = delete;
    connections_by_address& operator=(const connections_by_address&) = delete;

    // Empty if `whose` (routing::identity_of_address) has `most` open already.
    place enter(std::uint64_t whose, std::uint32_t most);
    std::uint32_t of(std::uint64_t whose); // open now

private:
    struct alignas(64) part {
        std::mutex mutex;
        std::unordered_map<std::uint64_t, std::uint32_t, hash_of_address> open;
    };
    static constexpr std::size_t part_count = 64;

    void leave(std::uint64_t whose);
    part& part_of(std::uint64_t whose) { return parts_[hash_(whose) >> 58]; }

    hash_of_address hash_;
    std::array<part, part_count> parts_;
};

} // namespace scoregate::proxy
