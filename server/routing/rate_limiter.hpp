// How often each caller of a service is let in: so many requests per second, and so many at once after a pause, exact
// over all cores. Per caller one number is kept, the time at which his allowance is whole again (GCRA: it moves on by
// the pace with each request let in). Any core may call; the clock is the caller's. Outlives reloads.
//
// Callers known beforehand, the keys of a service, have a place of their own without a lock. Those that clients bring
// with them, addresses, share a table of bounded size.
#pragma once

#include "base/network.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <vector>

namespace scoregate::routing {

struct request_rate {
    double per_second = 1; // 0.001 .. 1,000,000
    std::uint32_t burst = 1;

    friend bool operator==(const request_rate&, const request_rate&) = default;
};

class rate_limiter {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using nanoseconds = std::chrono::nanoseconds;

    // Identities below it have a place of their own; all others are in the table.
    static constexpr std::uint64_t own_places = 4;
    // Callers of the table. Who has his whole allowance needs no entry. When all entries are needed, a newcomer takes
    // that of the one who has used least: it forgets least, and who is over his limit stays known, however many
    // addresses somebody comes with.
    static constexpr std::size_t most_callers = 65536;

    explicit rate_limiter(const request_rate&);
    // Follows one with other numbers: what each caller has used of his burst then, he has used of this one.
    rate_limiter(const request_rate&, rate_limiter& before, time_point now);
    rate_limiter(const rate_limiter&) = delete;
    rate_limiter& operator=(const rate_limiter&) = delete;

    // Zero: the request is let in, and counted. Else how long until one would be; a refused one costs nothing.
    // Times may come out of order. Allocates only while the table grows.
    nanoseconds admit(std::uint64_t who, time_point now);

    const request_rate& rate() const { return rate_; }
    // Entries of the table, stale ones too.
    std::size_t callers();

private:
    using ticks = std::int64_t; // nanoseconds of the steady clock
    static constexpr ticks never = INT64_MIN;
    static constexpr std::size_t shard_count = 64, most_in_shard = most_callers / shard_count;

    struct entry {
        std::uint64_t who = 0;
        ticks whole = never; // when the allowance is whole again; never: a free slot
    };
    // Linear probing, at most half full.
    struct alignas(64) shard {
        std::mutex mutex;
        std::vector<entry> slots;
        std::size_t used = 0;
    };
    struct alignas(64) place {
        std::atomic<ticks> whole{never};
    };
    struct hashed {
        std::size_t shard;
        std::uint64_t slot; // to be masked
    };
    // What a request at `now` makes of `whole`, and how long it has to wait (then `whole` stays).
    struct judgement {
        ticks whole;
        nanoseconds wait;
    };

    judgement judge(ticks whole, ticks now) const;
    hashed hash(std::uint64_t who) const;
    entry& find(shard&, std::uint64_t who, std::uint64_t slot, ticks now); // made if it is not there
    static std::size_t slot_of(const shard&, std::uint64_t who, std::uint64_t slot);
    void make_room(shard&, ticks now);
    void rebuild(shard&, std::size_t slots, ticks now);
    void forget(shard&, std::size_t slot);

    request_rate rate_;
    ticks pace_;  // between two requests, rounded up: never faster than asked for
    ticks depth_; // of the whole burst
    // Of the hash: random, so that nobody can choose addresses that fall together.
    std::array<std::uint64_t, 4> seed_;
    std::array<place, own_places> places_;
    std::array<shard, shard_count> shards_;
};

// Of a client's address: itself, of IPv6 its /64, which is one customer's. Never one of the own places but for the
// loopback of IPv6, which is in nobody's way.
std::uint64_t identity_of_address(const base::ip_address&);

} // namespace scoregate::routing
