// Replicas over TLS. The replica's side of it is another proxy, which has a certificate and a scripted replica.
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
