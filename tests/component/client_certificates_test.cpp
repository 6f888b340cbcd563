// Clients that prove who they are by certificate (client_ca): who gets a connection, and what the replica is told.
#include "component/fixture.hpp"
#include "support/tls_tamperer.hpp"

using namespace scoregate;
using namespace scoregate::tests;
using demand = config::client_ca::demand;
using telemetry::handshake_failure;

namespace {

constexpr auto field = "x-forwarded-client-cert";

identity authority(const std::string& name) {
    identity_terms terms;
    terms.common_name = name;
    terms.kind = tls::certificate_kind::authority;
    return issue_self_signed(terms);
}

const identity& contoso() {
    static const auto made = authority("Contoso clients");
    return made;
}

identity client_of(const identity& issuer, const std::string& name) {
    identity_terms terms;
    terms.common_name = name;
    terms.names = {};
    terms.left_out = NID_ext_key_usage;
    return issue(terms, issuer);
}

std::shared_ptr<const tls::client_trust> trusting(const identity& one, demand mode) {
    std::vector<tls::x509_ptr> copies;
    copies.emplace_back(X509_dup(one.certificate.get()));
    return std::make_shared<const tls::client_trust>(std::move(copies), mode);
}

// Answers with the fields of the request that has to do with certificates.
void tell(conversation& with) {
    for (;;) {
        const auto asked = with.read_request();
        std::string body;
        for (const auto& name : {field, "client-cert", "client-cert-chain"})
            body += std::to_string(asked.count(name)) + ' ' + asked.field(name) + '\n';
        with.send(ok(body));
    }
}

const std::string nobody = "0 \n0 \n0 \n";
std::string somebody(const identity& one) {
    return "1 " + tls::forwarded_certificate(one.certificate.get()) + "\n0 \n0 \n";
}

const std::string forged = "X-Forwarded-Client-Cert: Hash=00;Subject=\"CN=admin\"\r\nClient-Cert: :bm9uZQ==:\r\n"
                           "Client-Cert-Chain: :bm9uZQ==:\r\nx-forwarded-CLIENT-cert: Subject=\"CN=root\"\r\n";

} // namespace

TEST_CASE("the replica is told whose certificate it was, in a field that no client can forge") {
    one_replica world(over::tls, tell);
    auto& proxy = world.proxy;
    auto terms = proxy.terms();
    CHECK(test_client(proxy.port(), terms).ask(post("{}", forged)).body == nobody);

    proxy.ask_for_certificates(trusting(contoso(), demand::request));
    CHECK(test_client(proxy.port(), terms).ask(post("{}", forged)).body == nobody);

    const auto robot = client_of(contoso(), "robot \"7\"\r\nX-Admin: yes");
    terms.shown = &robot;
    test_client client(proxy.port(), terms);
    for (int i = 0; i < 2; ++i) CHECK(client.ask(post("{}", forged)).body == somebody(robot));
    const tls::ssl_session_ptr session{SSL_get1_session(client.ssl())};
    terms.shown = nullptr; // the session has it
    terms.resumed = session.get();
    test_client again(proxy.port(), terms);
    CHECK(SSL_session_reused(again.ssl()) == 1);
    CHECK(again.ask(post("{}", forged)).body == somebody(robot));

    // In clear, beside it, nobody has proved anything.
    client_terms clear;
    clear.tls = false;
    CHECK(test_client(proxy.port(proxy::entrance::http), clear).ask(post("{}", forged)).body == nobody);
}

TEST_CASE("a client without a good certificate is refused, told and counted") {
    one_replica world(over::tls, tell);
    auto& proxy = world.proxy;
    proxy.ask_for_certificates(trusting(contoso(), demand::require));
    // Each is counted after its client has the alert.
    const auto await_count = [&](handshake_failure why, std::uint64_t count) {
        wait_until([&] { return proxy.failed_handshakes(why) == count; });
    };
    auto terms = proxy.terms();
    terms.newest = TLS1_2_VERSION;
    CHECK_THAT(test_client(proxy.port(), terms, false).handshake(), Catch::Contains("alert handshake failure"));
    await_count(handshake_failure::certificate_missing, 1);

    const auto other = authority("Other");
    const auto stranger = client_of(other, "robot");
    terms.shown = &stranger;
    CHECK_THAT(test_client(proxy.port(), terms, false).handshake(), Catch::Contains("alert unknown ca"));
    await_count(handshake_failure::certificate_refused, 1);

    const auto robot = client_of(contoso(), "robot");
    terms.shown = &robot;

    // A session of one authority opens nothing once another is trusted.
    test_client before(proxy.port(), terms);
    CHECK(before.ask(post("{}")).body == somebody(robot));
    const tls::ssl_session_ptr session{SSL_get1_session(before.ssl())};
    proxy.ask_for_certificates(trusting(other, demand::require));
    terms.resumed = session.get();
    CHECK_THAT(test_client(proxy.port(), terms, false).handshake(), Catch::Contains("alert unknown ca"));
    await_count(handshake_failure::certificate_refused, 2);
}

TEST_CASE("a connection that finishes answers one more request, and one in clear beside it goes on") {
    event go;
    one_replica world(over::tls, [&](conversation& with) {
        for (;;) {
            const auto asked = with.read_request();
            if (asked.first_line.find("?slow") != std::string::npos) go.wait();
            with.send(ok("{}"));
        }
    });
    auto& proxy = world.proxy;
    proxy.ask_for_certificates(trusting(contoso(), demand::request));
    const auto robot = client_of(contoso(), "robot");
    auto terms = proxy.terms();
    terms.shown = &robot;
    client_terms clear;
    clear.tls = false;
    test_client idle(proxy.port(), terms), slow(proxy.port(), terms), late(proxy.port(), terms);
    test_client plain(proxy.port(proxy::entrance::http), clear);
    CHECK(idle.ask(post("{}")).status() == 200);
    CHECK(late.ask(post("{}")).status() == 200);
    CHECK(plain.ask(post("{}")).status() == 200);
    slow.send(request("POST", score + "?slow", "", "{}"));
    world.replica.request(3); // it has come

    proxy.finish_tls();
    // It was told that it may go on: its next request was perhaps on its way.
    CHECK(late.ask(post("{}")).field("connection") == "close");
    CHECK(late.wait_for_end() == ending::clean);
    CHECK(idle.wait_for_end() == ending::clean);
    go.set();
    CHECK(slow.read_reply().field("connection") == "close");
    CHECK(slow.wait_for_end() == ending::clean);
    CHECK(plain.ask(post("{}")).status() == 200);
}

TEST_CASE("a certificate without its key opens nothing") {
    one_replica world(over::tls, tell);
    auto& proxy = world.proxy;
    proxy.ask_for_certificates(trusting(contoso(), demand::request));
    const auto robot = client_of(contoso(), "robot");
    tls_tamperer thief(proxy.port());
    SSL_use_certificate(thief.ssl(), robot.certificate.get());
    SSL_use_PrivateKey(thief.ssl(), robot.key.get());
    thief.send(thief.hello());
    auto flight = thief.answer();
    const auto proof = std::find_if(flight.begin(), flight.end(), [](const auto& each) {
        return each.type == content::handshake && each.body.starts_with('\x0F'); // CertificateVerify
    });
    REQUIRE(proof != flight.end());
    proof->body.back() = static_cast<char>(proof->body.back() ^ 1); // of the signature
    for (const auto& each : flight) thief.send(each.bytes());
    const auto end = thief.end();
    CHECK(to_string(end.alert) == to_string({SSL3_AL_FATAL, SSL_AD_DECRYPT_ERROR}));
    CHECK(end.clean);
    wait_until([&] { return proxy.failed_handshakes(handshake_failure::certificate_refused) == 1; });
    CHECK(world.replica.connections() == 0);
}
