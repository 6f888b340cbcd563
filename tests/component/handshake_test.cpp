// TLS as clients meet it at the port: what is agreed on, what is refused and counted, what is resumed.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;
using telemetry::handshake_failure;

namespace {

// Waits until the proxy has counted it: it does so after it has closed, which the client may see first.
void check_failed(running_proxy& proxy, handshake_failure why, std::uint64_t times = 1) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (proxy.failed_handshakes(why) < times && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    INFO(telemetry::to_string(why));
    CHECK(proxy.failed_handshakes(why) == times);
}

} // namespace

TEST_CASE("TLS 1.2 and nothing else") {
    one_replica world(over::tls, always(ok("{}")));
    auto& proxy = world.proxy;
    auto terms = proxy.terms();
    {
        terms.protocols = {"h2", "http/1.1"};
        test_client both(proxy.port(), terms); // offers 1.2 and 1.3
        CHECK(std::string(SSL_get_version(both.ssl())) == "TLSv1.2");
        const std::string cipher = SSL_get_cipher_name(both.ssl());
        CHECK(cipher.starts_with("ECDHE-ECDSA-"));
        const unsigned char* name = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(both.ssl(), &name, &size);
        CHECK(std::string(reinterpret_cast<const char*>(name), size) == "http/1.1");
        CHECK(both.ask(post("{}")).status() == 200);
        const auto record = proxy.next_record();
        CHECK(record["tls_cipher"] == cipher);
        CHECK(record["sni"] == "www.contoso.com");
        CHECK(record["resumed"] == false);
    }
    terms = proxy.terms();
    terms.oldest = terms.newest = TLS1_3_VERSION;
    CHECK(test_client(proxy.port(), terms, false).handshake() != "");
    check_failed(proxy, handshake_failure::unsupported_protocol, 1);
    terms.oldest = terms.newest = TLS1_1_VERSION;
    CHECK(test_client(proxy.port(), terms, false).handshake() != "");
    check_failed(proxy, handshake_failure::unsupported_protocol, 2);

    terms = proxy.terms();
    terms.newest = TLS1_2_VERSION;
    terms.ciphers = "AES128-GCM-SHA256"; // without forward secrecy
    CHECK(test_client(proxy.port(), terms, false).handshake() != "");
    check_failed(proxy, handshake_failure::no_shared_cipher);

    terms = proxy.terms();
    terms.protocols = {"h2"};
    CHECK(test_client(proxy.port(), terms, false).handshake().find("no application protocol") != std::string::npos);
    check_failed(proxy, handshake_failure::no_application_protocol);

    terms = proxy.terms();
    terms.trusted = make_hierarchy().root_pem(); // another root: the client refuses us
    CHECK(test_client(proxy.port(), terms, false).handshake().find("verify") != std::string::npos);
    check_failed(proxy, handshake_failure::client_alert);

    {
        test_client gone(proxy.port(), proxy.terms(), false);
        gone.send_raw(std::string("\x16\x03\x01\x01\x00", 5)); // the beginning of a record
    }
    check_failed(proxy, handshake_failure::closed);
    {
        test_client nonsense(proxy.port(), proxy.terms(), false);
        nonsense.send_raw(std::string(100, '\0'));
        nonsense.receive_raw();
    }
    CHECK(proxy.full_handshakes() == 1);
    CHECK(proxy.count() == 1); // none of them was a request
}

TEST_CASE("plain HTTP on the TLS port gets a readable 400") {
    one_replica world(over::tls, always(ok("{}")));
    client_terms terms;
    terms.tls = false;
    std::uint64_t times = 0;
    for (const auto& said :
         {post("{}"), post(pattern(1 << 20)), std::string("get / http/1.1\r\n\r\n"),
          std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string("CONNECT a:1 HTTP/1.1\r\n\r\n"),
          std::string("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), std::string("G")}) {
        INFO(said.substr(0, 20));
        test_client client(world.proxy.port(), terms);
        const auto reply = client.ask(said);
        CHECK(reply.status() == 400);
        CHECK(reply.whole);
        CHECK(reply.field("connection") == "close");
        CHECK(reply.body.find("https://") != std::string::npos);
        CHECK(client.wait_for_end() == ending::clean);
        client.close();
        check_failed(world.proxy, handshake_failure::plain_http, ++times);
    }
    CHECK(world.replica.connections() == 0);
}

TEST_CASE("a handshake that is not finished in time is closed") {
    one_replica world(over::tls, always(ok("{}")), [](config::settings& s) { s.timeouts.handshake = 100ms; });
    test_client silent(world.proxy.port(), world.proxy.terms(), false);
    CHECK(silent.receive_raw().empty());
    check_failed(world.proxy, handshake_failure::timeout, 1);
    test_client half(world.proxy.port(), world.proxy.terms(), false);
    half.send_raw(std::string("\x16\x03\x01\x01\x00\x01", 6));
    CHECK(half.receive_raw().empty());
    check_failed(world.proxy, handshake_failure::timeout, 2);
}

TEST_CASE("a session is resumed by its ticket on whichever core") {
    one_replica world(over::tls, always(ok("{}")), {}, 2);
    auto& proxy = world.proxy;
    tls::ssl_session_ptr session;
    std::vector<std::unique_ptr<test_client>> open; // kept, so that the next one goes to the other core
    {
        open.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        CHECK(open.back()->ask(post("{}")).status() == 200);
        session.reset(SSL_get1_session(open.back()->ssl()));
    }
    auto terms = proxy.terms();
    terms.resumed = session.get();
    for (int i = 0; i < 4; ++i) {
        open.push_back(std::make_unique<test_client>(proxy.port(), terms));
        CHECK(open.back()->ask(post("{}")).status() == 200);
        CHECK(SSL_session_reused(open.back()->ssl()) == 1);
    }
    CHECK(proxy.full_handshakes() == 1);
    CHECK(proxy.resumed_handshakes() == 4);
    CHECK(proxy.core(0).metrics.handshakes_resumed.value() == 2);
    CHECK(proxy.core(1).metrics.handshakes_resumed.value() == 2);
    int resumed = 0;
    for (int i = 0; i < 5; ++i) resumed += proxy.next_record()["resumed"] == true ? 1 : 0; // in any order: two cores
    CHECK(resumed == 4);
}

TEST_CASE("connections that send nothing hold nobody up") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), {}, 2);
    std::vector<std::unique_ptr<test_client>> silent;
    for (int i = 0; i < 200; ++i)
        silent.push_back(std::make_unique<test_client>(world.proxy.port(), world.proxy.terms(), false));
    for (int i = 0; i < 10; ++i) {
        test_client client(world.proxy.port(), world.proxy.terms());
        CHECK(client.ask(post("{}")).status() == 200);
    }
    CHECK(world.proxy.open_connections() >= 200);
}

TEST_CASE("close_notify ends an idle connection in order, and a client's is answered by an end") {
    one_replica world(over::tls, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    client.shut();
    CHECK(client.wait_for_end() == ending::clean);
}
