#include "app/acme_schedule.hpp"

#include <algorithm>

namespace scoregate::app {

acme_time renewal_of(acme_time not_before, acme_time not_after, std::optional<std::chrono::days> before) {
    using duration = acme_time::duration;
    const auto lifetime = not_after - not_before;
    const duration wanted = before ? duration(*before) : std::min<duration>(lifetime / 3, std::chrono::days{30});
    return not_after - std::min<duration>(wanted, lifetime / 2);
}

std::chrono::seconds pause_after(unsigned failures, double chance) {
    constexpr unsigned until_longest = 6; // 64 minutes
    constexpr std::chrono::seconds longest = std::chrono::hours{1};
    const std::chrono::seconds pause = std::chrono::minutes{1} * (1U << std::min(failures - 1, until_longest));
    const auto least = std::min(pause, longest);
    return least + std::chrono::duration_cast<std::chrono::seconds>(chance * least / 4);
}

} // namespace scoregate::app
