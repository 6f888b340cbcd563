// A server certificate with its chain and key. Immutable: loaded on the control thread (certificate_check.hpp), shared
// by every core (each makes its own SSL_CTX from it) through shared_ptr<const certificate>. Knows nothing of files,
// sockets or the configuration.
#pragma once

#include "tls/openssl_ptr.hpp"

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tls {

class certificate {
public:
    using time_point = std::chrono::system_clock::time_point;

    // Takes what belongs together; load_certificate is where that is checked. `chain` is without the leaf, may be
    // empty. The key's memory is wiped when the last owner drops the certificate.
    certificate(x509_ptr leaf, x509_stack_ptr chain, pkey_ptr key);

    // For OpenSSL, whose calls want these non-const although they only count references. Owned by the certificate.
    X509* leaf() const noexcept { return leaf_.get(); }
    STACK_OF(X509) * chain() const noexcept { return chain_.get(); }
    EVP_PKEY* key() const noexcept { return key_.get(); }

    // Subject alternative names as written: DNS names and IP addresses as text. The common name is never one of them.
    const std::vector<std::string>& names() const noexcept { return names_; }
    // Whether clients of this name accept the leaf: RFC 6125, over the names() alone.
    bool covers(std::string_view name) const;

    time_point not_before() const noexcept { return not_before_; }
    time_point not_after() const noexcept { return not_after_; }
    const std::string& serial() const noexcept { return serial_; }     // upper-case hex, as `openssl x509 -serial`
    const std::string& subject() const noexcept { return subject_; }   // RFC 2253: CN=...,O=...
    const std::string& key_type() const noexcept { return key_type_; } // "ECDSA P-256", "RSA 2048"
    bool ecdsa() const noexcept { return ecdsa_; }                     // else the key is RSA
    // SHA-256 over the leaf's DER, as `openssl x509 -fingerprint -sha256`: two equal ones are the same certificate.
    const std::array<unsigned char, 32>& fingerprint() const noexcept { return fingerprint_; }

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
    bool ecdsa_;
    std::array<unsigned char, 32> fingerprint_;
};

} // namespace scoregate::tls
