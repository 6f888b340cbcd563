// Whose certificates clients may show, and whether they have to (mutual TLS). Immutable: loaded and checked on the
// control thread, shared by the contexts of all cores, which verify with it. Knows nothing of sockets or SSL_CTX.
#pragma once

#include "config/model.hpp"
#include "tls/certificate.hpp"
#include "tls/content_digest.hpp"
#include "tls/openssl_ptr.hpp"

#include <memory>
#include <string>
#include <vector>

namespace scoregate::tls {

class client_trust {
public:
    // A chain may end at any of `authorities`, root or not.
    client_trust(std::vector<x509_ptr> authorities, config::client_ca::demand mode);

    const std::vector<x509_ptr>& authorities() const noexcept { return authorities_; }
    bool required() const noexcept { return mode_ == config::client_ca::demand::require; }
    // Of authorities and mode, whichever process computes it and in whatever order the file has them: what sessions are
    // bound to, so that none outlives the terms it was made under.
    const content_digest& id() const noexcept { return id_; }

private:
    std::vector<x509_ptr> authorities_;
    config::client_ca::demand mode_;
    content_digest id_;
};

struct client_trust_load {
    std::shared_ptr<const client_trust> value; // empty when there is any problem
    std::vector<std::string> problems;         // sentences with remedies
    std::vector<std::string> warnings;
    content_digest content{}; // what the file held, or why it could not be read
};

// Blocks on the file. Never throws for what it holds.
client_trust_load load_client_trust(const config::client_ca&, certificate::time_point now);
// The digest that load_client_trust of the same file would give, without parsing what it holds.
content_digest read_content(const config::client_ca&);

// What a replica is told of a verified certificate, in the syntax of Envoy's X-Forwarded-Client-Cert:
// Hash=<SHA-256 of the DER, hex>;Subject="<RFC 2253>". Printable ASCII whatever the certificate holds: control
// characters, non-ASCII bytes, quotes and backslashes of the name are two hex digits behind a backslash, so that
// nothing in it can end the quotes or the line. A name too long for `longest_forwarded` is left out whole: cut, it
// would be another name.
std::string forwarded_certificate(const X509*);
inline constexpr std::size_t longest_forwarded = 1024;

} // namespace scoregate::tls
