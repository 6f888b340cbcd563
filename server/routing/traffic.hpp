// How the requests of a service are divided between its deployments: each core goes through the same fixed order of a
// hundred turns, in which every deployment has as many as its percentage, spread evenly. So the shares are exact for
// each hundred requests of a core, without a random number and without a word between cores. Immutable but for the
// cores' places in it, which a reload keeps.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace scoregate::routing {

// Where each core is. Core n alone uses at(n).
class traffic_places {
public:
    // Cores begin at different turns, so that the first requests of many do not all go to one deployment.
    explicit traffic_places(unsigned cores);

    struct alignas(64) place {
        std::uint32_t turn = 0;   // of the hundred
        std::uint32_t copies = 0; // the same for mirrored traffic
    };
    place& at(unsigned core) { return places_[core]; }

private:
    std::vector<place> places_;
};

class traffic {
public:
    // Percentages that sum to 0 or 100; no more than 255 of them.
    explicit traffic(std::span<const unsigned> percents = {});

    // Index of the percentage whose turn it is, and moves on; empty if they sum to 0.
    std::optional<std::size_t> next(std::uint32_t& turn) const;

private:
    std::array<std::uint8_t, 100> order_{};
    bool none_ = true;
};

} // namespace scoregate::routing
