// Certificates made in memory for tests: root, intermediate, leaf, good ones and ones with a chosen flaw, and a
// temporary folder to put them into as PEM. Throws std::runtime_error when something cannot be made. Any thread.
#pragma once

#include "config/model.hpp"
#include "tls/certificate.hpp"
#include "tls/development_certificates.hpp"

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tests {

enum class key_kind { rsa_2048, rsa_1024, ec_p256, ec_p384, ec_p521, ed25519 };

tls::pkey_ptr make_key(key_kind);
// `key` with some of its numbers (OSSL_PKEY_PARAM_...) from another one of its kind: no key that fits together.
tls::pkey_ptr make_mixed_key(const EVP_PKEY* key, const EVP_PKEY* other, const std::vector<std::string_view>& taken);

struct identity {
    tls::x509_ptr certificate;
    tls::pkey_ptr key;
};

struct identity_terms {
    std::string common_name = "server";
    std::vector<std::string> names{"www.contoso.com"}; // DNS names and IP literals
    key_kind key = key_kind::ec_p256;
    tls::certificate_kind kind = tls::certificate_kind::server;
    std::chrono::system_clock::time_point not_before = std::chrono::system_clock::now() - std::chrono::hours(1);
    std::chrono::system_clock::time_point not_after = std::chrono::system_clock::now() + std::chrono::days(30);
    const EVP_MD* digest = EVP_sha256();
    int left_out = NID_undef; // an extension that it shall not have
};

identity issue(const identity_terms&, const identity& issuer);
identity issue_self_signed(const identity_terms&);

// root -> intermediate -> leaf.
struct hierarchy {
    identity root;
    identity intermediate;
    identity leaf;

    std::string certificate_pem() const; // leaf, intermediate: what a server's file holds
    std::string key_pem() const;
    std::string root_pem() const; // what a client trusts
    std::shared_ptr<const tls::certificate> certificate() const;
};

hierarchy make_hierarchy(const identity_terms& leaf = {});

// The certificates, one after the other.
std::string to_pem(std::initializer_list<const identity*>);

// A folder of its own, removed with all it holds.
class pem_directory {
public:
    pem_directory();
    ~pem_directory();
    pem_directory(const pem_directory&) = delete;
    pem_directory& operator=(const pem_directory&) = delete;

    const std::filesystem::path& path() const noexcept { return path_; }
    // Mode 0600; returns the file's path.
    std::string write(std::string_view name, std::string_view text) const;
    // cert.pem and key.pem
    config::certificate_files write_pair(std::string_view certificate, std::string_view key, std::string cname) const;

private:
    std::filesystem::path path_;
};

} // namespace scoregate::tests
