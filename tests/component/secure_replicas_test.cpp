// Replicas over TLS. The replica's side of it is another proxy, which has a certificate and a scripted replica; or,
// where it is to do what no proxy does, OpenSSL in a script.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

namespace {

std::shared_ptr<const tls::replica_trust> trust_in(const hierarchy& issuer, const std::string& server_name) {
    const pem_directory folder;
    return std::make_shared<tls::replica_trust>(folder.write("ca.pem", issuer.root_pem()), server_name);
}

// client -> front -> (TLS) -> back -> replica
struct chain {
    explicit chain(over what, scripted_replica::script script,
                   std::shared_ptr<const tls::replica_trust> trust = running_proxy::shared_trust())
        : replica(std::move(script)),
          back(over::tls, settings_of({service_of("iris", {&replica})})),
          front(what, settings_at(back.port())) {
        front.trust[{"iris", "blue"}] = std::move(trust);
        front.reload(settings_at(back.port()));
    }

    static config::settings settings_at(std::uint16_t port) {
        auto made = settings_of({service_of("iris", {})});
        auto& blue = made.services[0].deployments[0];
        blue.replicas = {{"https://127.0.0.1:" + std::to_string(port), "127.0.0.1", port, true}};
        made.services[0].routes = {{"/score", "/api/v1/service/iris/score", false, {"GET", "HEAD", "POST"}, true}};
        return made;
    }

    scripted_replica replica;
    checked_proxy back, front;
};

// The replica's end of a TLS connection, within its script.
class tls_end {
public:
    explicit tls_end(conversation& with) : with_(with), context_(SSL_CTX_new(TLS_server_method())) {
        const auto& shown = shared_identity();
        SSL_CTX_use_certificate(context_.get(), shown.leaf.certificate.get());
        SSL_CTX_add1_chain_cert(context_.get(), shown.intermediate.certificate.get());
        SSL_CTX_use_PrivateKey(context_.get(), shown.leaf.key.get());
        ssl_.reset(SSL_new(context_.get()));
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(ssl_.get());
    }

    // The handshake too, if it is still to come. Empty at the end, however that came.
    std::string read() {
        char block[16384];
        for (;;) {
            const int n = SSL_read(ssl_.get(), block, sizeof block);
            flush();
            if (n > 0) return {block, static_cast<std::size_t>(n)};
            if (closure_alert_came()) return {};
            const auto more = with_.read_some();
            if (more.empty()) return {};
            BIO_write(SSL_get_rbio(ssl_.get()), more.data(), static_cast<int>(more.size()));
        }
    }
    void read_request() {
        for (std::string text; !text.ends_with("\r\n\r\n{}");) {
            const auto more = read();
            if (more.empty()) throw wire_ended("no request came");
            text += more;
        }
    }
    void write(std::string_view text) {
        SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
        flush();
    }
    void send_closure_alert() {
        SSL_shutdown(ssl_.get());
        flush();
    }
    bool closure_alert_came() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }

private:
    void flush() {
        char* bytes = nullptr;
        const auto size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &bytes);
        if (size > 0) with_.send({bytes, static_cast<std::size_t>(size)});
        (void)BIO_reset(SSL_get_wbio(ssl_.get()));
        ERR_clear_error();
    }

    conversation& with_;
    tls::ssl_ctx_ptr context_;
    tls::ssl_ptr ssl_;
};

// In front of a replica that speaks TLS itself.
struct front_of : checked_proxy {
    explicit front_of(const scripted_replica& replica) : checked_proxy(over::tls, chain::settings_at(replica.port())) {
        trust[{"iris", "blue"}] = running_proxy::shared_trust();
        reload(chain::settings_at(replica.port()));
    }
};

} // namespace

TEST_CASE("https:// replicas: requests go over one kept-alive TLS connection, bodies of any size both ways") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    chain world(what, echo);
    test_client client(world.front.port(), world.front.terms());
    for (const std::size_t size : {2U, 20'000U, 3'000'000U, 1U}) {
        std::string body(size, 'x');
        for (std::size_t i = 0; i < size; i += 997) body[i] = static_cast<char>('a' + i % 26);
        const auto reply = client.ask(post(body));
        CHECK(reply.status() == 200);
        CHECK((reply.body == body));
    }
    CHECK(world.back.full_handshakes() == 1);
    CHECK(world.front.replica_connects("iris") == 1);
    CHECK(world.replica.request(0).field("x-forwarded-proto") == "https"); // as the second hop sees it
    CHECK(world.back.record(0).value("sni", "") == "www.contoso.com");
}

TEST_CASE("https:// replicas: a stream of events arrives as it is sent") {
    auto first = std::make_shared<event>(), second = std::make_shared<event>();
    chain world(over::tls, [=](conversation& with) {
        with.read_request();
        with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        first->wait();
        with.send("6\r\nfirst\n\r\n");
        second->wait();
        with.send("7\r\nsecond\n\r\n0\r\n\r\n");
    });
    test_client client(world.front.port(), world.front.terms());
    client.send(post("{}"));
    client.read_until("\r\n\r\n");
    first->set();
    CHECK(client.read_until("first\n").find("first") != std::string::npos);
    second->set();
    CHECK(client.read_until("0\r\n\r\n").find("second") != std::string::npos);
}

TEST_CASE("https:// replicas that do not prove who they are get nothing") {
    const auto other = make_hierarchy();
    struct row {
        std::string what;
        std::shared_ptr<const tls::replica_trust> trust;
    };
    const std::vector<row> rows{
        {"another name", running_proxy::shared_trust("other.contoso.com")},
        {"the address, which the certificate does not have", running_proxy::shared_trust("")},
        {"another issuer", trust_in(other, "www.contoso.com")},
        {"no issuer that the system knows", std::make_shared<tls::replica_trust>("", "www.contoso.com")},
    };
    for (const auto& row : rows) {
        INFO(row.what);
        chain world(over::plain, echo, row.trust);
        test_client client(world.front.port(), world.front.terms());
        check_fault(client.ask(post("{}")), 502, "connect_failed", "replica");
        CHECK(world.replica.requests() == 0);
        CHECK(world.back.full_handshakes() == 0);
    }
}

TEST_CASE("https:// replicas: what speaks no TLS is connect_failed, what says nothing is connect_timeout") {
    scripted_replica plain([](conversation& with) {
        with.read_some();
        with.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    scripted_replica silent([](conversation& with) { with.wait_for_end(); });
    for (const auto* which : {&plain, &silent}) {
        auto settings = chain::settings_at(which->port());
        settings.timeouts.connect = 200ms;
        checked_proxy proxy(over::plain, settings);
        proxy.trust[{"iris", "blue"}] = running_proxy::shared_trust();
        proxy.reload(settings);
        test_client client(proxy.port(), proxy.terms());
        if (which == &plain)
            check_fault(client.ask(post("{}")), 502, "connect_failed", "replica");
        else
            check_fault(client.ask(post("{}")), 504, "connect_timeout", "replica");
    }
}

TEST_CASE("https:// replicas: a connection made under other terms is not used again") {
    chain world(over::plain, echo);
    test_client client(world.front.port(), world.front.terms());
    CHECK(client.ask(post("1")).body == "1");
    world.front.trust[{"iris", "blue"}] = running_proxy::shared_trust("other.contoso.com");
    world.front.reload(chain::settings_at(world.back.port()));
    check_fault(client.ask(post("2")), 502, "connect_failed", "replica");
    world.front.trust[{"iris", "blue"}] = running_proxy::shared_trust();
    world.front.reload(chain::settings_at(world.back.port()));
    CHECK(client.ask(post("3")).body == "3");
    CHECK(world.back.full_handshakes() == 2);
}

TEST_CASE("https:// replicas: who waits when a reload makes them so is sent over TLS as well") {
    event go;
    scripted_replica plain([&go](conversation& with) {
        with.read_request();
        go.wait();
        with.send(ok("plain"));
    });
    scripted_replica behind(always(ok("secured")));
    checked_proxy back(over::tls, settings_of({service_of("iris", {&behind})}));
    auto settings = settings_of({service_of("iris", {&plain})});
    settings.services[0].deployments[0].settings.max_concurrent_requests = 1;
    settings.services[0].deployments[0].settings.max_queue_wait = 60s;
    settings.services[0].routes = {{"/score", "/api/v1/service/iris/score", false, {"POST"}, true}};
    checked_proxy front(over::plain, settings);
    test_client first(front.port(), front.terms()), second(front.port(), front.terms());
    first.send(post("1"));
    plain.request(0);
    second.send(post("2"));
    wait_until([&] { return front.state_of("iris").queued == 1; });
    front.trust[{"iris", "blue"}] = running_proxy::shared_trust();
    settings.services[0].deployments[0].replicas = chain::settings_at(back.port()).services[0].deployments[0].replicas;
    front.reload(settings);
    CHECK(second.read_reply().body == "secured");
    CHECK(back.full_handshakes() == 1);
    go.set();
    CHECK(first.read_reply().body == "plain");
}

TEST_CASE("https:// replicas: a reply that ends with the connection is whole only behind a closure alert") {
    struct row {
        const char* what;
        std::string reply;
        bool alert, whole;
    };
    const std::string ok_line = "HTTP/1.1 200 OK\r\n";
    const std::vector<row> rows{
        {"to the end, with the alert", ok_line + "\r\nhello", true, true},
        {"to the end, without it", ok_line + "\r\nhello", false, false},
        {"a length", ok_line + "Content-Length: 5\r\n\r\nhello", false, true},
        {"chunks", ok_line + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, true},
        {"a length that is not reached", ok_line + "Content-Length: 6\r\n\r\nhello", true, false},
        {"chunks without the last", ok_line + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, false},
    };
    for (const auto& row : rows) {
        INFO(row.what);
        scripted_replica replica([&row](conversation& with) {
            tls_end end(with);
            end.read_request();
            end.write(row.reply);
            if (row.alert) end.send_closure_alert();
            with.close();
        });
        front_of front(replica);
        test_client client(front.port(), front.terms());
        client.send(post("{}"));
        const auto reply = client.read_reply();
        CHECK(reply.status() == 200);
        CHECK(reply.body == "hello");
        CHECK(reply.whole == row.whole);
        if (!row.whole) CHECK(client.wait_for_end() == ending::cut);
        wait_until([&] { return front.count() == 1; });
        CHECK(front.count("iris", row.whole ? fault::none : fault::stream_broken, 200) == 1);
    }
}

TEST_CASE("https:// replicas: they are sent a closure alert before their connection is closed") {
    event ended;
    bool alert_came = false;
    scripted_replica replica([&](conversation& with) {
        tls_end end(with);
        end.read_request();
        end.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        end.read();
        alert_came = end.closure_alert_came();
        ended.set();
    });
    front_of front(replica);
    test_client client(front.port(), front.terms());
    CHECK(client.ask(post("{}")).body == "ok");
    ended.wait();
    CHECK(alert_came);
}
