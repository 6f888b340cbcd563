#include "routing/rate_limiter.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace scoregate::routing {

namespace {

constexpr std::size_t first_slots = 64;
constexpr std::uint64_t ipv4_mark = 1ULL << 32; // in 0::/8, where no IPv6 network is

__extension__ using wide = unsigned __int128;

std::int64_t pace_of(const request_rate& rate) { return static_cast<std::int64_t>(std::ceil(1e9 / rate.per_second)); }

} // namespace

rate_limiter::rate_limiter(const request_rate& rate)
    : rate_(rate), pace_(pace_of(rate)), depth_(pace_ * static_cast<ticks>(rate.burst)) {
    std::random_device source;
    for (auto& word : seed_) word = (static_cast<std::uint64_t>(source()) << 32) | source();
}

rate_limiter::rate_limiter(const request_rate& rate, rate_limiter& before, time_point now) : rate_limiter(rate) {
    seed_ = before.seed_; // so that everybody finds the same room
    const auto at = now.time_since_epoch().count();
    const auto converted = [&](ticks whole) {
        const auto used = static_cast<double>(std::max<ticks>(whole - at, 0)) / static_cast<double>(before.pace_);
        return at + static_cast<ticks>(std::min(used, static_cast<double>(rate.burst)) * static_cast<double>(pace_));
    };
    for (std::size_t i = 0; i < own_places; ++i)
        if (const auto whole = before.places_[i].whole.load(std::memory_order_relaxed); whole > at)
            places_[i].whole.store(converted(whole), std::memory_order_relaxed);
    for (auto& each : before.shards_) {
        const std::lock_guard lock(each.mutex);
        for (const auto& [who, whole] : each.slots) {
            if (whole <= at) continue;
            const auto where = hash(who);
            find(shards_[where.shard], who, where.slot, at).whole = converted(whole);
        }
    }
}

rate_limiter::judgement rate_limiter::judge(ticks whole, ticks now) const {
    const auto next = std::max(whole, now) + pace_;
    if (next > now + depth_) return {whole, nanoseconds(next - depth_ - now)};
    return {next, nanoseconds::zero()};
}

rate_limiter::nanoseconds rate_limiter::admit(std::uint64_t who, time_point now) {
    const auto at = now.time_since_epoch().count();
    if (who < own_places) {
        auto& whole = places_[who].whole;
        auto seen = whole.load(std::memory_order_relaxed);
        for (;;) { // the number is all there is to see: no order with other memory is needed
            const auto made = judge(seen, at);
            if (made.wait.count() != 0) return made.wait;
            if (whole.compare_exchange_weak(seen, made.whole, std::memory_order_relaxed)) return made.wait;
        }
    }
    const auto where = hash(who);
    auto& in = shards_[where.shard];
    const std::lock_guard lock(in.mutex);
    auto& one = find(in, who, where.slot, at);
    const auto made = judge(one.whole, at);
    one.whole = made.whole;
    return made.wait;
}

// Multiply-shift with a random 128-bit factor and summand: for any two identities that were chosen without knowing
// them, falling together is as likely as by chance.
rate_limiter::hashed rate_limiter::hash(std::uint64_t who) const {
    const wide factor = (static_cast<wide>(seed_[0]) << 64) | seed_[1];
    const wide summand = (static_cast<wide>(seed_[2]) << 64) | seed_[3];
    const auto bits = static_cast<std::uint64_t>((factor * who + summand) >> 64);
    return {static_cast<std::size_t>(bits % shard_count), bits / shard_count};
}

// Where it is, or the free slot where it would be.
std::size_t rate_limiter::slot_of(const shard& in, std::uint64_t who, std::uint64_t slot) {
    const auto mask = in.slots.size() - 1;
    auto at = static_cast<std::size_t>(slot) & mask;
    while (in.slots[at].whole != never && in.slots[at].who != who) at = (at + 1) & mask;
    return at;
}

rate_limiter::entry& rate_limiter::find(shard& in, std::uint64_t who, std::uint64_t slot, ticks now) {
    if (in.slots.empty()) in.slots.resize(first_slots);
    auto at = slot_of(in, who, slot);
    if (in.slots[at].whole != never) return in.slots[at];
    if ((in.used + 1) * 2 > in.slots.size()) {
        make_room(in, now);
        at = slot_of(in, who, slot);
    }
    ++in.used;
    in.slots[at] = {who, now};
    return in.slots[at];
}

void rate_limiter::make_room(shard& in, ticks now) {
    const auto live = static_cast<std::size_t>(
        std::count_if(in.slots.begin(), in.slots.end(), [now](const entry& each) { return each.whole > now; }));
    if (in.used < most_in_shard)
        return rebuild(in, live * 4 > in.slots.size() ? in.slots.size() * 2 : in.slots.size(), now);
    if ((in.used - live) * 8 > in.used) return rebuild(in, in.slots.size(), now); // worth its time
    const auto order = [](const entry& a, const entry& b) {
        return (a.whole == never ? INT64_MAX : a.whole) < (b.whole == never ? INT64_MAX : b.whole);
    };
    forget(in, static_cast<std::size_t>(std::min_element(in.slots.begin(), in.slots.end(), order) - in.slots.begin()));
}

// Keeps those that have not their whole allowance.
void rate_limiter::rebuild(shard& in, std::size_t slots, ticks now) {
    const auto old = std::exchange(in.slots, std::vector<entry>(slots));
    in.used = 0;
    for (const auto& each : old) {
        if (each.whole <= now) continue;
        in.slots[slot_of(in, each.who, hash(each.who).slot)] = each;
        ++in.used;
    }
}

// Frees the slot, and moves up what had to pass over it.
void rate_limiter::forget(shard& in, std::size_t slot) {
    const auto mask = in.slots.size() - 1;
    for (auto next = (slot + 1) & mask; in.slots[next].whole != never; next = (next + 1) & mask) {
        const auto home = static_cast<std::size_t>(hash(in.slots[next].who).slot) & mask;
        if (((next - home) & mask) < ((next - slot) & mask)) continue; // its home lies behind the gap
        in.slots[slot] = in.slots[next];
        slot = next;
    }
    in.slots[slot] = {};
    --in.used;
}

std::size_t rate_limiter::callers() {
    std::size_t all = 0;
    for (auto& each : shards_) {
        const std::lock_guard lock(each.mutex);
        all += each.used;
    }
    return all;
}

std::uint64_t identity_of_address(const base::ip_address& address) {
    if (address.is_v4()) return ipv4_mark | address.to_v4().to_uint();
    const auto bytes = address.to_v6().to_bytes();
    std::uint64_t network = 0;
    for (std::size_t i = 0; i < 8; ++i) network = (network << 8) | bytes[i];
    return network;
}

} // namespace scoregate::routing
