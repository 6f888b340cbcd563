// `scoregate cert auto` and `cert renew`: orders by hand, of the certificate that `acme` names. A running scoregate
// answers the provider's challenge meanwhile, and takes what comes. Command line only; blocks.
#pragma once

#include "config/load.hpp"

#include <cstdint>

namespace scoregate::app {

enum class drawn_name : std::uint8_t { kept, drawn_anew };

// Has a certificate issued if there is none, or it is due; with drawn_anew for another name, which is then the one that
// is kept. The exit code, all told on stdout and stderr.
int order_automatically(const config::source&, drawn_name);

enum class renewal : std::uint8_t { when_due, forced };

int renew_certificate(const config::source&, renewal);

} // namespace scoregate::app
