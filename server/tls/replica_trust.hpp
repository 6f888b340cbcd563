// What a replica has to prove before it gets a request over TLS: a chain to one of these certificates, and a name. One
// for each deployment with https:// replicas; immutable, shared by all cores (OpenSSL locks what a handshake needs of
// it, and handshakes with replicas are rare). Made on the control thread or one of base::background.
#pragma once

#include "tls/content_digest.hpp"
#include "tls/openssl_ptr.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace scoregate::tls {

class replica_trust {
public:
    // `ca_file`: certificates in PEM, any of which a chain may end at; empty: the system's. `server_name`: the name or
    // IP literal that the certificate must have and that is asked for by SNI; empty: the host of the replica's URL.
    // `settings`: what to check where it is not trusted; a literal.
    // Blocks on the file. Throws unusable_file (pem.hpp) for the file, std::runtime_error for what OpenSSL will not do.
    replica_trust(const std::string& ca_file, std::string server_name,
                  const char* settings = "replica_tls.ca_file and replica_tls.server_name");

    // Whether a connection made with one is as good as one made with the other.
    friend bool operator==(const replica_trust& a, const replica_trust& b) {
        return a.server_name_ == b.server_name_ && a.content_ == b.content_;
    }

    // The client's end of a connection to a replica whose URL has `host`: TLS 1.2, verification on, SNI for a name but
    // not for an address (RFC 6066 3). Null with the reasons in OpenSSL's queue.
    ssl_ptr begin(const std::string& host) const;

    const char* settings() const { return settings_; }
    // True once in ten seconds, for whoever wants to log that a replica is not trusted. Any thread.
    bool may_complain() const;

private:
    ssl_ctx_ptr context_;
    std::string server_name_;
    const char* settings_;
    content_digest content_{};
    mutable std::atomic<std::chrono::steady_clock::time_point::rep> complained_{0};
};

} // namespace scoregate::tls
