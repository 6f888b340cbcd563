// Tokens and key sets made in memory for tests: what an issuer would sign and publish, and what a forger would try.
// Throws std::runtime_error when something cannot be made. Any thread.
#pragma once

#include "auth/token_verifier.hpp"
#include "support/certificates.hpp"

#include <nlohmann/json.hpp>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

namespace scoregate::tests {

std::string to_base64url(std::string_view bytes);

// A key that an issuer signs with.
struct signing_key {
    explicit signing_key(key_kind kind, std::string name = "one");

    nlohmann::json jwk() const; // the public half: kty, kid, use, alg and its numbers
    nlohmann::json private_jwk() const;
    nlohmann::json header() const; // of a token signed with it
    // Header, claims and signature as a compact JWS; the header's alg says nothing about how it is signed.
    std::string sign(const nlohmann::json& head, const nlohmann::json& claims) const;
    std::string sign(const nlohmann::json& claims) const { return sign(header(), claims); }
    // The same for texts that are no JSON, or JSON of a kind that nlohmann::json does not write.
    std::string sign_texts(std::string_view head, std::string_view claims) const;
    // Of "header.claims", as bytes: PKCS #1, or r and s; `der` leaves ECDSA's in DER.
    std::string signature(std::string_view of, bool der = false) const;
    std::string public_pem() const;

    tls::pkey_ptr key;
    std::string kid;
    bool rsa;
};

// HMAC-SHA-256 of "header.claims" with that secret.
std::string sign_hs256(const nlohmann::json& header, const nlohmann::json& claims, std::string_view secret);

nlohmann::json key_set_of(std::initializer_list<const signing_key*>);

// Of https://login.contoso.com, for service iris, good from now on for an hour.
nlohmann::json claims_at(std::chrono::sys_seconds now);
config::token_settings token_terms(std::string jwks_file = "jwks.json");
std::shared_ptr<const auth::token_verifier> verifier_of(std::initializer_list<const signing_key*>,
                                                        const std::string& service = "iris",
                                                        const config::token_settings& = token_terms());

} // namespace scoregate::tests
