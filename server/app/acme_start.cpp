#include "app/acme_start.hpp"

#include "app/acme_order.hpp"
#include "telemetry/log.hpp"

#include <unistd.h>

namespace scoregate::app {

std::optional<std::string> prepare_acme(const config::acme& from, const std::optional<account>& as) {
    std::optional<acting_as> other;
    if (as && ::geteuid() == 0) other.emplace(*as);
    if (other && !*other)
        return "acme.state_dir cannot be prepared as user " + as->name +
               ": in a container it needs the capabilities SETUID and SETGID";
    auto named = from;
    if (from.domain.empty()) {
        const auto drawn = settle_domain(named);
        if (!drawn) return drawn.error();
        if (*drawn)
            telemetry::log().info("acme: the name is {}: drawn from leafDomainLabel, and kept in {}", named.domain,
                                  named.state_dir);
    }
    return make_folders(named);
}

} // namespace scoregate::app
