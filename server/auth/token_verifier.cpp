#include "auth/token_verifier.hpp"

#include "auth/base64url.hpp"
#include "auth/sha256.hpp"
#include "auth/strict_json.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

namespace scoregate::auth {

namespace {

using base::fail;
using base::fault;
using nlohmann::json;
using time_point = token_verifier::time_point;

std::uint64_t next_version() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

// The header's part of a token that has the shape of one: three parts of base64url. An empty signature is one: it is
// what `alg: none` comes with, and refused for that.
std::optional<std::string_view> header_of(std::string_view token) {
    if (token.size() > token_verifier::max_token_size) return std::nullopt;
    const auto first = token.find('.');
    const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
    if (second == std::string_view::npos) return std::nullopt;
    const auto header = token.substr(0, first), claims = token.substr(first + 1, second - first - 1);
    const bool shaped = !header.empty() && !claims.empty() && is_base64url(header) && is_base64url(claims) &&
                        is_base64url(token.substr(second + 1));
    return shaped ? std::optional(header) : std::nullopt;
}

std::optional<signature_algorithm> algorithm_of(const json& header) {
    const auto* const alg = text_of(header, "alg");
    if (alg == nullptr) return std::nullopt;
    if (*alg == "RS256") return signature_algorithm::rs256;
    if (*alg == "ES256") return signature_algorithm::es256;
    return std::nullopt; // "none" and HMAC before all: a public key must never serve as a secret
}

// Whether the claim is `wanted`, or a list with it.
bool names(const json& claims, const std::string& claim, const std::string& wanted) {
    const auto found = claims.find(claim);
    if (found == claims.end()) return false;
    const auto is_it = [&](const json& value) {
        const auto* const text = value.get_ptr<const std::string*>();
        return text != nullptr && *text == wanted;
    };
    return is_it(*found) || (found->is_array() && std::ranges::any_of(*found, is_it));
}

// NumericDate (RFC 7519 2), down to the second. Nothing if it is none, or before 1970 or after 9999.
std::optional<time_point> date_of(const json& value) {
    constexpr double last = 253402300799;
    if (!value.is_number()) return std::nullopt;
    const auto seconds = value.get<double>();
    if (!(seconds >= 0 && seconds <= last)) return std::nullopt;
    return time_point(std::chrono::seconds(static_cast<std::int64_t>(std::floor(seconds))));
}

// Whether the claim is absent or a time that has come.
bool has_come(const json& claims, const char* claim, time_point now) {
    const auto found = claims.find(claim);
    if (found == claims.end()) return true;
    const auto date = date_of(*found);
    return date && *date <= now + token_verifier::skew;
}

// As good as random, and never one of the small numbers that keys have.
std::uint64_t number_of(std::string_view caller) {
    const auto digest = sha256(caller);
    std::uint64_t number = 0;
    std::memcpy(&number, digest.data(), sizeof number);
    return number | std::uint64_t{1} << 63;
}

} // namespace

token_verifier::token_verifier(std::string service, config::token_settings terms, std::unique_ptr<const key_set> keys)
    : service_(std::move(service)), terms_(std::move(terms)), keys_(std::move(keys)), version_(next_version()) {}

base::result<token_verifier::verified> token_verifier::verify(std::string_view token, time_point now) const {
    const auto encoded = header_of(token);
    const auto decoded = encoded ? decode_base64url(*encoded) : std::nullopt;
    const auto header = decoded ? parse_object(*decoded) : std::nullopt;
    if (!header) return fail(fault::auth_malformed);
    const auto algorithm = algorithm_of(*header);
    const auto* const kid = text_of(*header, "kid");
    // `crit` names what must be understood (RFC 7515 4.1.11), and nothing of that kind is.
    if (!algorithm || header->contains("crit") || (header->contains("kid") && kid == nullptr))
        return fail(fault::auth_wrong);
    const auto claims = keys_->payload_of(token, *algorithm, kid);
    if (!claims) return fail(fault::auth_wrong);
    return judge(*claims, token, now);
}

base::result<token_verifier::verified> token_verifier::judge(std::string_view text, std::string_view token,
                                                             time_point now) const {
    const auto claims = parse_object(text);
    if (!claims) return fail(fault::auth_wrong);
    const auto* const issuer = text_of(*claims, "iss");
    const auto expiry = claims->find("exp");
    const auto expires = expiry == claims->end() ? std::nullopt : date_of(*expiry);
    if (issuer == nullptr || *issuer != terms_.issuer || !names(*claims, "aud", terms_.audience) ||
        !names(*claims, terms_.service_claim, service_) || !expires || !has_come(*claims, "nbf", now) ||
        !has_come(*claims, "iat", now))
        return fail(fault::auth_wrong);
    const auto good_until = *expires + skew;
    if (now >= good_until) return fail(fault::auth_expired);
    const auto* const subject = text_of(*claims, "sub");
    return verified{good_until,
                    number_of(subject != nullptr ? std::string_view(*subject) : token.substr(0, token.rfind('.')))};
}

} // namespace scoregate::auth
