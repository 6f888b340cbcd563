// How near the end of a certificate's validity is, and what is said about it. Pure; any thread. That a certificate is
// not yet valid is told by certificate_check.
#pragma once

#include "tls/certificate.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace scoregate::tls {

// Warned about once at each stage but the first.
enum class expiry_stage : std::uint8_t { fine, renew, week, day, expired };

// From when before the end a stage counts.
struct expiry_threshold {
    expiry_stage stage;
    std::chrono::seconds before_end;
};

// In the order of time. `renew` at a third of the lifetime, at most 30 days; then a week and a day, each only where the
// certificate does not live too short for it.
std::vector<expiry_threshold> expiry_thresholds(certificate::time_point not_before, certificate::time_point not_after);

expiry_stage stage_of(certificate::time_point not_before, certificate::time_point not_after,
                      certificate::time_point now);

// One sentence for the log: which certificate, how long it has left, what to do. Empty for `fine`. `cname` is what the
// pair is called in the configuration.
std::string expiry_warning(const certificate&, const std::string& cname, expiry_stage, certificate::time_point now);

// Until the end of validity, in whole seconds rounded up; negative after it. Safe at the ends of the clock.
std::chrono::seconds time_left(certificate::time_point not_after, certificate::time_point now);

// Rounded down: "29 days", from two days down "47 hours", then "less than an hour".
std::string to_text(std::chrono::seconds);

} // namespace scoregate::tls
