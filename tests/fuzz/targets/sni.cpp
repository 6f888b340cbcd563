#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"
#include "support/certificates.hpp"
#include "tls/certificate_store.hpp"

#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::fuzz {

namespace {

using certificates = std::vector<std::shared_ptr<const tls::certificate>>;

std::shared_ptr<const tls::certificate> made(std::vector<std::string> names,
                                             tests::key_kind kind = tests::key_kind::ec_p256) {
    tests::identity_terms terms;
    terms.names = std::move(names);
    terms.key = kind;
    auto own = tests::issue_self_signed(terms);
    return std::make_shared<const tls::certificate>(std::move(own.certificate), tls::x509_stack_ptr(sk_X509_new_null()),
                                                    std::move(own.key));
}

// Exact names and wildcards, nested, side by side with RSA, and one that another claims too.
const certificates& all() {
    static const certificates some{made({"www.contoso.com", "10.0.0.7"}), made({"*.contoso.com", "contoso.com"}),
                                   made({"*.models.contoso.com", "Iris.Contoso.com", "xn--bcher-kva.team.example"}),
                                   made({"*.models.contoso.com", "rsa.contoso.com"}, tests::key_kind::rsa_1024),
                                   made({"iris.contoso.com", "*.team.example"})};
    return some;
}

std::string lower(std::string_view text) {
    std::string made(text);
    for (char& c : made)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return made;
}

std::vector<std::string> labels_of(const std::string& name) {
    std::vector<std::string> all{""};
    for (const char c : name) {
        if (c == '.')
            all.emplace_back();
        else
            all.back() += c;
    }
    return all;
}

// RFC 6125 6.4.3, label by label: how well a SAN covers a name.
enum class fit { none, wildcard, exact };
fit fit_of(const std::string& san, const std::string& name) {
    const auto want = labels_of(lower(san)), have = labels_of(lower(name));
    if (want.size() != have.size()) return fit::none;
    for (std::size_t i = 1; i < have.size(); ++i)
        if (want[i] != have[i]) return fit::none;
    if (want.front() == have.front()) return fit::exact;
    return want.front() == "*" && want.size() > 1 && !have.front().empty() ? fit::wildcard : fit::none;
}

fit fit_of(const tls::certificate& identity, const std::string& name) {
    auto best = fit::none;
    for (const auto& san : identity.names()) best = std::max(best, fit_of(san, name));
    return best;
}

} // namespace

void sni(input bytes) {
    static const tls::certificate_store store(all(), "www.contoso.com");
    const std::string name(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto& chosen = store.choose(name);
    must(chosen.ecdsa != nullptr || chosen.rsa != nullptr, "there is always a certificate");
    must(&chosen == &store.choose(lower(name)), "case does not count");

    // What no client may send, or what names nothing, gets the default.
    const bool sound = !name.empty() && name.size() <= 255 && name.back() != '.';
    auto best = fit::none;
    if (sound)
        for (const auto& each : all()) best = std::max(best, fit_of(*each, name));
    if (best == fit::none) {
        must(&chosen == &store.fallback(), "an unknown name gets the default");
        return;
    }
    const auto serves = [&](const tls::certificate* one) { return one == nullptr ? fit::none : fit_of(*one, name); };
    must(std::max(serves(chosen.ecdsa), serves(chosen.rsa)) == best, "the best that there is");
    for (const auto* one : {chosen.ecdsa, chosen.rsa}) {
        if (one == nullptr) continue;
        must(serves(one) != fit::none, "none that does not cover the name");
        // Names of characters that no DNS name has are nobody's: OpenSSL refuses some of them, and so does a client.
        const bool plain = name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
                           std::string::npos;
        if (plain && name.find_first_not_of("0123456789.") != std::string::npos)
            must(X509_check_host(one->leaf(), name.data(), name.size(), 0, nullptr) == 1, "and OpenSSL agrees");
    }
    // Of those of one key type that cover it as well, the earliest.
    const tls::certificate *ecdsa = nullptr, *rsa = nullptr;
    for (const auto& each : all()) {
        auto& first = each->ecdsa() ? ecdsa : rsa;
        if (first == nullptr && fit_of(*each, name) == best) first = each.get();
    }
    must(ecdsa == nullptr || chosen.ecdsa == ecdsa, "of ECDSA the earliest");
    must(rsa == nullptr || chosen.rsa == rsa, "of RSA the earliest");
}

} // namespace scoregate::fuzz
