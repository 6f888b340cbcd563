#include "auth/key_set.hpp"

#include "auth/base64url.hpp"
#include "auth/strict_json.hpp"

#include <cjose/header.h>
#include <cjose/jws.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace scoregate::auth {

namespace {

using nlohmann::json;

constexpr auto make_it = "save what the issuer publishes at its jwks_uri";

struct jws_deleter {
    void operator()(cjose_jws_t* jws) const noexcept { cjose_jws_release(jws); }
};

// A number as JWKs write it, without leading zeros.
std::string number_of(const json& key, const char* name) {
    const auto* const text = text_of(key, name);
    auto bytes = text != nullptr ? decode_base64url(*text) : std::nullopt;
    if (!bytes) return {};
    bytes->erase(0, std::min(bytes->find_first_not_of('\0'), bytes->size()));
    return std::move(*bytes);
}

std::size_t bits_of(const std::string& number) {
    if (number.empty()) return 0;
    return (number.size() - 1) * 8 + static_cast<std::size_t>(std::bit_width(static_cast<unsigned char>(number[0])));
}

bool is_odd(const std::string& number) {
    return !number.empty() && (static_cast<unsigned char>(number.back()) & 1) != 0;
}

uint8_t* bytes_of(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }

// Reads one set; what is in it is told by place, so that people find it.
class reader {
public:
    parsed_key_set read(std::string_view text) {
        const auto set = parse_object(text);
        const auto* const list =
            set && set->contains("keys") ? set->at("keys").get_ptr<const json::array_t*>() : nullptr;
        if (list == nullptr) {
            refuse(std::string("is not a JWKS, which is a JSON object with a list \"keys\" and no name twice: ") +
                   make_it);
        } else if (list->size() > key_set::max_keys) {
            refuse("holds more than 64 keys: leave out those that nothing is signed with any more");
        } else {
            for (const auto& each : *list) {
                at_ = "keys[" + std::to_string(&each - list->data()) + "] ";
                read_key(each);
            }
            if (made_.defects.empty() && keys_.empty())
                refuse(
                    std::string("holds no key that a token can be verified with (RSA for RS256, P-256 for ES256): ") +
                    make_it);
        }
        if (made_.defects.empty()) made_.value = std::make_unique<const key_set>(std::move(keys_));
        return std::move(made_);
    }

private:
    void refuse(const std::string& why) { made_.defects.push_back(why); }
    void skip(const std::string& why) { made_.warnings.push_back(at_ + "is not used: " + why); }

    void read_key(const json& key) {
        const auto* const type = key.is_object() ? text_of(key, "kty") : nullptr;
        if (type == nullptr) return refuse(at_ + "is not a JWK, an object with \"kty\": " + make_it);
        if (*type == "oct")
            return refuse(at_ +
                          "is a symmetric key, with which whoever can verify tokens can make them: sign with an RSA "
                          "or P-256 key, and list its public half");
        if (*type != "RSA" && *type != "EC") return skip("its kty is neither RSA nor EC");
        if (key.contains("kid") && text_of(key, "kid") == nullptr)
            return refuse(at_ + "has a kid that is no text: " + make_it);
        for (const auto* secret : {"d", "p", "q", "dp", "dq", "qi", "oth"})
            if (key.contains(secret)) {
                made_.warnings.push_back(at_ + "holds the private key: who can read it can make tokens; leave only the "
                                               "public half in the file, and use another key");
                break;
            }
        if (!for_signatures(key)) return;
        const bool rsa = *type == "RSA";
        const std::string_view algorithm = rsa ? "RS256" : "ES256";
        if (key.contains("alg") && key["alg"] != algorithm)
            return skip("its alg is not " + std::string(algorithm) + ", which is what its kty is accepted for");
        if (rsa)
            read_rsa(key);
        else
            read_ec(key);
    }

    bool for_signatures(const json& key) {
        if (key.contains("use") && key["use"] != "sig") {
            skip("its use is not sig");
            return false;
        }
        const auto operations = key.find("key_ops");
        if (operations == key.end() ||
            (operations->is_array() &&
             std::ranges::any_of(*operations, [](const json& each) { return each == "verify"; })))
            return true;
        skip("its key_ops do not have verify");
        return false;
    }

    void read_rsa(const json& key) {
        auto modulus = number_of(key, "n"), exponent = number_of(key, "e");
        // An exponent of 1 would let everyone sign; OpenSSL itself takes none over 64 bits with large moduli.
        const auto exponent_bits = bits_of(exponent);
        if (!is_odd(modulus) || !is_odd(exponent) || exponent_bits < 2 || exponent_bits > 64)
            return refuse(at_ + "is not a valid RSA key: " + make_it);
        const auto bits = bits_of(modulus);
        if (bits < key_set::min_rsa_bits || bits > key_set::max_rsa_bits)
            return skip("it has " + std::to_string(bits) + " bits, and 2048 to 4096 are accepted");
        cjose_jwk_rsa_keyspec wanted{};
        wanted.n = bytes_of(modulus);
        wanted.nlen = modulus.size();
        wanted.e = bytes_of(exponent);
        wanted.elen = exponent.size();
        keep(key, signature_algorithm::rs256, cjose_jwk_create_RSA_spec(&wanted, nullptr));
    }

    void read_ec(const json& key) {
        if (!key.contains("crv") || key["crv"] != "P-256") return skip("its crv is not P-256");
        auto x = number_of(key, "x"), y = number_of(key, "y");
        cjose_jwk_ec_keyspec wanted{};
        wanted.crv = CJOSE_JWK_EC_P_256;
        wanted.x = bytes_of(x);
        wanted.xlen = x.size();
        wanted.y = bytes_of(y);
        wanted.ylen = y.size();
        keep(key, signature_algorithm::es256, cjose_jwk_create_EC_spec(&wanted, nullptr)); // on the curve, or null
    }

    void keep(const json& key, signature_algorithm algorithm, cjose_jwk_t* value) {
        ERR_clear_error();
        if (value == nullptr) return refuse(at_ + "is not a valid key: " + make_it);
        const auto* const kid = text_of(key, "kid");
        keys_.push_back({algorithm, kid != nullptr ? std::optional(*kid) : std::nullopt, {}});
        keys_.back().value.reset(value);
    }

    parsed_key_set made_;
    std::vector<key_set::key> keys_;
    std::string at_;
};

constexpr const char* name_of(signature_algorithm algorithm) {
    return algorithm == signature_algorithm::rs256 ? "RS256" : "ES256";
}

} // namespace

std::optional<std::string> key_set::payload_of(std::string_view token, signature_algorithm by,
                                               const std::string* kid) const {
    // cjose halves whatever it gets for r and s, so that an odd byte would be ignored (RFC 7518 3.4: 32 bytes each).
    constexpr std::size_t es256_characters = (64 * 8 + 5) / 6;
    if (by == signature_algorithm::es256 && token.size() - token.rfind('.') - 1 != es256_characters)
        return std::nullopt;
    const std::unique_ptr<cjose_jws_t, jws_deleter> jws(cjose_jws_import(token.data(), token.size(), nullptr));
    // What cjose read as the algorithm, with a JSON parser of its own, is what it will do.
    const auto* const alg =
        jws ? cjose_header_get(cjose_jws_get_protected(jws.get()), CJOSE_HDR_ALG, nullptr) : nullptr;
    if (alg == nullptr || std::string_view(alg) != name_of(by)) return std::nullopt;
    std::size_t tries = 0; // bounded: anybody can have this done
    const bool verified = std::ranges::any_of(keys_, [&](const key& each) {
        return each.algorithm == by && (kid == nullptr || each.kid == *kid) && ++tries <= max_tries &&
               cjose_jws_verify(jws.get(), each.value.get(), nullptr);
    });
    ERR_clear_error(); // or the next TLS operation of this thread would take the failure for its own
    uint8_t* payload = nullptr;
    std::size_t size = 0;
    if (!verified || !cjose_jws_get_plaintext(jws.get(), &payload, &size, nullptr)) return std::nullopt;
    return std::string(reinterpret_cast<const char*>(payload), size);
}

parsed_key_set parse_key_set(std::string_view text) { return reader().read(text); }

} // namespace scoregate::auth
