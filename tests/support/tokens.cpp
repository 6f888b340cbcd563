#include "support/tokens.hpp"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include <stdexcept>
#include <vector>

namespace scoregate::tests {

using nlohmann::json;

namespace {

void require(bool good, const char* what) {
    if (!good) throw std::runtime_error(std::string("cannot make a token: ") + what);
}

std::string number(const EVP_PKEY* key, const char* name, int size = 0) {
    BIGNUM* raw = nullptr;
    require(EVP_PKEY_get_bn_param(key, name, &raw) == 1, name);
    const tls::bignum_ptr value(raw);
    std::string bytes(static_cast<std::size_t>(size != 0 ? size : BN_num_bytes(value.get())), '\0');
    BN_bn2binpad(value.get(), reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    return to_base64url(bytes);
}

std::string raw_of(const std::string& der) {
    const auto* begin = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> parts(
        d2i_ECDSA_SIG(nullptr, &begin, static_cast<long>(der.size())), ECDSA_SIG_free);
    require(parts != nullptr, "r and s");
    std::string raw(64, '\0');
    auto* const to = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(parts.get()), to, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(parts.get()), to + 32, 32);
    return raw;
}

} // namespace

std::string to_base64url(std::string_view bytes) {
    static constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    unsigned held = 0, bits = 0;
    for (const char each : bytes) {
        held = held << 8 | static_cast<unsigned char>(each);
        for (bits += 8; bits >= 6; bits -= 6) text += letters[held >> (bits - 6) & 63];
    }
    if (bits != 0) text += letters[held << (6 - bits) & 63];
    return text;
}

signing_key::signing_key(key_kind kind, std::string name)
    : key(make_key(kind)), kid(std::move(name)), rsa(EVP_PKEY_is_a(key.get(), "RSA") == 1) {}

json signing_key::jwk() const {
    json made{{"kid", kid}, {"use", "sig"}};
    if (rsa) {
        made.update({{"kty", "RSA"}, {"alg", "RS256"}});
        made.update({{"n", number(key.get(), OSSL_PKEY_PARAM_RSA_N)}, {"e", number(key.get(), OSSL_PKEY_PARAM_RSA_E)}});
    } else {
        const int size = (EVP_PKEY_get_bits(key.get()) + 7) / 8;
        made.update({{"kty", "EC"}, {"crv", "P-" + std::to_string(EVP_PKEY_get_bits(key.get()))}});
        made.update({{"x", number(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, size)},
                     {"y", number(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, size)}});
    }
    return made;
}

json signing_key::private_jwk() const {
    auto made = jwk();
    made["d"] = number(key.get(), rsa ? OSSL_PKEY_PARAM_RSA_D : OSSL_PKEY_PARAM_PRIV_KEY);
    return made;
}

json signing_key::header() const { return {{"alg", rsa ? "RS256" : "ES256"}, {"kid", kid}, {"typ", "JWT"}}; }

std::string signing_key::signature(std::string_view of, bool der) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const auto* const text = reinterpret_cast<const unsigned char*>(of.data());
    std::size_t size = 0;
    require(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
                EVP_DigestSign(context.get(), nullptr, &size, text, of.size()) == 1,
            "a signature");
    std::string made(size, '\0');
    require(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(made.data()), &size, text, of.size()) == 1,
            "a signature");
    made.resize(size);
    return rsa || der ? made : raw_of(made);
}

std::string signing_key::sign_texts(std::string_view head, std::string_view claims) const {
    const auto signed_text = to_base64url(head) + "." + to_base64url(claims);
    return signed_text + "." + to_base64url(signature(signed_text));
}

std::string signing_key::sign(const json& head, const json& claims) const {
    return sign_texts(head.dump(), claims.dump());
}

std::string signing_key::public_pem() const {
    const tls::bio_ptr out(BIO_new(BIO_s_mem()));
    require(PEM_write_bio_PUBKEY(out.get(), key.get()) == 1, "a public key");
    char* text = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

std::string sign_hs256(const json& header, const json& claims, std::string_view secret) {
    const auto text = to_base64url(header.dump()) + "." + to_base64url(claims.dump());
    unsigned char made[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    require(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                 reinterpret_cast<const unsigned char*>(text.data()), text.size(), made, &size) != nullptr,
            "an HMAC");
    return text + "." + to_base64url({reinterpret_cast<const char*>(made), size});
}

json key_set_of(std::initializer_list<const signing_key*> keys) {
    json made{{"keys", json::array()}};
    for (const auto* each : keys) made["keys"].push_back(each->jwk());
    return made;
}

json claims_at(std::chrono::sys_seconds now) {
    const auto seconds = now.time_since_epoch().count();
    return {{"iss", "https://login.contoso.com"},
            {"aud", "https://ml.azure.com"},
            {"service", "iris"},
            {"iat", seconds},
            {"nbf", seconds},
            {"exp", seconds + 3600}};
}

config::token_settings token_terms(std::string jwks_file) {
    return {std::move(jwks_file), "https://login.contoso.com", "https://ml.azure.com", "service",
            "/services/iris/token"};
}

std::shared_ptr<const auth::token_verifier> verifier_of(std::initializer_list<const signing_key*> keys,
                                                        const std::string& service,
                                                        const config::token_settings& terms) {
    auto parsed = auth::parse_key_set(key_set_of(keys).dump());
    require(parsed.value != nullptr, "a verifier");
    return std::make_shared<const auth::token_verifier>(service, terms, std::move(parsed.value));
}

} // namespace scoregate::tests
