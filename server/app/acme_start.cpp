#include "app/acme_start.hpp"

#include "app/acme_order.hpp"
#include "telemetry/log.hpp"

#include <unistd.h>

namespace scoregate::app {

std::optional<std::string> prepare_acme(const config::acme& from, const std::optional<account>& as) {
    std::optional<acting_as> other;
    if (as && ::geteuid() == 0) other.emplace(*as);
    if (auto wrong = make_folders(from)) return wrong;
    if (!from.domain.empty()) return std::nullopt;
    auto named = from;
    named.domain = draw_domain(from);
    if (auto wrong = keep_domain(named)) return wrong;
    telemetry::log().info("acme: the name is {}: drawn from leafDomainLabel, and kept in {}", named.domain,
                          named.state_dir);
    return make_folders(named);
}

} // namespace scoregate::app
