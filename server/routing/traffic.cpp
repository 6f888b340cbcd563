#include "routing/traffic.hpp"

#include <algorithm>
#include <numeric>

namespace scoregate::routing {

traffic_places::traffic_places(unsigned cores) : places_(cores) {
    constexpr std::uint32_t apart = 37; // has no factor in common with a hundred
    for (std::uint32_t i = 0; i < cores; ++i) {
        places_[i].turn = i * apart % 100;
        places_[i].copies = places_[i].turn;
    }
}

// Each turn everybody gains his percentage, and who has most pays a hundred for the turn.
traffic::traffic(std::span<const unsigned> percents) : none_(std::reduce(percents.begin(), percents.end()) == 0) {
    if (none_) return;
    std::vector<int> credit(percents.size());
    for (auto& turn : order_) {
        for (std::size_t i = 0; i < percents.size(); ++i) credit[i] += static_cast<int>(percents[i]);
        const auto richest = std::max_element(credit.begin(), credit.end());
        *richest -= 100;
        turn = static_cast<std::uint8_t>(richest - credit.begin());
    }
}

std::optional<std::size_t> traffic::next(std::uint32_t& turn) const {
    if (none_) return std::nullopt;
    const auto now = turn;
    turn = now + 1 == order_.size() ? 0 : now + 1;
    return order_[now];
}

} // namespace scoregate::routing
