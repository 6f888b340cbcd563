#include "tls/server_context.hpp"

#include <openssl/rand.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace scoregate::tls {

namespace {

// Every one is ECDHE + AEAD. The server's order decides, AES-128 first because it is the cheapest with AES
// instructions; SSL_OP_PRIORITIZE_CHACHA yields to a client that puts ChaCha20 first, as those without such
// instructions do.
constexpr auto ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                         "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr auto groups = "X25519:P-256";
constexpr std::string_view http_1_1 = "http/1.1";

// RFC 7301 3.2: a server that supports none of the client's protocols answers with the fatal alert
// no_application_protocol; going on without would have an HTTP/2 client speak frames at us. `offer` is well formed,
// OpenSSL has checked it. Not called for a client that offers nothing.
int select_protocol(SSL*, const unsigned char** selected, unsigned char* selected_size, const unsigned char* offer,
                    unsigned offer_size, void*) {
    for (unsigned at = 0; at < offer_size; at += 1U + offer[at]) {
        const std::string_view protocol{reinterpret_cast<const char*>(offer + at + 1), offer[at]};
        if (protocol != http_1_1) continue;
        *selected = offer + at + 1;
        *selected_size = offer[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void require(bool succeeded, const char* what) {
    if (!succeeded) throw std::runtime_error(std::string("TLS: cannot ") + what + ": " + openssl_errors());
}

} // namespace

ticket_keys random_ticket_keys() {
    ticket_keys keys;
    require(RAND_priv_bytes(keys.data(), keys.size()) == 1, "make session ticket keys");
    return keys;
}

ssl_ctx_ptr make_server_context(const certificate& identity, const ticket_keys& keys) {
    ERR_clear_error();
    ssl_ctx_ptr owner{SSL_CTX_new(TLS_server_method())};
    SSL_CTX* context = owner.get();
    require(context != nullptr, "make a context");

    require(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) == 1,
            "select TLS 1.2");
    SSL_CTX_set_security_level(context, 2); // 112 bits; load_certificate refuses what this would
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    require(SSL_CTX_set_cipher_list(context, ciphers) == 1, "select the ciphers");
    require(SSL_CTX_set1_groups_list(context, groups) == 1, "select the key exchange groups");
    SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);

    // A session lives in the client's ticket: nothing to lock, nothing to grow, valid on every core.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    auto ticket = keys; // the call takes them non-const
    require(SSL_CTX_set_tlsext_ticket_keys(context, ticket.data(), ticket.size()) == 1, "set the session ticket keys");
    OPENSSL_cleanse(ticket.data(), ticket.size());

    // The stream retries a write with what is left, from wherever it then lies. NO_AUTO_CHAIN: clients get the chain of
    // the file; otherwise OpenSSL searches the system's trust store for a missing one in every handshake.
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    require(SSL_CTX_use_cert_and_key(context, identity.leaf(), identity.key(), identity.chain(), 1) == 1,
            "use the certificate");
    return owner;
}

} // namespace scoregate::tls
