#include "tls/replica_trust.hpp"

#include "tls/pem.hpp"

#include <openssl/x509_vfy.h>

#include <stdexcept>
#include <utility>

namespace scoregate::tls {

namespace {

constexpr std::chrono::seconds between_complaints{10};

void require(bool succeeded, const char* what) {
    if (!succeeded) throw std::runtime_error(std::string("TLS to replicas: cannot ") + what + ": " + openssl_errors());
}

} // namespace

replica_trust::replica_trust(const std::string& ca_file, std::string server_name, const char* settings)
    : server_name_(std::move(server_name)), settings_(settings) {
    ERR_clear_error();
    context_.reset(SSL_CTX_new(TLS_client_method()));
    auto* const context = context_.get();
    require(context != nullptr, "make a context");
    require(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) == 1,
            "select TLS 1.2");
    require(SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1, "select the ciphers");
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    constexpr unsigned char http_1_1[] = "\x08http/1.1";
    require(SSL_CTX_set_alpn_protos(context, http_1_1, sizeof http_1_1 - 1) == 0, "offer http/1.1");
    if (ca_file.empty()) {
        require(SSL_CTX_set_default_verify_paths(context) == 1, "read the system's certificates");
        return;
    }
    const auto file = read_pem_file(ca_file);
    auto* const store = SSL_CTX_get_cert_store(context);
    // A certificate in the file is trusted as it is, whether or not it is a root.
    require(X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1, "trust the file's certificates");
    for (const auto& each : parse_certificates(ca_file, file.text.view()))
        require(X509_STORE_add_cert(store, each.get()) == 1, "use a certificate of ca_file");
    content_hash hash;
    hash.add(file.text.view());
    content_ = hash.finish();
}

ssl_ptr replica_trust::begin(const std::string& host) const {
    ssl_ptr made{SSL_new(context_.get())};
    if (!made) return made;
    const auto& name = server_name_.empty() ? host : server_name_;
    auto* const terms = SSL_get0_param(made.get());
    // The common name never counts (RFC 6125 6.4.4), a wildcard stands for one whole label.
    X509_VERIFY_PARAM_set_hostflags(terms, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const bool address = X509_VERIFY_PARAM_set1_ip_asc(terms, name.c_str()) == 1;
    if (!address) ERR_clear_error(); // it is a name
    if (!address &&
        (SSL_set1_host(made.get(), name.c_str()) != 1 || SSL_set_tlsext_host_name(made.get(), name.c_str()) != 1))
        made.reset();
    if (made) SSL_set_connect_state(made.get());
    return made;
}

bool replica_trust::may_complain() const {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    auto last = complained_.load(std::memory_order_relaxed);
    if (last != 0 && now - std::chrono::steady_clock::duration(last) < between_complaints) return false;
    return complained_.compare_exchange_strong(last, now.count(), std::memory_order_relaxed);
}

} // namespace scoregate::tls
