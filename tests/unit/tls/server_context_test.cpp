#include "support/certificates.hpp"
#include "tls/server_context.hpp"

#include <catch2/catch.hpp>

#include <functional>
#include <map>
#include <thread>

namespace {

using namespace scoregate;
using tests::identity_terms;
using tests::key_kind;

const tests::hierarchy& identity_of(key_kind kind) {
    static std::map<key_kind, tests::hierarchy> made;
    if (const auto found = made.find(kind); found != made.end()) return found->second;
    identity_terms terms;
    terms.key = kind;
    return made.emplace(kind, tests::make_hierarchy(terms)).first->second;
}

const tls::ticket_keys& shared_keys() {
    static const auto keys = tls::random_ticket_keys();
    return keys;
}

tls::ssl_ctx_ptr server_context(key_kind kind = key_kind::ec_p256) {
    return tls::make_server_context(*identity_of(kind).certificate(), shared_keys());
}

// A client that would take whatever this OpenSSL can do, so that a limit that shows is the server's.
tls::ssl_ctx_ptr client_context() {
    tls::ssl_ctx_ptr context{SSL_CTX_new(TLS_client_method())};
    if (!context || SSL_CTX_set_min_proto_version(context.get(), 0) != 1 ||
        SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0") != 1)
        throw std::runtime_error(tls::openssl_errors());
    return context;
}

struct handshake {
    tls::ssl_ptr client, server;
    bool established = false;
    std::string client_error{}, server_error{}; // OpenSSL's reasons; an alert received is one

    std::string version() const { return SSL_get_version(client.get()); }
    std::string cipher() const { return SSL_get_cipher_name(client.get()); }
    std::string group() const {
        EVP_PKEY* key = nullptr;
        if (SSL_get_peer_tmp_key(client.get(), &key) != 1) return "none";
        const tls::pkey_ptr owner{key};
        char name[80] = "";
        if (EVP_PKEY_get_group_name(key, name, sizeof name, nullptr) == 1) return name;
        return EVP_PKEY_get0_type_name(key);
    }
    std::string protocol() const {
        const unsigned char* name = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(client.get(), &name, &size);
        return {reinterpret_cast<const char*>(name), size};
    }
    bool resumed() const { return SSL_session_reused(client.get()) == 1 && SSL_session_reused(server.get()) == 1; }
};

// True once done or failed.
bool step(SSL* side, std::string& error) {
    ERR_clear_error();
    const int result = SSL_do_handshake(side);
    if (result == 1) return true;
    const int reason = SSL_get_error(side, result);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return false;
    error = tls::openssl_errors();
    return true;
}

// Both sides over memory. `prepare` sets up the client before it speaks.
handshake shake(
    SSL_CTX* server, SSL_CTX* client, const std::function<void(SSL*)>& prepare = [](SSL*) {}) {
    handshake made{tls::ssl_ptr{SSL_new(client)}, tls::ssl_ptr{SSL_new(server)}};
    BIO *client_end = nullptr, *server_end = nullptr;
    if (!made.client || !made.server || BIO_new_bio_pair(&client_end, 0, &server_end, 0) != 1)
        throw std::runtime_error(tls::openssl_errors());
    SSL_set_bio(made.client.get(), client_end, client_end);
    SSL_set_bio(made.server.get(), server_end, server_end);
    SSL_set_connect_state(made.client.get());
    SSL_set_accept_state(made.server.get());
    prepare(made.client.get());
    bool client_done = false, server_done = false;
    for (int flight = 0; flight < 20 && !(client_done && server_done); ++flight) {
        if (!client_done) client_done = step(made.client.get(), made.client_error);
        if (!server_done) server_done = step(made.server.get(), made.server_error);
    }
    made.established = client_done && server_done && made.client_error.empty() && made.server_error.empty();
    return made;
}

} // namespace

TEST_CASE("TLS 1.2 is the only version") {
    struct row {
        int lowest, highest;
        bool established;
    };
    const auto server = server_context();
    for (const auto& row : std::vector<row>{{TLS1_VERSION, TLS1_VERSION, false},
                                            {TLS1_1_VERSION, TLS1_1_VERSION, false},
                                            {TLS1_VERSION, TLS1_1_VERSION, false},
                                            {TLS1_2_VERSION, TLS1_2_VERSION, true},
                                            {TLS1_VERSION, TLS1_3_VERSION, true},
                                            {TLS1_2_VERSION, TLS1_3_VERSION, true},
                                            {TLS1_3_VERSION, TLS1_3_VERSION, false}}) {
        CAPTURE(row.lowest, row.highest);
        const auto client = client_context();
        REQUIRE(SSL_CTX_set_min_proto_version(client.get(), row.lowest) == 1);
        REQUIRE(SSL_CTX_set_max_proto_version(client.get(), row.highest) == 1);
        const auto made = shake(server.get(), client.get());
        CAPTURE(made.client_error, made.server_error);
        CHECK(made.established == row.established);
        if (row.established)
            CHECK(made.version() == "TLSv1.2");
        else
            CHECK_THAT(made.client_error, Catch::Contains("alert protocol version"));
    }
}

TEST_CASE("only forward-secret AEAD ciphers are spoken, with every kind of certificate") {
    struct row {
        key_kind key;
        std::string offer;
        bool established;
    };
    const auto rows = std::vector<row>{
        {key_kind::ec_p256, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
        {key_kind::ec_p256, "ECDHE-ECDSA-AES256-GCM-SHA384", true},
        {key_kind::ec_p256, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
        {key_kind::ec_p384, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
        {key_kind::rsa_2048, "ECDHE-RSA-AES128-GCM-SHA256", true},
        {key_kind::rsa_2048, "ECDHE-RSA-AES256-GCM-SHA384", true},
        {key_kind::rsa_2048, "ECDHE-RSA-CHACHA20-POLY1305", true},
        {key_kind::ec_p256, "ECDHE-RSA-AES128-GCM-SHA256", false},
        {key_kind::rsa_2048, "ECDHE-ECDSA-AES128-GCM-SHA256", false},
        {key_kind::ec_p256, "ECDHE-ECDSA-AES128-SHA256", false},
        {key_kind::ec_p256, "ECDHE-ECDSA-AES128-CCM", false},
        {key_kind::rsa_2048, "ECDHE-RSA-AES256-SHA384", false},
        {key_kind::rsa_2048, "ECDHE-RSA-AES128-SHA", false},
        {key_kind::rsa_2048, "DHE-RSA-AES128-GCM-SHA256", false},
        {key_kind::rsa_2048, "AES128-GCM-SHA256", false},
        {key_kind::rsa_2048, "AES128-SHA", false},
        {key_kind::rsa_2048, "ADH-AES128-GCM-SHA256:AECDH-AES128-SHA", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.offer);
        const auto client = client_context();
        REQUIRE(SSL_CTX_set_cipher_list(client.get(), (row.offer + ":@SECLEVEL=0").c_str()) == 1);
        REQUIRE(SSL_CTX_set_max_proto_version(client.get(), TLS1_2_VERSION) == 1);
        const auto made = shake(server_context(row.key).get(), client.get());
        CAPTURE(made.client_error, made.server_error);
        CHECK(made.established == row.established);
        if (row.established)
            CHECK(made.cipher() == row.offer);
        else
            CHECK_THAT(made.client_error, Catch::Contains("alert handshake failure"));
    }
}

TEST_CASE("the server chooses the cipher, but yields to a client that puts ChaCha20 first") {
    const std::string aes128 = "ECDHE-ECDSA-AES128-GCM-SHA256", aes256 = "ECDHE-ECDSA-AES256-GCM-SHA384",
                      chacha = "ECDHE-ECDSA-CHACHA20-POLY1305";
    struct row {
        std::string offer, chosen;
    };
    const auto server = server_context();
    for (const auto& row : std::vector<row>{{aes256 + ":" + chacha + ":" + aes128, aes128},
                                            {aes256 + ":" + chacha, aes256},
                                            {chacha + ":" + aes256 + ":" + aes128, chacha}}) {
        CAPTURE(row.offer);
        const auto client = client_context();
        REQUIRE(SSL_CTX_set_cipher_list(client.get(), row.offer.c_str()) == 1);
        REQUIRE(SSL_CTX_set_max_proto_version(client.get(), TLS1_2_VERSION) == 1); // no ciphers of 1.3 before these
        const auto made = shake(server.get(), client.get());
        REQUIRE(made.established);
        CHECK(made.cipher() == row.chosen);
    }
}

TEST_CASE("X25519 before P-256, and no other group") {
    struct row {
        std::string offer, chosen; // chosen empty: refused
    };
    const auto server = server_context(key_kind::rsa_2048);
    for (const auto& row : std::vector<row>{{"X25519", "X25519"},
                                            {"P-256", "prime256v1"},
                                            {"P-384:P-256:X25519", "X25519"},
                                            {"P-384:P-256", "prime256v1"},
                                            {"P-384:P-521:X448", ""}}) {
        CAPTURE(row.offer);
        const auto client = client_context();
        REQUIRE(SSL_CTX_set1_groups_list(client.get(), row.offer.c_str()) == 1);
        const auto made = shake(server.get(), client.get());
        CHECK(made.established == !row.chosen.empty());
        if (made.established) CHECK(made.group() == row.chosen);
    }
}

TEST_CASE("ALPN") {
    using namespace std::string_literals;
    struct row {
        std::string offer; // as on the wire: length, name
        bool established;
        std::string chosen;
    };
    const auto server = server_context();
    for (const auto& row : std::vector<row>{{"", true, ""},
                                            {"\x08http/1.1", true, "http/1.1"},
                                            {"\x02h2\x08http/1.1", true, "http/1.1"},
                                            {"\x08http/1.1\x02h2", true, "http/1.1"},
                                            {"\x02h2", false, ""},
                                            {"\x08http/1.0", false, ""},
                                            {"\x09http/1.1x\x07http/1.", false, ""}}) {
        CAPTURE(row.offer);
        const auto client = client_context();
        const auto made = shake(server.get(), client.get(), [&row](SSL* ssl) {
            SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(row.offer.data()),
                                static_cast<unsigned>(row.offer.size()));
        });
        CHECK(made.established == row.established);
        CHECK(made.protocol() == row.chosen);
        if (!row.established) CHECK_THAT(made.client_error, Catch::Contains("alert no application protocol"));
    }
}

TEST_CASE("clients get the chain of the file and can verify it") {
    for (const auto kind : {key_kind::ec_p256, key_kind::ec_p384, key_kind::rsa_2048}) {
        const auto& identity = identity_of(kind);
        const auto client = client_context();
        REQUIRE(X509_STORE_add_cert(SSL_CTX_get_cert_store(client.get()), identity.root.certificate.get()) == 1);
        REQUIRE(X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(client.get()), X509_V_FLAG_X509_STRICT) == 1);
        SSL_CTX_set_verify(client.get(), SSL_VERIFY_PEER, nullptr);
        const auto made =
            shake(server_context(kind).get(), client.get(), [](SSL* ssl) { SSL_set1_host(ssl, "www.contoso.com"); });
        CAPTURE(made.client_error);
        REQUIRE(made.established);
        const auto* sent = SSL_get_peer_cert_chain(made.client.get());
        REQUIRE(sk_X509_num(sent) == 2);
        CHECK(X509_cmp(sk_X509_value(sent, 1), identity.intermediate.certificate.get()) == 0);
    }
}

TEST_CASE("a ticket is good on every context with the same keys, and only there") {
    const auto first = server_context(), second = server_context();
    const auto stranger =
        tls::make_server_context(*identity_of(key_kind::ec_p256).certificate(), tls::random_ticket_keys());
    const auto client = client_context();
    for (const bool tickets : {true, false}) {
        CAPTURE(tickets);
        if (!tickets) SSL_CTX_set_options(client.get(), SSL_OP_NO_TICKET);
        tls::ssl_session_ptr session;
        const auto resumes = [&client, &session](SSL_CTX* server) {
            const auto made =
                shake(server, client.get(), [&session](SSL* ssl) { SSL_set_session(ssl, session.get()); });
            CHECK(made.established);
            if (!session) session.reset(SSL_get1_session(made.client.get()));
            // As after a close_notify; OpenSSL would not use a session again whose connection just went away.
            SSL_set_shutdown(made.client.get(), SSL_SENT_SHUTDOWN);
            return made.resumed();
        };
        CHECK_FALSE(resumes(first.get()));
        REQUIRE(session);
        CHECK((SSL_SESSION_has_ticket(session.get()) == 1) == tickets);
        CHECK(resumes(first.get()) == tickets); // without a ticket nothing is kept here to resume from
        CHECK(resumes(second.get()) == tickets);
        CHECK_FALSE(resumes(stranger.get()));
    }
}

TEST_CASE("ticket keys are random") { CHECK(tls::random_ticket_keys() != tls::random_ticket_keys()); }

TEST_CASE("neither side renegotiates") {
    const auto server = server_context();
    const auto client = client_context();
    const auto made = shake(server.get(), client.get());
    REQUIRE(made.established);

    CHECK(SSL_renegotiate(made.server.get()) == 0);
    CHECK_THAT(tls::openssl_errors(), Catch::Contains("no renegotiation"));

    REQUIRE(SSL_renegotiate(made.client.get()) == 1);
    std::string error;
    REQUIRE_FALSE(step(made.client.get(), error)); // its ClientHello is out
    char byte = 0;
    CHECK(SSL_read(made.server.get(), &byte, 1) == -1); // answered with an alert, nothing to read
    CHECK(SSL_in_init(made.server.get()) == 0);
    CHECK(step(made.client.get(), error));
    CHECK_THAT(error, Catch::Contains("no renegotiation"));
}

TEST_CASE("modes and options that the stream builds on") {
    const auto server = server_context();
    const auto modes = SSL_CTX_get_mode(server.get());
    CHECK((modes & SSL_MODE_ENABLE_PARTIAL_WRITE) != 0);
    CHECK((modes & SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) != 0);
    CHECK((modes & SSL_MODE_RELEASE_BUFFERS) == 0);
    CHECK((SSL_CTX_get_options(server.get()) & SSL_OP_NO_COMPRESSION) != 0);
    CHECK(SSL_CTX_get_session_cache_mode(server.get()) == SSL_SESS_CACHE_OFF);
}

TEST_CASE("cores make their contexts from one certificate at the same time") {
    const auto certificate = identity_of(key_kind::rsa_2048).certificate();
    const auto keys = shared_keys();
    std::array<std::string, 4> outcomes;
    std::vector<std::thread> cores;
    for (auto& outcome : outcomes)
        cores.emplace_back([&certificate, &keys, &outcome] {
            const auto server = tls::make_server_context(*certificate, keys);
            const auto client = client_context();
            for (int i = 0; i < 10; ++i) {
                const auto made = shake(server.get(), client.get());
                outcome = made.established ? made.version() : made.client_error + made.server_error;
                if (!made.established) return;
            }
        });
    for (auto& core : cores) core.join();
    for (const auto& outcome : outcomes) CHECK(outcome == "TLSv1.2");
}

TEST_CASE("what OpenSSL does not accept is thrown with its reason") {
    const auto certificate = identity_of(key_kind::rsa_1024).certificate(); // load_certificate would refuse it
    CHECK_THROWS_WITH(tls::make_server_context(*certificate, shared_keys()),
                      Catch::Contains("cannot use the certificate") && Catch::Contains("ee key too small"));
}
