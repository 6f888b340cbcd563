#include "support/certificates.hpp"

#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace scoregate::tests {

namespace {

void require(bool succeeded, const char* what) {
    if (!succeeded) throw std::runtime_error(std::string("cannot ") + what + ": " + tls::openssl_errors());
}

identity issue_by(const identity_terms& terms, const identity* issuer) {
    identity made{nullptr, make_key(terms.key)};
    EVP_PKEY* signing_key = issuer != nullptr ? issuer->key.get() : made.key.get();
    made.certificate =
        tls::issue_certificate({terms.kind, terms.common_name, terms.names, terms.not_before, terms.not_after},
                               made.key.get(), {issuer != nullptr ? issuer->certificate.get() : nullptr, signing_key});
    X509* x509 = made.certificate.get();
    if (terms.left_out != NID_undef) {
        const tls::x509_extension_ptr removed{X509_delete_ext(x509, X509_get_ext_by_NID(x509, terms.left_out, -1))};
        require(removed != nullptr, "leave an extension out");
    }
    if (terms.left_out != NID_undef || terms.digest != EVP_sha256())
        require(X509_sign(x509, signing_key, terms.digest) > 0, "sign");
    // As a peer would see it: without what OpenSSL keeps of the certificate it has just built.
    made.certificate.reset(X509_dup(x509));
    require(made.certificate != nullptr, "copy a certificate");
    return made;
}

} // namespace

tls::pkey_ptr make_key(key_kind kind) {
    const auto make = [kind] {
        switch (kind) {
        case key_kind::rsa_2048: return EVP_RSA_gen(2048);
        case key_kind::rsa_1024: return EVP_RSA_gen(1024);
        case key_kind::ec_p256: return EVP_EC_gen("P-256");
        case key_kind::ec_p384: return EVP_EC_gen("P-384");
        case key_kind::ec_p521: return EVP_EC_gen("P-521");
        case key_kind::ed25519: return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
        }
        throw std::logic_error("no such key");
    };
    tls::pkey_ptr key{make()};
    require(key != nullptr, "make a key");
    return key;
}

tls::pkey_ptr make_mixed_key(const EVP_PKEY* key, const EVP_PKEY* other, const std::vector<std::string_view>& taken) {
    using params_ptr = std::unique_ptr<OSSL_PARAM, tls::openssl_deleter<OSSL_PARAM_free>>;
    using context_ptr = std::unique_ptr<EVP_PKEY_CTX, tls::openssl_deleter<EVP_PKEY_CTX_free>>;
    const auto numbers_of = [](const EVP_PKEY* from) {
        OSSL_PARAM* params = nullptr;
        require(EVP_PKEY_todata(from, EVP_PKEY_KEYPAIR, &params) == 1, "take a key apart");
        return params_ptr{params};
    };
    const auto own = numbers_of(key), others = numbers_of(other);
    std::vector<OSSL_PARAM> mixed;
    for (const auto* at = own.get(); at->key != nullptr; ++at) {
        const bool from_other = std::find(taken.begin(), taken.end(), at->key) != taken.end();
        mixed.push_back(from_other ? *OSSL_PARAM_locate(others.get(), at->key) : *at);
    }
    mixed.push_back(OSSL_PARAM_construct_end());
    const context_ptr context{EVP_PKEY_CTX_new_from_name(nullptr, EVP_PKEY_get0_type_name(key), nullptr)};
    EVP_PKEY* made = nullptr;
    require(context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
                EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, mixed.data()) == 1,
            "put a key together");
    return tls::pkey_ptr{made};
}

identity issue(const identity_terms& terms, const identity& issuer) { return issue_by(terms, &issuer); }
identity issue_self_signed(const identity_terms& terms) { return issue_by(terms, nullptr); }

std::string hierarchy::certificate_pem() const { return to_pem({&leaf, &intermediate}); }
std::string hierarchy::key_pem() const { return tls::to_pem(leaf.key.get()); }
std::string hierarchy::root_pem() const { return to_pem({&root}); }

std::shared_ptr<const tls::certificate> hierarchy::certificate() const {
    tls::x509_ptr leaf_copy{X509_dup(leaf.certificate.get())};
    tls::x509_ptr intermediate_copy{X509_dup(intermediate.certificate.get())};
    tls::pkey_ptr key_copy{EVP_PKEY_dup(leaf.key.get())};
    tls::x509_stack_ptr chain{sk_X509_new_null()};
    require(leaf_copy && intermediate_copy && key_copy && chain, "copy a certificate");
    require(sk_X509_push(chain.get(), intermediate_copy.get()) > 0, "make a chain");
    static_cast<void>(intermediate_copy.release()); // the chain's now
    return std::make_shared<const tls::certificate>(std::move(leaf_copy), std::move(chain), std::move(key_copy));
}

hierarchy make_hierarchy(const identity_terms& leaf_terms) {
    identity_terms authority;
    authority.kind = tls::certificate_kind::authority;
    authority.names.clear();
    authority.common_name = "Test Root";
    auto root = issue_self_signed(authority);
    authority.common_name = "Test Intermediate";
    auto intermediate = issue(authority, root);
    auto leaf = issue(leaf_terms, intermediate);
    return {std::move(root), std::move(intermediate), std::move(leaf)};
}

std::string to_pem(std::initializer_list<const identity*> identities) {
    std::string text;
    for (const auto* each : identities) text += tls::to_pem(each->certificate.get());
    return text;
}

pem_directory::pem_directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "scoregate-pem-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    path_ = pattern;
}

pem_directory::~pem_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string pem_directory::write(std::string_view name, std::string_view text) const {
    const auto file = path_ / name;
    std::ofstream out(file, std::ios::binary);
    out << text;
    if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
    std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return file.string();
}

config::certificate_files pem_directory::write_pair(std::string_view certificate, std::string_view key,
                                                    std::string cname) const {
    return {write("cert.pem", certificate), write("key.pem", key), std::move(cname)};
}

} // namespace scoregate::tests
