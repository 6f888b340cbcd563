// Owners of what OpenSSL hands out, and its error queue as text. OpenSSL counts references atomically, so what one of
// these owns may be shared between threads as OpenSSL's own documentation allows for the type.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <string>

namespace scoregate::tls {

template <auto Free>
struct openssl_deleter {
    template <typename T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};

// OSSL_STACK_OF's free functions are macros, so they need a function to be named by.
inline void free_certificates(STACK_OF(X509) * certificates) noexcept { sk_X509_pop_free(certificates, X509_free); }

using ssl_ptr = std::unique_ptr<SSL, openssl_deleter<SSL_free>>;
using ssl_ctx_ptr = std::unique_ptr<SSL_CTX, openssl_deleter<SSL_CTX_free>>;
using ssl_session_ptr = std::unique_ptr<SSL_SESSION, openssl_deleter<SSL_SESSION_free>>;
using x509_ptr = std::unique_ptr<X509, openssl_deleter<X509_free>>;
using x509_stack_ptr = std::unique_ptr<STACK_OF(X509), openssl_deleter<free_certificates>>;
using x509_extension_ptr = std::unique_ptr<X509_EXTENSION, openssl_deleter<X509_EXTENSION_free>>;
using pkey_ptr = std::unique_ptr<EVP_PKEY, openssl_deleter<EVP_PKEY_free>>;
using cipher_ptr = std::unique_ptr<EVP_CIPHER, openssl_deleter<EVP_CIPHER_free>>;
using bio_ptr = std::unique_ptr<BIO, openssl_deleter<BIO_free>>;
using bignum_ptr = std::unique_ptr<BIGNUM, openssl_deleter<BN_free>>;
using general_name_ptr = std::unique_ptr<GENERAL_NAME, openssl_deleter<GENERAL_NAME_free>>;
using general_names_ptr = std::unique_ptr<GENERAL_NAMES, openssl_deleter<GENERAL_NAMES_free>>;
using ip_address_ptr = std::unique_ptr<ASN1_OCTET_STRING, openssl_deleter<ASN1_OCTET_STRING_free>>;

// Empties this thread's error queue: the reasons, oldest first, joined by "; ". Empty when there are none.
inline std::string openssl_errors() {
    std::string text;
    while (const unsigned long code = ERR_get_error()) {
        std::array<char, 256> line{};
        const char* reason = ERR_reason_error_string(code);
        if (reason == nullptr) ERR_error_string_n(code, line.data(), line.size());
        text.append(text.empty() ? "" : "; ").append(reason != nullptr ? reason : line.data());
    }
    return text;
}

} // namespace scoregate::tls
