// What an X.509 certificate says, in this project's terms. Reads only; any thread that has the certificate. The calls
// that take it non-const do so for OpenSSL, which caches what it has parsed (under its own lock).
#pragma once

#include "tls/certificate.hpp"
#include "tls/openssl_ptr.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tls {

// Dates outside of the clock's range (RFC 5280 4.1.2.5: 99991231235959Z means no expiry) become its ends. One that is
// no date at all becomes the epoch: an expired certificate.
certificate::time_point to_time_point(const ASN1_TIME*);

std::string to_text(const ASN1_TIME*);    // 2026-01-31T12:00:00Z
std::string to_text(const X509_NAME*);    // RFC 2253, UTF-8
std::string serial_of(const X509*);       // upper-case hex
std::string key_type_of(const EVP_PKEY*); // "ECDSA P-256", "RSA 2048"; null is "unknown"
std::string signature_digest_of(X509*);   // "SHA256"
std::array<unsigned char, 32> fingerprint_of(const X509*);

// Subject alternative names: DNS names as written, IP addresses as text.
std::vector<std::string> names_of(const X509*);
// Names for a reader's eyes, comma-separated: at most `limit`, then how many more; bytes that are no printable ASCII
// as \xNN.
std::string to_text(const std::vector<std::string>& names, std::size_t limit = static_cast<std::size_t>(-1));

// RFC 6125 6.4: the SANs alone, a wildcard only as the whole left-most label, never the common name.
bool covers(X509*, std::string_view name);
bool ip_literal(const std::string&);

bool self_signed(X509*);
bool issued_by(X509* subject, X509* issuer); // by name, key identifier and signature

} // namespace scoregate::tls
