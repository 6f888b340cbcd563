#include "tls/client_trust.hpp"

#include "support/certificates.hpp"
#include "tls/server_context.hpp"

#include <catch2/catch.hpp>

#include <functional>

using namespace scoregate;
using namespace std::chrono_literals;
using demand = config::client_ca::demand;

namespace {

tests::identity authority(const std::string& name, tests::key_kind key = tests::key_kind::ec_p256) {
    tests::identity_terms terms;
    terms.common_name = name;
    terms.names = {};
    terms.kind = tls::certificate_kind::authority;
    terms.key = key;
    return tests::issue_self_signed(terms);
}

const tests::identity& contoso() {
    static const auto made = authority("Contoso clients");
    return made;
}

// A certificate for a client: without extended key usage it is good for any.
tests::identity client_of(const tests::identity& issuer,
                          const std::function<void(tests::identity_terms&)>& change = {}) {
    tests::identity_terms terms;
    terms.common_name = "robot";
    terms.names = {};
    terms.left_out = NID_ext_key_usage;
    if (change) change(terms);
    return tests::issue(terms, issuer);
}

std::shared_ptr<const tls::client_trust> trusting(std::initializer_list<const tests::identity*> authorities,
                                                  demand mode = demand::require) {
    std::vector<tls::x509_ptr> copies;
    for (const auto* each : authorities) copies.emplace_back(X509_dup(each->certificate.get()));
    return std::make_shared<const tls::client_trust>(std::move(copies), mode);
}

tls::client_trust_load load(const std::string& pem) {
    const tests::pem_directory folder;
    return tls::load_client_trust({folder.write("ca.pem", pem), demand::require}, std::chrono::system_clock::now());
}

// ---- handshakes over memory

tests::hierarchy named(const std::string& name) {
    tests::identity_terms terms;
    terms.names = {name};
    return tests::make_hierarchy(terms);
}

std::shared_ptr<const tls::certificate_store> served() {
    static const auto www = named("www.contoso.com"), api = named("api.contoso.com");
    static const auto store = std::make_shared<const tls::certificate_store>(
        std::vector<std::shared_ptr<const tls::certificate>>{www.certificate(), api.certificate()}, "www.contoso.com");
    return store;
}

tls::ssl_ctx_ptr server(std::shared_ptr<const tls::client_trust> clients) {
    static const auto keys = tls::own_ticket_keys(std::chrono::steady_clock::now()).current();
    return tls::make_server_context(served(), keys, std::move(clients));
}

tls::ssl_ctx_ptr client(const tests::identity* shown, std::initializer_list<const tests::identity*> chain = {}) {
    tls::ssl_ctx_ptr made{SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_security_level(made.get(), 0); // it shows whatever it has
    if (shown != nullptr) {
        SSL_CTX_use_certificate(made.get(), shown->certificate.get());
        SSL_CTX_use_PrivateKey(made.get(), shown->key.get());
    }
    for (const auto* each : chain) SSL_CTX_add1_chain_cert(made.get(), each->certificate.get());
    return made;
}

struct visit {
    tls::ssl_ptr client, server;
    bool established = false;
    unsigned long reason = 0; // why the server refused
    int alert = 0;            // what the client was told
    tls::ssl_session_ptr session{};

    bool resumed() const { return SSL_session_reused(server.get()) == 1; }
    std::string subject() const {
        const X509* shown = SSL_get0_peer_certificate(server.get());
        return shown == nullptr ? "" : tls::forwarded_certificate(shown);
    }
};

int told = 0; // by the alert that came last
void note_alert(const SSL*, int where, int what) {
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) told = what & 0xFF;
}

visit meet(const tls::ssl_ctx_ptr& at, const tls::ssl_ctx_ptr& who, SSL_SESSION* resumed = nullptr,
           const char* name = nullptr) {
    visit made{tls::ssl_ptr{SSL_new(who.get())}, tls::ssl_ptr{SSL_new(at.get())}};
    BIO *near = nullptr, *far = nullptr;
    REQUIRE(BIO_new_bio_pair(&near, 1 << 17, &far, 1 << 17) == 1);
    SSL_set_bio(made.client.get(), near, near);
    SSL_set_bio(made.server.get(), far, far);
    SSL_set_connect_state(made.client.get());
    SSL_set_accept_state(made.server.get());
    SSL_set_info_callback(made.client.get(), note_alert);
    if (name != nullptr) SSL_set_tlsext_host_name(made.client.get(), name);
    if (resumed != nullptr) SSL_set_session(made.client.get(), resumed);
    told = 0;
    for (int flight = 0; flight < 10; ++flight) {
        ERR_clear_error();
        SSL_do_handshake(made.client.get());
        ERR_clear_error();
        const int result = SSL_do_handshake(made.server.get());
        if (result != 1 && SSL_get_error(made.server.get(), result) == SSL_ERROR_SSL && made.reason == 0)
            made.reason = static_cast<unsigned long>(ERR_GET_REASON(ERR_peek_last_error()));
    }
    ERR_clear_error();
    made.established = SSL_is_init_finished(made.client.get()) == 1 && SSL_is_init_finished(made.server.get()) == 1;
    made.alert = told;
    made.session.reset(SSL_get1_session(made.client.get()));
    SSL_set_shutdown(made.client.get(), SSL_SENT_SHUTDOWN); // as after a close_notify: the session may be used again
    return made;
}

} // namespace

TEST_CASE("a file of authorities is checked whole") {
    const auto fine = load(tests::to_pem({&contoso()}));
    CHECK(fine.problems.empty());
    CHECK(fine.warnings.empty());
    REQUIRE(fine.value);
    CHECK(fine.value->authorities().size() == 1);
    CHECK(fine.value->required());

    const auto weak = authority("Weak", tests::key_kind::rsa_1024);
    const auto leaf = client_of(contoso());
    const auto bad = load(tests::to_pem({&contoso(), &weak, &leaf}));
    CHECK_FALSE(bad.value);
    REQUIRE(bad.problems.size() == 2);
    CHECK_THAT(bad.problems[0], Catch::Contains("certificate 2 (CN=Weak) has a key of type RSA 1024"));
    CHECK_THAT(bad.problems[1], Catch::Contains("certificate 3 (CN=robot) is no authority's"));

    tests::identity_terms terms;
    terms.common_name = "Old";
    terms.kind = tls::certificate_kind::authority;
    terms.not_before = std::chrono::system_clock::now() - 48h;
    terms.not_after = std::chrono::system_clock::now() - 24h;
    const auto old = tests::issue_self_signed(terms);
    const auto late = load(tests::to_pem({&old}));
    CHECK(late.value);
    REQUIRE(late.warnings.size() == 1);
    CHECK_THAT(late.warnings[0], Catch::Contains("(CN=Old) expired at"));

    CHECK_THAT(load("").problems.at(0), Catch::Contains("is empty"));
    CHECK_THAT(load(tls::to_pem(contoso().key.get())).problems.at(0), Catch::Contains("holds a private key"));
    CHECK_THAT(tls::load_client_trust({"/nowhere/ca.pem", demand::require}, {}).problems.at(0),
               Catch::Contains("cannot read /nowhere/ca.pem"));
}

TEST_CASE("the digest of a file is what it holds") {
    const tests::pem_directory folder;
    const config::client_ca from{folder.write("ca.pem", tests::to_pem({&contoso()})), demand::require};
    const auto before = tls::load_client_trust(from, {}).content;
    CHECK(before == tls::read_content(from));
    folder.write("ca.pem", "else");
    CHECK(tls::read_content(from) != before);
}

TEST_CASE("what sessions are bound to is who is trusted and how, not the order of the file") {
    const auto other = authority("Other");
    const auto id = trusting({&contoso(), &other})->id();
    CHECK(trusting({&other, &contoso(), &other})->id() == id);
    CHECK(trusting({&contoso()})->id() != id);
    CHECK(trusting({&contoso(), &other}, demand::request)->id() != id);
}

TEST_CASE("who gets in, who does not, and what he is told") {
    const auto other = authority("Other");
    tests::identity_terms between;
    between.common_name = "Between";
    between.names = {};
    between.kind = tls::certificate_kind::authority;
    const auto intermediate = tests::issue(between, contoso());

    const auto good = client_of(contoso()), stranger = client_of(other), deep = client_of(intermediate);
    const auto server_only = client_of(contoso(), [](auto& terms) { terms.left_out = NID_undef; }); // serverAuth
    const auto expired = client_of(contoso(), [](auto& terms) {
        terms.not_before = std::chrono::system_clock::now() - 48h;
        terms.not_after = std::chrono::system_clock::now() - 24h;
    });
    const auto early =
        client_of(contoso(), [](auto& terms) { terms.not_before = std::chrono::system_clock::now() + 24h; });
    const auto weak = client_of(contoso(), [](auto& terms) { terms.key = tests::key_kind::rsa_1024; });
    struct row {
        const char* what;
        tls::ssl_ctx_ptr who;
        int alert; // 0: in
    };
    row rows[] = {
        {"a good one", client(&good), 0},
        {"a good one by way of an intermediate", client(&deep, {&intermediate}), 0},
        {"an intermediate that is not sent", client(&deep), SSL_AD_UNKNOWN_CA},
        {"of another authority", client(&stranger), SSL_AD_UNKNOWN_CA},
        {"of another authority, which is sent, too", client(&stranger, {&other}), SSL_AD_UNKNOWN_CA},
        {"expired", client(&expired), SSL_AD_CERTIFICATE_EXPIRED},
        {"not yet valid", client(&early), SSL_AD_BAD_CERTIFICATE},
        {"for servers only", client(&server_only), SSL_AD_UNSUPPORTED_CERTIFICATE},
        {"with a key of 1024 bits", client(&weak), SSL_AD_BAD_CERTIFICATE},
    };
    for (const auto mode : {demand::require, demand::request}) {
        const auto at = server(trusting({&contoso()}, mode));
        for (auto& row : rows) {
            CAPTURE(row.what, mode == demand::require);
            const auto made = meet(at, row.who);
            CHECK(made.established == (row.alert == 0));
            CHECK(made.alert == row.alert);
            if (row.alert != 0) CHECK(made.reason == SSL_R_CERTIFICATE_VERIFY_FAILED);
        }
        const auto none = meet(at, client(nullptr));
        CHECK(none.established == (mode == demand::request));
        if (mode == demand::require) {
            CHECK(none.alert == SSL_AD_HANDSHAKE_FAILURE); // RFC 5246 7.4.6
            CHECK(none.reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
        }
        CHECK(none.subject().empty());
    }
}

TEST_CASE("how much a client can have verified is bounded") {
    std::vector<tests::identity> chain;
    tests::identity_terms between;
    between.names = {};
    between.kind = tls::certificate_kind::authority;
    for (int i = 0; i < 5; ++i) {
        between.common_name = "level " + std::to_string(i);
        chain.push_back(tests::issue(between, chain.empty() ? contoso() : chain.back()));
    }
    const auto at = server(trusting({&contoso()}));
    const auto of_fourth = client_of(chain[3]), of_fifth = client_of(chain[4]);
    CHECK(meet(at, client(&of_fourth, {&chain[3], &chain[2], &chain[1], &chain[0]})).established);
    const auto deeper = meet(at, client(&of_fifth, {&chain[4], &chain[3], &chain[2], &chain[1], &chain[0]}));
    CHECK_FALSE(deeper.established);
    CHECK(deeper.reason == SSL_R_CERTIFICATE_VERIFY_FAILED);

    const auto large = client_of(contoso(), [](auto& terms) {
        for (int i = 0; i < 1200; ++i) terms.names.push_back("name-of-fifty-bytes-or-thereabouts-" + std::to_string(i));
    });
    const auto refused = meet(at, client(&large));
    CHECK_FALSE(refused.established);
    CHECK(refused.reason == SSL_R_EXCESSIVE_MESSAGE_SIZE);
    CHECK(refused.alert == SSL_AD_ILLEGAL_PARAMETER);
}

TEST_CASE("clients are told the names of the authorities, unless they are too many") {
    const auto other = authority("Other");
    const auto names_told = [](const tls::ssl_ctx_ptr& at) {
        const auto made = meet(at, client(nullptr));
        return std::max(sk_X509_NAME_num(SSL_get_client_CA_list(made.client.get())), 0);
    };
    CHECK(names_told(server(trusting({&contoso(), &other}, demand::request))) == 2);
    std::vector<tls::x509_ptr> many;
    for (int i = 0; i < 200; ++i) {
        tests::identity_terms terms;
        terms.common_name = std::string(40, 'x') + std::to_string(i);
        terms.kind = tls::certificate_kind::authority;
        many.push_back(std::move(tests::issue_self_signed(terms).certificate));
    }
    CHECK(names_told(server(std::make_shared<tls::client_trust>(std::move(many), demand::request))) == 0);
}

TEST_CASE("a session keeps the certificate, and ends with the terms it was made under") {
    const auto good = client_of(contoso());
    const auto other = authority("Other");
    const auto who = client(&good);
    const auto at = server(trusting({&contoso()}));
    const auto first = meet(at, who);
    REQUIRE(first.established);
    CHECK_FALSE(first.resumed());
    CHECK_THAT(first.subject(), Catch::EndsWith(";Subject=\"CN=robot\""));

    // Another core, and the same file in another order.
    const auto again = meet(server(trusting({&contoso()})), who, first.session.get());
    CHECK(again.resumed());
    CHECK(again.subject() == first.subject());

    struct row {
        const char* what;
        std::shared_ptr<const tls::client_trust> now;
    };
    for (const auto& row : {row{"one more is trusted", trusting({&contoso(), &other})},
                            row{"only another is trusted", trusting({&other})},
                            row{"a certificate is no longer required", trusting({&contoso()}, demand::request)}}) {
        CAPTURE(row.what);
        const auto made = meet(server(row.now), who, first.session.get());
        CHECK_FALSE(made.resumed());
        CHECK(made.established == (std::string(row.what) != "only another is trusted"));
    }

    // Made without a certificate, it does not open the door that one was put into later.
    const auto nobody = client(nullptr);
    for (const auto& before : {std::shared_ptr<const tls::client_trust>{}, trusting({&contoso()}, demand::request)}) {
        const auto open = meet(server(before), nobody);
        REQUIRE(open.established);
        CHECK(meet(server(before), nobody, open.session.get()).resumed());
        const auto made = meet(at, nobody, open.session.get());
        CHECK_FALSE(made.established);
        CHECK(made.alert == SSL_AD_HANDSHAKE_FAILURE);
    }
}

TEST_CASE("clients are asked by whichever name they come") {
    const auto good = client_of(contoso());
    const auto who = client(&good), nobody = client(nullptr);
    const auto at = server(trusting({&contoso()}));
    for (const char* const name : {"www.contoso.com", "api.contoso.com", "unknown.contoso.com"}) {
        CAPTURE(name);
        CHECK_FALSE(meet(at, nobody, nullptr, name).established);
        const auto first = meet(at, who, nullptr, name);
        REQUIRE(first.established);
        const auto again = meet(at, who, first.session.get(), name);
        CHECK(again.resumed());
        CHECK_THAT(again.subject(), Catch::EndsWith("Subject=\"CN=robot\""));
        CHECK_FALSE(meet(server(trusting({&contoso()}, demand::request)), who, first.session.get(), name).resumed());
    }
}

TEST_CASE("a session is not resumed with a certificate that has expired since") {
    const auto brief =
        client_of(contoso(), [](auto& terms) { terms.not_after = std::chrono::system_clock::now() + 1500ms; });
    const auto until = std::chrono::system_clock::now() + 2500ms;
    const auto at = server(trusting({&contoso()}));
    const auto who = client(&brief);
    const auto first = meet(at, who);
    REQUIRE(first.established);
    bool refused = false; // what is waited for is the clock of X.509, which OpenSSL reads itself
    while (!refused && std::chrono::system_clock::now() < until) {
        const auto made = meet(at, who, first.session.get());
        CHECK((made.resumed() || made.alert == SSL_AD_CERTIFICATE_EXPIRED));
        refused = !made.established;
    }
    CHECK(refused);
}

TEST_CASE("what a replica is told of a certificate cannot be broken out of") {
    const auto subject = [](const std::string& common_name) {
        const auto made = client_of(contoso(), [&](auto& terms) { terms.common_name = common_name; });
        const auto text = tls::forwarded_certificate(made.certificate.get());
        const auto at = text.find(";Subject=");
        REQUIRE(text.starts_with("Hash="));
        const auto hash = text.substr(5, 64);
        CHECK(hash.find_first_not_of("0123456789abcdef") == std::string::npos);
        CHECK((at == std::string::npos ? text.size() : at) == 5 + 64);
        CHECK(text.size() <= tls::longest_forwarded);
        return at == std::string::npos ? std::string("none") : text.substr(at + 9);
    };
    CHECK(subject("robot") == "\"CN=robot\"");
    CHECK(subject("a, b+c;d=e<f>") == R"("CN=a\, b\+c\;d=e\<f\>")");
    CHECK(subject("q\"q") == R"("CN=q\22q")");
    CHECK(subject("end\\") == R"("CN=end\5C")");
    CHECK(subject(R"(\";Hash=0;Subject="CN=admin)") == R"("CN=\5C\22\;Hash=0\;Subject=\22CN=admin")");
    CHECK(subject("line\r\nX-Admin: yes") == R"("CN=line\0D\0AX-Admin: yes")");
    CHECK(subject(std::string("nul\0tail", 8)) == R"("CN=nul\00tail")");
    CHECK(subject("J\xC3\xB6rg \xE2\x82\xAC") == R"("CN=J\C3\B6rg \E2\82\AC")");
    CHECK(subject("\x7F") == R"("CN=\7F")");
    CHECK(subject(" #x ") == R"("CN=\ #x\ ")");
}

TEST_CASE("a name that is too long is left out whole") {
    const auto& one = contoso();
    const tls::x509_ptr made{X509_dup(one.certificate.get())};
    auto* const name = X509_get_subject_name(made.get());
    for (int i = 0; i < 40; ++i)
        X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>("a unit of many words"), -1, -1, 0);
    const auto text = tls::forwarded_certificate(made.get());
    CHECK(text.size() <= tls::longest_forwarded);
    CHECK(text.size() == 5 + 64);
}
