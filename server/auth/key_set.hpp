// The public keys that a token's issuer signs with, as its JWKS (RFC 7517) lists them, and the check of a signature by
// them (RFC 7515), both by the JOSE library cjose. Immutable after parse_key_set(). Shared by every core: to verify,
// cjose only reads a key, and what OpenSSL caches in one has a lock of OpenSSL's.
#pragma once

#include <cjose/jwk.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::auth {

enum class signature_algorithm : std::uint8_t { rs256, es256 };

class key_set {
public:
    static constexpr std::size_t max_keys = 64;
    static constexpr std::size_t max_tries = 4; // of keys that a token may be signed with: those of its `kid`, or all
    static constexpr std::size_t min_rsa_bits = 2048, max_rsa_bits = 4096;

    // The payload, if one of the keys has signed `token`: a key of that algorithm and, unless null, of that name; of
    // several the first max_tries. `token` has three parts of base64url, and its header says `by`.
    std::optional<std::string> payload_of(std::string_view token, signature_algorithm by, const std::string* kid) const;

    struct jwk_deleter {
        void operator()(cjose_jwk_t* key) const noexcept { cjose_jwk_release(key); }
    };
    struct key {
        signature_algorithm algorithm;
        std::optional<std::string> kid;
        std::unique_ptr<cjose_jwk_t, jwk_deleter> value;
    };
    explicit key_set(std::vector<key> keys) : keys_(std::move(keys)) {}

private:
    std::vector<key> keys_;
};

struct parsed_key_set {
    std::unique_ptr<const key_set> value; // empty when there is any defect
    std::vector<std::string> defects;     // why it cannot be used, each with what to do
    std::vector<std::string> warnings;    // of keys that are not used, or that should not be there
};

// Keys for other uses or algorithms are left out with a warning. A symmetric key refuses the whole set: whoever knows
// it could sign, and nothing that signs belongs here.
parsed_key_set parse_key_set(std::string_view text);

} // namespace scoregate::auth
