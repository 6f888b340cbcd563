// A server certificate with its chain and key, and the checks that stand between the operator's files and the first
// handshake. Immutable: loaded on the control thread, shared by every core (each makes its own SSL_CTX from it) through
// shared_ptr<const certificate>. Knows nothing of sockets or of the configuration beyond the three TLS settings.
#pragma once

#include "config/model.hpp"
#include "config/problem.hpp"
#include "tls/openssl_ptr.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tls {

class certificate {
public:
    using time_point = std::chrono::system_clock::time_point;

    // Takes what belongs together; load_certificate is where that is checked. `chain` is without the leaf, may be
    // empty.
    certificate(x509_ptr leaf, x509_stack_ptr chain, pkey_ptr key);

    // For OpenSSL, whose calls want these non-const although they only count references. Owned by the certificate.
    X509* leaf() const noexcept { return leaf_.get(); }
    STACK_OF(X509) * chain() const noexcept { return chain_.get(); }
    EVP_PKEY* key() const noexcept { return key_.get(); }

    // Subject alternative names as written: DNS names and IP addresses as text. The common name is never one of them.
    const std::vector<std::string>& names() const noexcept { return names_; }
    time_point not_before() const noexcept { return not_before_; }
    time_point not_after() const noexcept { return not_after_; }
    const std::string& serial() const noexcept { return serial_; }     // upper-case hex, as `openssl x509 -serial`
    const std::string& subject() const noexcept { return subject_; }   // RFC 2253: CN=...,O=...
    const std::string& key_type() const noexcept { return key_type_; } // "ECDSA P-256", "RSA 2048"

private:
    x509_ptr leaf_;
    x509_stack_ptr chain_;
    pkey_ptr key_;
    std::vector<std::string> names_;
    time_point not_before_;
    time_point not_after_;
    std::string serial_;
    std::string subject_;
    std::string key_type_;
};

struct certificate_load {
    std::shared_ptr<const certificate> value; // empty when there is any problem
    config::problems problems;                // pointers /sslCertPemFile, /sslKeyPemFile, /sslCname
    std::vector<std::string> warnings;        // what clients will object to, each with what to do; log them loudly
    bool expired_or_not_yet_valid = false;    // the leaf, at `now`; also a warning. The caller knows refuse_expired
};

// Reads and checks the pair and collects every problem of both files. Never prompts, never throws for what a file
// holds. Blocks on the two files: start-up or control thread. `config_file` is what the problems name as their file.
certificate_load load_certificate(const config::certificate_files&, const std::string& config_file,
                                  certificate::time_point now);

// A name that clients can connect to: a host name without wildcard, or an IP literal without brackets.
bool valid_cname(std::string_view);

} // namespace scoregate::tls
