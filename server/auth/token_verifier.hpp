// Judges the tokens of one service (auth_mode aml_token): JWTs (RFC 7519) signed with RS256 or ES256 by a key of the
// issuer, for this service and this time. Immutable, made on the control thread, shared by every core through
// shared_ptr<const token_verifier>. No message holds a token or a part of one, and a caller learns no more of a refused
// token than that it was none, expired or wrong.
#pragma once

#include "auth/key_set.hpp"
#include "base/result.hpp"
#include "config/model.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace scoregate::auth {

class token_verifier {
public:
    using time_point = std::chrono::sys_seconds; // in nanoseconds the year 2262 would be the last

    static constexpr std::size_t max_token_size = 8192; // bytes
    static constexpr std::chrono::seconds skew{60};     // between our clock and the issuer's

    token_verifier(std::string service, config::token_settings terms, std::unique_ptr<const key_set> keys);

    struct verified {
        time_point good_until; // the skew included
        std::uint64_t caller;  // a number for the token's subject, or for the token where it names none: rate limits
    };

    // What is known of a good token, or fault::auth_malformed, auth_wrong or auth_expired. Expired is
    // only what would be good otherwise. Takes some 100 us for each key that it has to be tried with.
    base::result<verified> verify(std::string_view token, time_point now) const;

    // No other verifier of this process has it: what one has verified says nothing of what another would.
    std::uint64_t version() const noexcept { return version_; }

private:
    base::result<verified> judge(std::string_view claims, std::string_view token, time_point now) const;

    std::string service_;
    config::token_settings terms_;
    std::unique_ptr<const key_set> keys_;
    std::uint64_t version_;
};

} // namespace scoregate::auth
