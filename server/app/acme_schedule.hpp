// When a certificate from a provider is renewed, and how long a failed order is waited out. Pure; any thread.
#pragma once

#include <chrono>
#include <optional>

namespace scoregate::app {

using acme_time = std::chrono::system_clock::time_point;

// `before` the end; by default a third of the lifetime, at most 30 days. Never before half of the lifetime: a provider
// of short-lived certificates would be asked without end.
acme_time renewal_of(acme_time not_before, acme_time not_after, std::optional<std::chrono::days> before);

// After so many failures in a row, at least one: a minute, doubled up to an hour, and up to a quarter more by `chance`
// (0..1), so that instances that failed together do not come together.
std::chrono::seconds pause_after(unsigned failures, double chance);

} // namespace scoregate::app
