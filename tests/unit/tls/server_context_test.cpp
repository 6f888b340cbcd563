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

using names = std::vector<std::string>;
using keys_ptr = std::shared_ptr<const tls::ticket_keys>;
constexpr std::chrono::steady_clock::time_point start{std::chrono::hours(1000)};

// Made once for each kind of key and names.
const tests::hierarchy& identity_of(key_kind kind, const names& of = {"www.contoso.com"}) {
    static std::map<std::pair<key_kind, names>, tests::hierarchy> made;
    if (const auto found = made.find({kind, of}); found != made.end()) return found->second;
    identity_terms terms;
    terms.key = kind;
    terms.names = of;
    return made.emplace(std::pair(kind, of), tests::make_hierarchy(terms)).first->second;
}

const keys_ptr& shared_keys() {
    static const auto keys = tls::own_ticket_keys(start).current();
    return keys;
}

std::shared_ptr<const tls::certificate_store> store_of(std::initializer_list<const tests::hierarchy*> identities) {
    std::vector<std::shared_ptr<const tls::certificate>> certificates;
    for (const auto* each : identities) certificates.push_back(each->certificate());
    return std::make_shared<const tls::certificate_store>(std::move(certificates), "www.contoso.com");
}

tls::ssl_ctx_ptr server_context(std::initializer_list<const tests::hierarchy*> identities,
                                const keys_ptr& keys = shared_keys()) {
    return tls::make_server_context(store_of(identities), keys);
}

tls::ssl_ctx_ptr server_context(key_kind kind = key_kind::ec_p256, const keys_ptr& keys = shared_keys()) {
    return server_context({&identity_of(kind)}, keys);
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
    bool served(const tests::hierarchy& identity) const {
        const X509* sent = SSL_get0_peer_certificate(client.get());
        return sent != nullptr && X509_cmp(sent, identity.leaf.certificate.get()) == 0;
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

// Two ends over memory. `prepare` sets up the client before it speaks.
handshake meet(
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
    return made;
}

void finish(handshake& made) {
    bool client_done = false, server_done = false;
    for (int flight = 0; flight < 20 && !(client_done && server_done); ++flight) {
        if (!client_done) client_done = step(made.client.get(), made.client_error);
        if (!server_done) server_done = step(made.server.get(), made.server_error);
    }
    made.established = client_done && server_done && made.client_error.empty() && made.server_error.empty();
}

handshake shake(
    SSL_CTX* server, SSL_CTX* client, const std::function<void(SSL*)>& prepare = [](SSL*) {}) {
    auto made = meet(server, client, prepare);
    finish(made);
    return made;
}

// A client that keeps the session of its last handshake and offers it in the next one.
class returning_client {
public:
    handshake visit(const tls::ssl_ctx_ptr& server, const std::string& name = "") {
        auto made = shake(server.get(), context_.get(), [this, &name](SSL* ssl) {
            if (!name.empty()) SSL_set_tlsext_host_name(ssl, name.c_str());
            SSL_set_session(ssl, session_.get());
        });
        CHECK(made.established);
        session_.reset(SSL_get1_session(made.client.get()));
        // As after a close_notify; OpenSSL would not use a session again whose connection just went away.
        SSL_set_shutdown(made.client.get(), SSL_SENT_SHUTDOWN);
        return made;
    }
    bool resumes(const tls::ssl_ctx_ptr& server, const std::string& name = "") { return visit(server, name).resumed(); }

    std::string ticket() const {
        const unsigned char* bytes = nullptr;
        std::size_t size = 0;
        SSL_SESSION_get0_ticket(session_.get(), &bytes, &size);
        return {reinterpret_cast<const char*>(bytes), size};
    }
    std::string ticket_key_name() const { return ticket().substr(0, 16); } // RFC 5077 4
    const SSL_SESSION* session() const { return session_.get(); }
    SSL_CTX* context() { return context_.get(); }

private:
    tls::ssl_ctx_ptr context_ = client_context();
    tls::ssl_session_ptr session_;
};

std::string name_of(const tls::ticket_key& key) {
    return {reinterpret_cast<const char*>(key.name().data()), key.name().size()};
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

TEST_CASE("certificates are chosen by the name that the client asks for") {
    const auto& www = identity_of(key_kind::ec_p256);
    const auto& api = identity_of(key_kind::rsa_2048, {"api.contoso.com"});
    const auto& models = identity_of(key_kind::ec_p256, {"*.models.contoso.com"});
    const auto server = server_context({&www, &api, &models});
    struct row {
        std::string name;
        const tests::hierarchy& served;
    };
    const std::vector<row> rows{{"", www},
                                {"www.contoso.com", www},
                                {"api.contoso.com", api},
                                {"API.Contoso.COM", api},
                                {"iris.models.contoso.com", models},
                                {"contoso.com", www},
                                {"elsewhere.example", www},
                                {"api.contoso.com.", www}};
    const auto client = client_context();
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto made = shake(server.get(), client.get(), [&row](SSL* ssl) {
            if (!row.name.empty()) SSL_set_tlsext_host_name(ssl, row.name.c_str());
        });
        CAPTURE(made.client_error, made.server_error);
        REQUIRE(made.established);
        CHECK(made.served(row.served));
        const auto* sent = SSL_get_peer_cert_chain(made.client.get());
        REQUIRE(sk_X509_num(sent) == 2);
        CHECK(X509_cmp(sk_X509_value(sent, 1), row.served.intermediate.certificate.get()) == 0);
    }
}

TEST_CASE("RSA or ECDSA by what the client can do") {
    struct row {
        std::string ciphers, signatures, groups; // empty: all that OpenSSL has
        std::string chosen;                      // empty: refused
    };
    const std::vector<row> rows{{"", "", "", "EC"},
                                {"ECDHE-RSA-AES128-GCM-SHA256", "", "", "RSA"},
                                {"ECDHE-ECDSA-AES256-GCM-SHA384", "", "", "EC"},
                                {"", "RSA-PSS+SHA256:RSA+SHA256", "", "RSA"},
                                {"", "ECDSA+SHA256", "", "EC"},
                                {"", "", "X25519", "RSA"}, // RFC 8422 5.3: the key's curve must be offered too
                                {"ECDHE-ECDSA-AES128-GCM-SHA256", "RSA+SHA256", "", ""}};
    const auto& other_ecdsa = identity_of(key_kind::ec_p256, {"api.contoso.com"});
    const auto& other_rsa = identity_of(key_kind::rsa_2048, {"api.contoso.com"});
    const auto server =
        server_context({&identity_of(key_kind::ec_p256), &identity_of(key_kind::rsa_2048), &other_rsa, &other_ecdsa});
    for (const std::string name : {"", "www.contoso.com", "api.contoso.com"})
        for (const auto& row : rows) {
            CAPTURE(name, row.ciphers, row.signatures, row.groups);
            const auto client = client_context();
            REQUIRE(SSL_CTX_set_max_proto_version(client.get(), TLS1_2_VERSION) == 1);
            if (!row.ciphers.empty()) REQUIRE(SSL_CTX_set_cipher_list(client.get(), row.ciphers.c_str()) == 1);
            if (!row.signatures.empty()) REQUIRE(SSL_CTX_set1_sigalgs_list(client.get(), row.signatures.c_str()) == 1);
            if (!row.groups.empty()) REQUIRE(SSL_CTX_set1_groups_list(client.get(), row.groups.c_str()) == 1);
            const auto made = shake(server.get(), client.get(), [&name](SSL* ssl) {
                if (!name.empty()) SSL_set_tlsext_host_name(ssl, name.c_str());
            });
            CAPTURE(made.client_error, made.server_error);
            REQUIRE(made.established == !row.chosen.empty());
            if (!made.established) continue;
            const auto kind = row.chosen == "EC" ? key_kind::ec_p256 : key_kind::rsa_2048;
            CHECK(made.served(name == "api.contoso.com" ? identity_of(kind, {name}) : identity_of(kind)));
        }
}

TEST_CASE("a client that can do nothing with the certificates of its name gets no other") {
    const auto server = server_context({&identity_of(key_kind::ec_p256), &identity_of(key_kind::rsa_2048),
                                        &identity_of(key_kind::rsa_2048, {"api.contoso.com"})});
    const auto client = client_context();
    REQUIRE(SSL_CTX_set_cipher_list(client.get(), "ECDHE-ECDSA-AES128-GCM-SHA256") == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(client.get(), TLS1_2_VERSION) == 1);
    const auto made =
        shake(server.get(), client.get(), [](SSL* ssl) { SSL_set_tlsext_host_name(ssl, "api.contoso.com"); });
    CHECK_FALSE(made.established);
    CHECK_THAT(made.client_error, Catch::Contains("alert handshake failure"));
}

TEST_CASE("a certificate that OpenSSL does not take for a connection ends it with internal_error") {
    const auto& weak = identity_of(key_kind::rsa_1024, {"api.contoso.com"}); // load_certificate would refuse it
    const auto server = server_context({&identity_of(key_kind::ec_p256), &weak});
    returning_client client;
    client.visit(server, "www.contoso.com");
    const auto made =
        shake(server.get(), client.context(), [](SSL* ssl) { SSL_set_tlsext_host_name(ssl, "api.contoso.com"); });
    CHECK_FALSE(made.established);
    CHECK_THAT(made.client_error, Catch::Contains("alert internal error"));
}

TEST_CASE("a malformed server_name is refused") {
    const auto server = server_context({&identity_of(key_kind::ec_p256), &identity_of(key_kind::ec_p256, {"*.b"})});
    const std::string name = "api.contoso.com";
    const auto client = client_context();
    // The bytes before the name: size of the extension (2), of the list (2), type (1), size of the name (2).
    struct row {
        std::size_t before_name;
        int more;
        bool established;
    };
    for (const auto& row : std::vector<row>{{3, 0, true},
                                            {5, 1, false},
                                            {5, -1, false},
                                            {3, 1, false},
                                            {1, 1, false},
                                            {1, -1, false},
                                            {2, 1, false},
                                            {4, 1, false}}) {
        CAPTURE(row.before_name, row.more);
        auto made =
            meet(server.get(), client.get(), [&name](SSL* ssl) { SSL_set_tlsext_host_name(ssl, name.c_str()); });
        std::string error;
        REQUIRE_FALSE(step(made.client.get(), error));
        std::string hello(4096, '\0');
        hello.resize(static_cast<std::size_t>(BIO_read(SSL_get_rbio(made.server.get()), hello.data(), 4096)));
        const auto at = hello.find(name);
        REQUIRE(at != hello.npos);
        hello[at - row.before_name] = static_cast<char>(hello[at - row.before_name] + row.more);
        BIO* memory = BIO_new_mem_buf(hello.data(), static_cast<int>(hello.size()));
        REQUIRE(memory != nullptr);
        BIO_set_mem_eof_return(memory, -1);
        SSL_set0_rbio(made.server.get(), memory);
        CHECK(step(made.server.get(), error) == !row.established); // established: it waits for the client's reply
    }
}

TEST_CASE("the name is known after a resumption too") {
    const auto& www = identity_of(key_kind::ec_p256);
    const auto& api = identity_of(key_kind::ec_p256, {"api.contoso.com"});
    const auto alone = server_context({&www}), several = server_context({&www, &api});
    for (const auto* server : {&alone, &several})
        for (const std::string name : {"www.contoso.com", "api.contoso.com", "unknown.example"}) {
            CAPTURE(name);
            returning_client client;
            for (const bool again : {false, true}) {
                const auto made = client.visit(*server, name);
                CHECK(made.resumed() == again);
                const char* known = SSL_get_servername(made.server.get(), TLSEXT_NAMETYPE_host_name);
                CHECK((known != nullptr && known == name));
            }
        }
}

TEST_CASE("a ticket is good on every context with its key, and only there") {
    const auto first = server_context(), second = server_context();
    const auto stranger = server_context(key_kind::ec_p256, tls::own_ticket_keys(start).current());
    for (const bool tickets : {true, false}) {
        CAPTURE(tickets);
        returning_client client;
        if (!tickets) SSL_CTX_set_options(client.context(), SSL_OP_NO_TICKET);
        CHECK_FALSE(client.resumes(first));
        CHECK((SSL_SESSION_has_ticket(client.session()) == 1) == tickets);
        CHECK(client.resumes(first) == tickets); // without a ticket nothing is kept here to resume from
        CHECK(client.resumes(second) == tickets);
        CHECK_FALSE(client.resumes(stranger));
        CHECK(client.resumes(stranger) == tickets);
    }
}

TEST_CASE("a ticket is good for six hours") {
    const auto server = server_context();
    returning_client client;
    client.visit(server);
    CHECK(SSL_CTX_get_timeout(server.get()) == 6 * 3600);
    CHECK(SSL_SESSION_get_ticket_lifetime_hint(client.session()) == 6 * 3600);
}

TEST_CASE("a ticket is good only for the certificates that it was made under") {
    const auto& www = identity_of(key_kind::ec_p256);
    const auto& www_rsa = identity_of(key_kind::rsa_2048);
    const auto& api = identity_of(key_kind::ec_p256, {"api.contoso.com"});
    const auto& other = identity_of(key_kind::ec_p256, {"other.contoso.com"});
    const auto& renewed = identity_of(key_kind::ec_p384);
    const auto alone = server_context({&www}), several = server_context({&www, &api}),
               more = server_context({&www, &other, &api}), swapped = server_context({&api, &www}),
               both = server_context({&www, &www_rsa, &api}), after = server_context({&renewed, &api});
    struct row {
        const tls::ssl_ctx_ptr& from;
        std::string from_name;
        const tls::ssl_ctx_ptr& to;
        std::string to_name;
        bool resumes;
    };
    const std::string www_name = "www.contoso.com", api_name = "api.contoso.com";
    const std::vector<row> rows{{several, www_name, several, www_name, true},
                                {several, api_name, several, api_name, true},
                                {several, www_name, several, api_name, false},
                                {several, api_name, several, www_name, false},
                                {several, api_name, several, "", false},
                                {several, "", several, www_name, true},
                                {alone, www_name, several, www_name, true},
                                {several, www_name, alone, www_name, true},
                                {several, api_name, alone, api_name, false},
                                {alone, "", several, api_name, false},
                                {several, api_name, more, api_name, true},
                                {more, www_name, several, www_name, true},
                                {several, api_name, swapped, api_name, true},
                                {several, www_name, swapped, www_name, true},
                                {several, "", swapped, "", false},
                                {several, www_name, after, www_name, false},
                                {several, api_name, after, api_name, true},
                                {several, www_name, both, www_name, false},
                                {both, api_name, several, api_name, true}};
    for (const auto& row : rows) {
        CAPTURE(&row - rows.data(), row.from_name, row.to_name);
        returning_client client;
        CHECK_FALSE(client.resumes(row.from, row.from_name));
        const auto old_ticket = client.ticket();
        CHECK(client.resumes(row.to, row.to_name) == row.resumes);
        CHECK((client.ticket() == old_ticket) == row.resumes); // refused: with a new ticket
        CHECK(client.resumes(row.to, row.to_name));
    }
}

TEST_CASE("tickets outlive one rotation of their key, and are renewed by it") {
    tls::own_ticket_keys rotated(start);
    const auto first_key = name_of(rotated.current()->encrypting());
    const auto before = server_context(key_kind::ec_p256, rotated.current());
    REQUIRE(rotated.rotate(start + std::chrono::hours(6)));
    const auto second_key = name_of(rotated.current()->encrypting());
    const auto after = server_context(key_kind::ec_p256, rotated.current());
    REQUIRE(rotated.rotate(start + std::chrono::hours(12)));
    const auto later = server_context(key_kind::ec_p256, rotated.current());

    returning_client client;
    CHECK_FALSE(client.resumes(before));
    const auto ticket = client.ticket();
    CHECK(client.ticket_key_name() == first_key);
    CHECK(client.resumes(before));
    CHECK(client.ticket() == ticket); // as good as a new one

    SECTION("in time") {
        CHECK(client.resumes(after));
        CHECK(client.ticket_key_name() == second_key);
        CHECK(client.resumes(after));
        CHECK(client.resumes(later));
        CHECK(client.resumes(later));
    }
    SECTION("too late") {
        CHECK_FALSE(client.resumes(later));
        CHECK(client.ticket_key_name() == name_of(rotated.current()->encrypting()));
        CHECK(client.resumes(later));
    }
    SECTION("back on a core that has not heard of it yet") {
        CHECK(client.resumes(after));
        CHECK_FALSE(client.resumes(before));
        CHECK(client.resumes(before));
        CHECK(client.resumes(after));
    }
}

TEST_CASE("the key that seals need not be the last, and no two tickets are alike") {
    const auto a = tls::ticket_key::random(), b = tls::ticket_key::random();
    const auto earlier =
        server_context(key_kind::ec_p256, std::make_shared<const tls::ticket_keys>(std::vector{a, b}, 0));
    const auto later =
        server_context(key_kind::ec_p256, std::make_shared<const tls::ticket_keys>(std::vector{a, b}, 1));
    returning_client client, another;
    client.visit(earlier);
    another.visit(earlier);
    CHECK(client.ticket_key_name() == name_of(a));
    CHECK(another.ticket_key_name() == name_of(a));
    CHECK(client.ticket().substr(16, 16) != another.ticket().substr(16, 16)); // RFC 5077 4: the IV
    CHECK(client.resumes(later));
    CHECK(client.ticket_key_name() == name_of(b));
    CHECK(client.resumes(earlier));
    CHECK(client.ticket_key_name() == name_of(a));
}

TEST_CASE("a ticket that cannot be opened costs a full handshake, nothing more") {
    const auto server = server_context();
    returning_client good;
    good.visit(server);
    const auto ticket = good.ticket();
    const auto changed = [&ticket](std::size_t at) {
        auto text = ticket;
        text[at] = static_cast<char>(text[at] ^ 1);
        return text;
    };
    const std::vector<std::string> tickets{changed(0),                 // the key's name
                                           changed(16),                // IV
                                           changed(40),                // sealed session
                                           changed(ticket.size() - 1), // MAC
                                           ticket.substr(0, ticket.size() - 1),
                                           ticket.substr(0, 48),
                                           ticket.substr(0, 16),
                                           "x",
                                           std::string(ticket.size(), 'x')};
    for (const auto& each : tickets) {
        CAPTURE(&each - tickets.data());
        const auto client = client_context();
        REQUIRE(SSL_CTX_set_max_proto_version(client.get(), TLS1_2_VERSION) == 1);
        auto bytes = each;
        const auto made = shake(server.get(), client.get(), [&bytes](SSL* ssl) {
            SSL_set_session_ticket_ext(ssl, bytes.data(), static_cast<int>(bytes.size()));
        });
        CAPTURE(made.client_error, made.server_error);
        CHECK(made.established);
        CHECK_FALSE(made.resumed());
        CHECK(SSL_SESSION_has_ticket(SSL_get0_session(made.client.get())) == 1);
    }
}

TEST_CASE("handshakes under way outlive the context, its certificates and its keys") {
    const auto& api = identity_of(key_kind::ec_p256, {"api.contoso.com"});
    auto store = store_of({&identity_of(key_kind::ec_p256), &api});
    auto keys = tls::own_ticket_keys(start).current();
    const std::weak_ptr<const void> store_watch = store, keys_watch = keys;
    auto server = tls::make_server_context(std::move(store), std::move(keys));
    const auto client = client_context();
    {
        auto made =
            meet(server.get(), client.get(), [](SSL* ssl) { SSL_set_tlsext_host_name(ssl, "api.contoso.com"); });
        server.reset();
        CHECK_FALSE(store_watch.expired());
        CHECK_FALSE(keys_watch.expired());
        finish(made);
        CHECK(made.established);
        CHECK(made.served(api));
        CHECK(SSL_SESSION_has_ticket(SSL_get0_session(made.client.get())) == 1);
    }
    CHECK(store_watch.expired());
    CHECK(keys_watch.expired());
}

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

TEST_CASE("cores make their contexts from one store at the same time") {
    const auto store = store_of({&identity_of(key_kind::rsa_2048), &identity_of(key_kind::ec_p256)});
    const auto keys = shared_keys();
    std::array<std::string, 4> outcomes;
    std::vector<std::thread> cores;
    for (auto& outcome : outcomes)
        cores.emplace_back([&store, &keys, &outcome] {
            const auto server = tls::make_server_context(store, keys);
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
    CHECK_THROWS_WITH(server_context(key_kind::rsa_1024), // load_certificate would refuse it
                      Catch::Contains("cannot use the certificate") && Catch::Contains("ee key too small"));
}
