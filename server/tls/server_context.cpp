#include "tls/server_context.hpp"

#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cassert>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

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

// What a context serves from. The context owns it, and every connection of it owns the context.
struct served_from {
    std::shared_ptr<const certificate_store> certificates;
    std::shared_ptr<const ticket_keys> keys;
    std::shared_ptr<const client_trust> clients; // null: no certificate is asked for
    cipher_ptr ticket_cipher;                    // fetching takes a lock that all cores would share
};

void free_served_from(void*, void* owned, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<served_from*>(owned);
}

int ex_data_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_served_from);
    return index;
}

const served_from& behind(const SSL* ssl) {
    return *static_cast<const served_from*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ex_data_index()));
}

// ---- certificates -------------------------------------------------------------------------------------------------

// RFC 6066 3: a list of (type, name), one name per type, and there is no other type than host_name (0). Empty if the
// client named no host; also if what it sent is malformed, which OpenSSL then refuses.
std::string_view server_name(SSL* ssl) {
    const unsigned char* bytes = nullptr;
    std::size_t size = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1) return {};
    constexpr std::size_t before_name = 5; // list size (2), type (1), name size (2)
    if (size < before_name || bytes[2] != TLSEXT_NAMETYPE_host_name) return {};
    const std::size_t name_size = bytes[3] * 256U + bytes[4];
    if (name_size > size - before_name) return {};
    return {reinterpret_cast<const char*>(bytes) + before_name, name_size};
}

// In place of the default's, which every connection begins with. A full handshake only. Answering 0 ends the handshake
// with the alert internal_error.
int use_certificates(SSL* ssl, void* chosen) {
    const auto& set = *static_cast<const served_certificates*>(chosen);
    SSL_certs_clear(ssl);
    for (const auto* each : {set.ecdsa, set.rsa})
        if (each != nullptr && SSL_use_cert_and_key(ssl, each->leaf(), each->key(), each->chain(), 1) != 1) return 0;
    return 1;
}

// A ticket is opened after this and before any other callback, so here it must be known what the client is served:
// OpenSSL resumes a session only under the id that it was made under.
int choose_certificates(SSL* ssl, int* alert, void* store) {
    const auto& certificates = *static_cast<const certificate_store*>(store);
    const auto& chosen = certificates.choose(server_name(ssl));
    if (&chosen == &certificates.fallback()) return SSL_CLIENT_HELLO_SUCCESS; // as the context has it
    *alert = SSL_AD_INTERNAL_ERROR;
    if (SSL_set_session_id_context(ssl, chosen.id.data(), chosen.id.size()) != 1) return SSL_CLIENT_HELLO_ERROR;
    SSL_set_cert_cb(ssl, use_certificates, const_cast<served_certificates*>(&chosen)); // only read, see above
    return SSL_CLIENT_HELLO_SUCCESS;
}

// RFC 6066 3: a server that goes by the name says so with an empty server_name of its own. Also has the session keep
// the name, so that SSL_get_servername still knows it when the session is resumed.
int acknowledge_name(SSL*, int*, void*) { return SSL_TLSEXT_ERR_OK; }

void serve_certificates(SSL_CTX* context, const certificate_store& certificates) {
    const auto& defaults = certificates.fallback();
    for (const auto* each : {defaults.ecdsa, defaults.rsa})
        require(each == nullptr || SSL_CTX_use_cert_and_key(context, each->leaf(), each->key(), each->chain(), 1) == 1,
                "use the certificate");
    require(SSL_CTX_set_session_id_context(context, defaults.id.data(), defaults.id.size()) == 1,
            "bind sessions to the certificates");
    SSL_CTX_set_tlsext_servername_callback(context, acknowledge_name);
    if (certificates.single()) return;
    SSL_CTX_set_client_hello_cb(context, choose_certificates, const_cast<certificate_store*>(&certificates));
}

// ---- session tickets ----------------------------------------------------------------------------------------------

// HMAC is fetched by OpenSSL, and fetches its digest by name itself.
bool prepare(EVP_MAC_CTX* mac, const ticket_key& key) {
    char digest[] = "SHA256";
    const auto hmac = key.hmac();
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(hmac.data()), hmac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

// Goes on without a ticket. The stream takes OpenSSL's error queue for the connection's.
int failed_ticket() {
    ERR_clear_error();
    return 0;
}

// SSL_CTX_set_tlsext_ticket_key_evp_cb(3), RFC 5077 4. 0: no ticket is sent, or the one received is passed over. 1: go
// on. 2: go on, and replace the client's ticket.
int ticket_callback(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                    int encrypting) {
    const auto& served = behind(ssl);
    const EVP_CIPHER* aes = served.ticket_cipher.get();
    const ticket_key& newest = served.keys->encrypting();
    const ticket_key* key = encrypting == 1 ? &newest : served.keys->find(std::span<const unsigned char, 16>(name, 16));
    if (key == nullptr) return 0;
    if (encrypting == 1) {
        std::copy(newest.name().begin(), newest.name().end(), name);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1) return failed_ticket();
    }
    if (EVP_CipherInit_ex2(cipher, aes, key->aes().data(), iv, encrypting, nullptr) != 1 || !prepare(mac, *key))
        return failed_ticket();
    return key == &newest ? 1 : 2;
}

// A session lives in the client's ticket: nothing to lock, nothing to grow, valid on every core.
void issue_tickets(SSL_CTX* context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, std::chrono::seconds(session_lifetime).count());
    require(SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_callback) == 1, "set the session ticket keys");
}

// ---- clients' certificates ----------------------------------------------------------------------------------------

// Intermediates between a client's certificate and one of ours, and bytes of all that it sends: a client that nobody
// knows yet decides how much there is to verify.
constexpr int deepest_chain = 4;
constexpr long longest_chain = 32 * 1024;
// The names of the authorities help a client to choose among its certificates, but every one that connects gets them:
// beyond this none is sent, which lets it offer any (RFC 5246 7.4.4).
constexpr std::size_t most_bytes_of_names = 8 * 1024;

void name_authorities(SSL_CTX* context, const client_trust& clients) {
    STACK_OF(X509_NAME)* const names = sk_X509_NAME_new_null();
    require(names != nullptr, "name the authorities");
    SSL_CTX_set_client_CA_list(context, names); // the context's now
    std::size_t bytes = 0;
    for (const auto& each : clients.authorities()) {
        const auto* const name = X509_get_subject_name(each.get());
        bytes += static_cast<std::size_t>(std::max(i2d_X509_NAME(name, nullptr), 0)) + 2;
    }
    if (bytes > most_bytes_of_names) return;
    for (const auto& each : clients.authorities())
        require(SSL_CTX_add_client_CA(context, each.get()) == 1, "name an authority");
}

// A session keeps the client's certificate, or that there was none: it is bound to the terms it was made under.
int bind_session(SSL* ssl, void*) {
    const auto& id = behind(ssl).clients->id();
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), id.data(), id.size());
}

// Whether what the session says of the client is still so. OpenSSL verifies in full handshakes alone.
bool still_trusted(SSL_SESSION* session, const client_trust& clients) {
    void* bound = nullptr;
    std::size_t size = 0;
    const auto& id = clients.id();
    if (SSL_SESSION_get0_ticket_appdata(session, &bound, &size) != 1 || size != id.size() ||
        !std::equal(id.begin(), id.end(), static_cast<const unsigned char*>(bound)))
        return false;
    const X509* const shown = SSL_SESSION_get0_peer(session);
    return shown == nullptr || X509_cmp_current_time(X509_get0_notAfter(shown)) > 0;
}

SSL_TICKET_RETURN judge_session(SSL* ssl, SSL_SESSION* session, const unsigned char*, std::size_t,
                                SSL_TICKET_STATUS opened, void*) {
    const bool usable = opened == SSL_TICKET_SUCCESS || opened == SSL_TICKET_SUCCESS_RENEW;
    if (!usable || !still_trusted(session, *behind(ssl).clients)) return SSL_TICKET_RETURN_IGNORE_RENEW;
    return opened == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

// OpenSSL checks that the chain leads to one of the authorities, its dates, and that it is meant for TLS clients.
void ask_for_certificates(SSL_CTX* context, const client_trust& clients) {
    auto* const store = SSL_CTX_get_cert_store(context);
    require(X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1, "trust the authorities");
    for (const auto& each : clients.authorities())
        require(X509_STORE_add_cert(store, each.get()) == 1, "trust an authority");
    name_authorities(context, clients);
    SSL_CTX_set_verify_depth(context, deepest_chain);
    SSL_CTX_set_max_cert_list(context, longest_chain);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (clients.required() ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    require(SSL_CTX_set_session_ticket_cb(context, bind_session, judge_session, nullptr) == 1,
            "bind sessions to the authorities");
}

} // namespace

ssl_ctx_ptr make_server_context(std::shared_ptr<const certificate_store> certificates,
                                std::shared_ptr<const ticket_keys> keys, std::shared_ptr<const client_trust> clients) {
    assert(certificates && keys);
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
    // None of TLS 1.3's: every connection copies the list of them.
    require(SSL_CTX_set_cipher_list(context, ciphers) == 1 && SSL_CTX_set_ciphersuites(context, "") == 1,
            "select the ciphers");
    require(SSL_CTX_set1_groups_list(context, groups) == 1, "select the key exchange groups");
    SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
    // The stream retries a write with what is left, from wherever it then lies. NO_AUTO_CHAIN: clients get the chain of
    // the file; otherwise OpenSSL searches the system's trust store for a missing one in every handshake.
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);

    auto served = std::make_unique<served_from>();
    served->certificates = std::move(certificates);
    served->keys = std::move(keys);
    served->clients = std::move(clients);
    served->ticket_cipher.reset(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr));
    require(served->ticket_cipher != nullptr, "fetch the cipher of session tickets");
    require(SSL_CTX_set_ex_data(context, ex_data_index(), served.get()) == 1, "keep the certificates");
    const auto& kept = *served.release(); // the context's now
    serve_certificates(context, *kept.certificates);
    issue_tickets(context);
    if (kept.clients) ask_for_certificates(context, *kept.clients);
    return owner;
}

} // namespace scoregate::tls
