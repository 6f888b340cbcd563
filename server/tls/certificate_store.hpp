// Which certificates a client is served, by the name that it asks for (SNI). Immutable, plain code without I/O: made on
// the control thread, shared by every core through shared_ptr<const certificate_store>. Knows nothing of sockets, files
// or SSL_CTX.
#pragma once

#include "tls/certificate.hpp"
#include "tls/content_digest.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace scoregate::tls {

// What stands side by side for one name: OpenSSL chooses by what the client can do. At least one is there; both belong
// to the store.
struct served_certificates {
    const certificate* ecdsa = nullptr;
    const certificate* rsa = nullptr;
    content_digest id{}; // of the leaves, whichever process computes it: what session tickets are bound to
};

class certificate_store {
public:
    // The first of `all` is the default, joined by the first one of the other key type that covers `default_cname`.
    // Where two of one key type claim a name, the earlier is served. `all` is not empty.
    explicit certificate_store(std::vector<std::shared_ptr<const certificate>> all, std::string_view default_cname);
    certificate_store(const certificate_store&) = delete;
    certificate_store& operator=(const certificate_store&) = delete;

    // `server_name` as the client sent it, in any case; empty: none. Exact names go before wildcards, which cover one
    // label (RFC 6125 6.4.3); names are those of the SANs, never the common name. Unknown names get the default, a name
    // with a trailing dot among them (RFC 6066 3). Does not allocate.
    const served_certificates& choose(std::string_view server_name) const noexcept;
    const served_certificates& fallback() const noexcept { return *fallback_; }
    // True if choose() answers every name with fallback().
    bool single() const noexcept { return sets_.size() == 1; }

    const std::vector<std::shared_ptr<const certificate>>& all() const noexcept { return all_; }
    // Names that two certificates of one key type claim, as sentences for the operator.
    const std::vector<std::string>& warnings() const noexcept { return warnings_; }

private:
    struct name_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
    };
    using index = std::unordered_map<std::string, const served_certificates*, name_hash, std::equal_to<>>;

    const served_certificates* set_of(const certificate* ecdsa, const certificate* rsa);

    std::vector<std::shared_ptr<const certificate>> all_;
    std::map<std::pair<const certificate*, const certificate*>, served_certificates> sets_; // nodes stay where they are
    const served_certificates* fallback_;
    index exact_;     // lower case
    index wildcards_; // without the "*."
    std::vector<std::string> warnings_;
};

} // namespace scoregate::tls
