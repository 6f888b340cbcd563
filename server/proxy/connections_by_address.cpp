#include "proxy/connections_by_address.hpp"

#include <random>

namespace scoregate::proxy {

namespace {

__extension__ using wide = unsigned __int128;

std::uint64_t random_word(std::random_device& source) {
    return (static_cast<std::uint64_t>(source()) << 32) | source();
}

} // namespace

// The parts by its first bits, the tables by all of it.
std::size_t hash_of_address::operator()(std::uint64_t whose) const {
    const wide product = static_cast<wide>(whose ^ summand) * factor;
    return static_cast<std::size_t>(static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product));
}

connections_by_address::connections_by_address() {
    std::random_device source;
    hash_ = {random_word(source) | 1, random_word(source)};
    for (auto& each : parts_) each.open = decltype(each.open)(0, hash_);
}

connections_by_address::place connections_by_address::enter(std::uint64_t whose, std::uint32_t most) {
    auto& in = part_of(whose);
    const std::lock_guard lock(in.mutex);
    const auto known = in.open.find(whose);
    if (known == in.open.end()) {
        if (most == 0) return {};
        in.open.emplace(whose, 1);
        return {this, whose};
    }
    if (known->second >= most) return {};
    ++known->second;
    return {this, whose};
}

void connections_by_address::leave(std::uint64_t whose) {
    auto& in = part_of(whose);
    const std::lock_guard lock(in.mutex);
    const auto known = in.open.find(whose);
    if (--known->second == 0) in.open.erase(known);
}

std::uint32_t connections_by_address::of(std::uint64_t whose) {
    auto& in = part_of(whose);
    const std::lock_guard lock(in.mutex);
    const auto known = in.open.find(whose);
    return known == in.open.end() ? 0 : known->second;
}

} // namespace scoregate::proxy
