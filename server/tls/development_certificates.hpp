// Certificates for development: a CA and a leaf that strict verifiers accept (RFC 5280 profile), written as PEM. Run by
// `scoregate cert dev`, never by the server. The CA's key exists only in memory, so nothing else can ever be issued by
// it.
#pragma once

#include "tls/certificate.hpp"
#include "tls/openssl_ptr.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace scoregate::tls {

enum class certificate_kind { server, authority };

// What one certificate says.
struct certificate_terms {
    certificate_kind kind = certificate_kind::server;
    std::string common_name;        // at most 64 characters (RFC 5280, ub-common-name)
    std::vector<std::string> names; // subject alternative names: host names (wildcards too) and IP literals
    certificate::time_point not_before;
    certificate::time_point not_after;
};

struct certificate_issuer {
    X509* certificate = nullptr; // null: self-signed
    EVP_PKEY* key = nullptr;     // borrowed, as is the certificate
};

// Signs with SHA-256, under a random serial. Throws std::runtime_error with OpenSSL's reasons.
x509_ptr issue_certificate(const certificate_terms&, EVP_PKEY* subject_key, const certificate_issuer&);

// The key as unencrypted PKCS#8. Both throw std::runtime_error with OpenSSL's reasons.
std::string to_pem(X509*);
std::string to_pem(EVP_PKEY*);

struct development_certificates {
    std::filesystem::path authority;   // ca.pem: what clients are told to trust
    std::filesystem::path certificate; // cert.pem: leaf, then CA
    std::filesystem::path key;         // key.pem: PKCS#8, mode 0600
    std::vector<std::string> names;    // the leaf's subject alternative names
};

// Writes the three files into `directory`, made when absent; ECDSA P-256, valid from an hour ago for `days` (1 ..
// 36500). "localhost" is also 127.0.0.1 and ::1. Existing files are an error unless `overwrite`, which then replaces
// each atomically. Throws std::runtime_error with a sentence for the operator.
development_certificates make_development_certificates(const std::filesystem::path& directory, const std::string& cname,
                                                       unsigned days, bool overwrite);

// Whether all three files are there, whatever they hold.
bool has_development_certificates(const std::filesystem::path& directory);

} // namespace scoregate::tls
