#include "tls/certificate_store.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace scoregate::tls {

namespace {

// RFC 6066 3: a HostName is ASCII; OpenSSL refuses more than 255 bytes.
constexpr std::size_t longest_name = 255;

char to_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower_case(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), to_lower);
    return name;
}

std::string_view fingerprint_of(const certificate* identity) {
    if (identity == nullptr) return {};
    const auto& bytes = identity->fingerprint();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

content_digest id_of(const certificate* ecdsa, const certificate* rsa) {
    content_hash hash;
    hash.add("scoregate: certificates that a session ticket is bound to");
    hash.add(fingerprint_of(ecdsa));
    hash.add(fingerprint_of(rsa));
    return hash.finish();
}

std::string to_text(const certificate& identity) {
    return "serial " + identity.serial() + (identity.subject().empty() ? "" : " (" + identity.subject() + ")");
}

// Who claims a name first, by key type.
struct claim {
    const certificate* ecdsa = nullptr;
    const certificate* rsa = nullptr;

    const certificate*& of(const certificate& identity) { return identity.ecdsa() ? ecdsa : rsa; }
};

} // namespace

certificate_store::certificate_store(std::vector<std::shared_ptr<const certificate>> all,
                                     std::string_view default_cname)
    : all_(std::move(all)) {
    assert(!all_.empty());
    claim defaults;
    for (const auto& each : all_)
        if (auto& place = defaults.of(*each); place == nullptr && (each == all_.front() || each->covers(default_cname)))
            place = each.get();
    fallback_ = set_of(defaults.ecdsa, defaults.rsa);

    std::map<std::string, claim> claims;
    std::map<std::pair<const certificate*, const certificate*>, std::string> contested; // served, not served: names
    for (const auto& each : all_)
        for (const auto& written : each->names()) {
            auto name = lower_case(written);
            auto& place = claims[name].of(*each);
            if (place == nullptr) place = each.get();
            if (place == each.get()) continue;
            auto& names = contested[{place, each.get()}];
            names.append(names.empty() ? "" : ", ").append(name);
        }
    for (const auto& [name, by] : claims) {
        if (name.starts_with("*.")) {
            wildcards_.emplace(name.substr(2), set_of(by.ecdsa, by.rsa));
            continue;
        }
        // A client without ECDSA is better served by the wildcard's RSA certificate than not at all. Not the other way
        // round: OpenSSL would then prefer the wildcard's ECDSA certificate to the exact one.
        const auto dot = name.find('.');
        const auto around = dot == name.npos ? claims.end() : claims.find('*' + name.substr(dot));
        const auto* const rsa = by.rsa == nullptr && around != claims.end() ? around->second.rsa : by.rsa;
        exact_.emplace(name, set_of(by.ecdsa, rsa));
    }
    for (const auto& [pair, names] : contested)
        warnings_.push_back("two " + std::string(pair.first->ecdsa() ? "ECDSA" : "RSA") + " certificates are for " +
                            names + ": " + to_text(*pair.first) + " is served, " + to_text(*pair.second) +
                            " is not; remove one of them from the configuration");
    std::sort(warnings_.begin(), warnings_.end());
}

const served_certificates* certificate_store::set_of(const certificate* ecdsa, const certificate* rsa) {
    const auto [set, added] = sets_.try_emplace({ecdsa, rsa});
    if (added) set->second = {ecdsa, rsa, id_of(ecdsa, rsa)};
    return &set->second;
}

const served_certificates& certificate_store::choose(std::string_view server_name) const noexcept {
    if (server_name.empty() || server_name.size() > longest_name || server_name.back() == '.') return *fallback_;
    std::array<char, longest_name> buffer;
    std::transform(server_name.begin(), server_name.end(), buffer.begin(), to_lower);
    const std::string_view name{buffer.data(), server_name.size()};
    if (const auto found = exact_.find(name); found != exact_.end()) return *found->second;
    const auto dot = name.find('.');
    if (dot == 0 || dot == name.npos) return *fallback_;
    const auto found = wildcards_.find(name.substr(dot + 1));
    return found != wildcards_.end() ? *found->second : *fallback_;
}

} // namespace scoregate::tls
