// Connections that are too many, too slow, or come when something runs short: who is refused, who has to make way, and
// that everybody else goes on.
#include "component/fixture.hpp"
#include "support/tls_tamperer.hpp"

#include <poll.h>

using namespace scoregate;
using namespace scoregate::tests;
using telemetry::eviction;
using telemetry::refusal;

namespace {

void wait_for_idle(running_proxy& proxy, std::size_t count) {
    wait_until([&] { return proxy.on_core(0, [&] { return proxy.core(0).idle.size(); }) == count; });
}

void wait_for_handshakes(running_proxy& proxy, std::size_t count) {
    wait_until([&] { return proxy.on_core(0, [&] { return proxy.core(0).handshaking.size(); }) == count; });
}

// The handshake's rest, once the ClientHello has been sent.
void go_on(tls_tamperer& client) {
    client.finish([&client](const std::string& flight) {
        if (flight != client.hello()) client.send(flight);
    });
}

// Is closed until somebody has been slow for long enough.
std::unique_ptr<test_client> come_in(running_proxy& proxy) {
    std::unique_ptr<test_client> made;
    wait_until([&] {
        made = std::make_unique<test_client>(proxy.port(), proxy.terms(), false);
        try {
            return made->handshake().empty();
        } catch (const wire_error&) {
            return false;
        }
    });
    return made;
}

// Closed without a word, before TLS.
bool closed_at_once(running_proxy& proxy) {
    auto terms = proxy.terms();
    terms.tls = false;
    test_client client(proxy.port(), terms);
    return client.read_to_end().empty();
}

} // namespace

TEST_CASE("max_connections_per_ip: one more of an address is closed, others come in") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&replica})});
    settings.limits.max_connections_per_ip = 2;
    checked_proxy proxy(what, settings, 2);
    auto first = std::make_unique<test_client>(proxy.port(), proxy.terms());
    test_client second(proxy.port(), proxy.terms());
    CHECK(first->ask(post("{}")).status() == 200);
    CHECK(second.ask(post("{}")).status() == 200);
    CHECK(closed_at_once(proxy));
    CHECK(proxy.refused(refusal::per_ip) == 1);
    auto elsewhere = proxy.terms();
    elsewhere.source = "127.0.0.2";
    test_client other(proxy.port(), elsewhere);
    CHECK(other.ask(post("{}")).status() == 200);

    const auto whose = routing::identity_of_address(*base::parse_ip("127.0.0.1"));
    first.reset();
    wait_until([&] { return proxy.dealing().by_address.of(whose) == 1; });
    test_client third(proxy.port(), proxy.terms());
    CHECK(third.ask(post("{}")).status() == 200);
    settings.limits.max_connections_per_ip = 0;
    proxy.reload(settings);
    test_client fourth(proxy.port(), proxy.terms());
    CHECK(fourth.ask(post("{}")).status() == 200);
    CHECK(proxy.dealing().by_address.of(whose) == 2); // not counted any more
    CHECK(second.ask(post("{}")).status() == 200);
    CHECK(proxy.refused(refusal::per_ip) == 1);
}

TEST_CASE("max_connections_per_ip: trusted proxies may have more") {
    one_replica world(over::plain, always(ok("{}")), [](config::settings& s) {
        s.limits.max_connections_per_ip = 1;
        s.trusted_proxies = {{*base::parse_ip("127.0.0.1"), 32}};
    });
    test_client one(world.proxy.port(), world.proxy.terms()), two(world.proxy.port(), world.proxy.terms());
    CHECK(one.ask(post("{}")).status() == 200);
    CHECK(two.ask(post("{}")).status() == 200);
}

TEST_CASE("max_handshakes: the slowest makes way, so that those who do not dawdle come in") {
    one_replica world(over::tls, always(ok("{}")), [](config::settings& s) { s.limits.max_handshakes = 2; });
    auto& proxy = world.proxy;
    std::vector<std::unique_ptr<test_client>> slow;
    const auto dawdle = [&] {
        slow.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms(), false));
        slow.back()->send_raw(std::string("\x16\x03\x01\x02\x00", 5)); // begins a record and does not go on
        wait_for_handshakes(proxy, 2);
    };
    slow.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms(), false));
    wait_for_handshakes(proxy, 1);
    for (int i = 0; i < 3; ++i) {
        dawdle();
        CHECK(come_in(proxy)->ask(post("{}")).status() == 200);
        wait_for_handshakes(proxy, 1);
    }
    for (std::size_t i = 0; i < 3; ++i) CHECK(slow[i]->receive_raw().empty()); // in the order they came
    wait_until([&] { return proxy.failed_handshakes(telemetry::handshake_failure::evicted) == 3; });
    CHECK(proxy.evicted(eviction::max_handshakes) == 3);
    CHECK(proxy.full_handshakes() == 3);
}

TEST_CASE("max_handshakes: those that wait for us do not make way for more of them") {
    one_replica world(over::tls, always(ok("{}")), [](config::settings& s) { s.limits.max_handshakes = 2; });
    auto& proxy = world.proxy;
    std::vector<std::unique_ptr<tls_tamperer>> clients;
    proxy.on_core(0, [&] { // which sees all of them at once
        for (int i = 0; i < 20; ++i) {
            clients.push_back(std::make_unique<tls_tamperer>(proxy.port()));
            clients.back()->send(clients.back()->hello());
        }
    });
    for (std::size_t i = 0; i < 2; ++i) go_on(*clients[i]);
    wait_until([&] { return proxy.refused(refusal::max_handshakes) == 18; });
    CHECK(proxy.evicted(eviction::max_handshakes) == 0);
    wait_until([&] { return proxy.full_handshakes() == 2; }); // the client knows it first
}

TEST_CASE("a handshake whose client has gone on does not make way, and is finished") {
    one_replica world(over::tls, always(ok("{}")));
    auto& proxy = world.proxy;
    tls_tamperer quick(proxy.port());
    wait_for_handshakes(proxy, 1);
    tls_tamperer silent(proxy.port());
    wait_for_handshakes(proxy, 2);
    const auto evicted = proxy.on_core(0, [&] {
        quick.send(quick.hello());
        return proxy.core(0).evict(proxy.core(0).handshaking, 5, eviction::memory);
    });
    CHECK(evicted == 1);
    go_on(quick);
    CHECK(silent.end().clean);
    wait_until([&] { return proxy.full_handshakes() == 1; });
}

TEST_CASE("a request does not wait for all the handshakes that have come with it") {
    event go;
    one_replica world(over::tls, answer_after(go, "good"));
    auto& proxy = world.proxy;
    auto& core = proxy.core(0);
    test_client client(proxy.port(), proxy.terms());
    std::vector<std::unique_ptr<tls_tamperer>> others;
    for (int i = 0; i < 50; ++i) others.push_back(std::make_unique<tls_tamperer>(proxy.port()));
    wait_for_handshakes(proxy, others.size());
    event sent_on;
    bool handshakes_wait = false;
    const std::function<void()> look = [&] { // once each turn of the loop
        if (proxy.replicas("iris").at(0).in_flight == 0) return core.post(look);
        handshakes_wait = core.handshake_turns().behind() > 0ns;
        sent_on.set();
    };
    proxy.on_core(0, [&] { // which sees all of them at once
        for (auto& each : others) each->send(each->hello());
        client.send(post("{}"));
        core.post(look);
    });
    sent_on.wait();
    CHECK(handshakes_wait);
    go.set();
    CHECK(client.read_reply().body == "good");
}

TEST_CASE("a core that has been busy knows how far it is behind") {
    one_replica world(over::tls, always(ok("{}")));
    const auto lag = world.proxy.on_core(0, [&] {
        const auto begin = std::chrono::steady_clock::now();
        wait_until([&] { return std::chrono::steady_clock::now() > begin + 200ms; });
        return world.proxy.core(0).lag();
    });
    CHECK(lag > 100ms); // a tick is 50 ms
}

TEST_CASE("a finished handshake is none in progress") {
    one_replica world(
        over::tls, always(ok("{}")), [](config::settings& s) { s.limits.max_handshakes = 1; }, 2);
    std::vector<std::unique_ptr<test_client>> clients;
    for (int i = 0; i < 6; ++i)
        clients.push_back(std::make_unique<test_client>(world.proxy.port(), world.proxy.terms()));
    for (auto& each : clients) CHECK(each->ask(post("{}")).status() == 200);
    CHECK(world.proxy.evicted(eviction::max_handshakes) == 0);
}

TEST_CASE("max_connections: whoever has been idle longest makes way for a new connection") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), [](config::settings& s) { s.limits.max_connections = 3; });
    auto& proxy = world.proxy;
    std::vector<std::unique_ptr<test_client>> clients;
    const auto come = [&] {
        clients.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        CHECK(clients.back()->ask(post("{}")).status() == 200);
    };
    for (std::size_t i = 1; i <= 3; ++i) {
        come();
        wait_for_idle(proxy, i);
    }
    CHECK(clients[0]->ask(post("{}")).status() == 200); // now the second has been idle longest
    wait_for_idle(proxy, 3);
    come();
    CHECK(clients[1]->wait_for_end() == tests::ending::clean);
    wait_for_idle(proxy, 3);
    come();
    CHECK(clients[2]->wait_for_end() == tests::ending::clean);
    for (const auto i : {0, 3, 4}) CHECK(clients[static_cast<std::size_t>(i)]->ask(post("{}")).status() == 200);
    wait_until([&] { return proxy.open_connections() == 3; });
    CHECK(proxy.evicted(eviction::max_connections) == 2);
    CHECK(proxy.refused(refusal::max_connections) == 0);
}

TEST_CASE("max_connections: who was refused and does not go makes way like who is idle") {
    one_replica world(over::tls, always(ok("{}")), [](config::settings& s) { s.limits.max_connections = 1; });
    auto& proxy = world.proxy;
    const auto stay =
        GENERATE(as<std::string>{}, "G", std::string("\x16\x05\x00\x00\x01x", 6)); // HTTP, another version
    test_client refused(proxy.port(), proxy.terms(), false);
    refused.send_raw(stay);
    wait_for_idle(proxy, 1);
    test_client client(proxy.port(), proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    CHECK(proxy.evicted(eviction::max_connections) == 1);
    CHECK(proxy.refused(refusal::max_connections) == 0);
}

TEST_CASE("max_connections: half a TLS record keeps no place, though others make way before it") {
    one_replica world(over::tls, always(ok("{}")), [](config::settings& s) { s.limits.max_connections = 2; });
    auto& proxy = world.proxy;
    auto& idle = proxy.core(0).idle;
    tls_tamperer half(proxy.port());
    half.finish();
    wait_for_idle(proxy, 1);
    test_client other(proxy.port(), proxy.terms());
    wait_for_idle(proxy, 2);
    const auto begin = [&](const std::string& bytes) {
        const auto since = idle.since();
        half.send(bytes);
        wait_until([&] { return idle.since() != since; });
        CHECK(proxy.on_core(0, [&] { return idle.size(); }) == 2);
    };
    const auto whole = half.seal(get("/")), next = half.seal(get("/"));
    begin(whole.substr(0, 10));
    test_client third(proxy.port(), proxy.terms());
    CHECK(other.wait_for_end() == tests::ending::clean);
    half.send(whole.substr(10));
    CHECK(half.read_text().starts_with("HTTP/1.1 200"));

    wait_for_idle(proxy, 2);
    CHECK(third.ask(get("/")).status() == 200); // now it has been idle for less long
    wait_for_idle(proxy, 2);
    begin(next.substr(0, 10));
    CHECK(third.ask(get("/")).status() == 200);
    wait_for_idle(proxy, 2);
    test_client fourth(proxy.port(), proxy.terms());
    CHECK(half.end().clean);
    CHECK(third.ask(get("/")).status() == 200);
    CHECK(proxy.evicted(eviction::max_connections) == 2);
    CHECK(proxy.refused(refusal::max_connections) == 0);
}

TEST_CASE("max_connections: over several cores, the idle one is found wherever it is") {
    one_replica world(
        over::plain, always(ok("{}")), [](config::settings& s) { s.limits.max_connections = 2; }, 2);
    auto& proxy = world.proxy;
    std::vector<std::unique_ptr<test_client>> clients;
    const auto idle = [&] {
        std::size_t all = 0;
        for (unsigned i = 0; i < 2; ++i) all += proxy.on_core(i, [&proxy, i] { return proxy.core(i).idle.size(); });
        return all;
    };
    for (std::size_t i = 0; i < 6; ++i) {
        clients.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        CHECK(clients.back()->ask(post("{}")).status() == 200);
        if (i >= 2) CHECK(clients[i - 2]->wait_for_end() == tests::ending::clean);
        wait_until([&] { return idle() == std::min<std::size_t>(i + 1, 2); });
    }
    CHECK(proxy.evicted(eviction::max_connections) == 4);
}

TEST_CASE("max_connections: a burst finds the idle ones of all cores") {
    one_replica world(
        over::plain, always(ok("{}")), [](config::settings& s) { s.limits.max_connections = 4; }, 2);
    auto& proxy = world.proxy;
    std::vector<std::unique_ptr<test_client>> clients;
    const auto come = [&] {
        clients.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        return clients.back().get();
    };
    const auto idle_on = [&](unsigned core) {
        return proxy.on_core(core, [&] { return proxy.core(core).idle.size(); });
    };
    for (unsigned i = 0; i < 4; ++i) {
        CHECK(come()->ask(post("{}")).status() == 200);
        wait_until([&] { return idle_on(i % 2) == i / 2 + 1; });
    }
    CHECK(clients[0]->ask(post("{}")).status() == 200); // the second core has who is idle longest
    wait_until([&] { return idle_on(0) == 2; });
    proxy.on_core(1, [&] { // which has two, and does not get to them before all are dealt to it
        for (int i = 0; i < 4; ++i) come();
        wait_until([&] { return proxy.core(1).open_connections() == 6; });
    });
    for (std::size_t i = 4; i < 8; ++i) CHECK(clients[i]->ask(post("{}")).status() == 200);
    for (std::size_t i = 0; i < 4; ++i) CHECK(clients[i]->wait_for_end() == tests::ending::clean);
    CHECK(proxy.evicted(eviction::max_connections) == 4);
    CHECK(proxy.refused(refusal::max_connections) == 0);
}

TEST_CASE("max_connections: if none is idle the new connection is closed, and the others go on") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go;
    one_replica world(what, answer_after(go), [](config::settings& s) { s.limits.max_connections = 3; });
    std::vector<std::unique_ptr<test_client>> clients;
    for (std::size_t i = 0; i < 3; ++i) {
        clients.push_back(std::make_unique<test_client>(world.proxy.port(), world.proxy.terms()));
        clients.back()->send(post("{}"));
        world.replica.request(i);
    }
    CHECK(closed_at_once(world.proxy));
    CHECK(world.proxy.refused(refusal::max_connections) == 1);
    CHECK(world.proxy.evicted(eviction::max_connections) == 0);
    go.set();
    for (auto& each : clients) CHECK(each->read_reply().status() == 200);
}

TEST_CASE("a connection whose request has just come does not make way, and is served") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    auto& proxy = world.proxy;
    test_client client(proxy.port(), proxy.terms()), idle(proxy.port(), proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    wait_for_idle(proxy, 2);
    // While the core is busy with this it does not see the request arrive.
    const auto evicted = proxy.on_core(0, [&] {
        client.send(post("{}"));
        return proxy.core(0).evict(proxy.core(0).idle, 5, eviction::memory);
    });
    CHECK(evicted == 1);
    CHECK(client.read_reply().status() == 200);
    CHECK(idle.wait_for_end() == tests::ending::clean);
    CHECK(client.ask(post("{}")).status() == 200);
    CHECK(proxy.evicted(eviction::memory) == 1);
}

TEST_CASE("max_requests_per_connection: the last reply says so") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), [](config::settings& s) { s.limits.max_requests_per_connection = 3; });
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK_FALSE(client.ask(post("{}")).has("connection"));
    CHECK_FALSE(client.ask(get("/")).has("connection")); // ours count as well
    CHECK(client.ask(post("{}")).field("connection") == "close");
    CHECK(client.wait_for_end() == tests::ending::clean);

    // Whoever has sent more than that gets the replies that there are, not a reset under them.
    test_client eager(world.proxy.port(), world.proxy.terms());
    CHECK(eager.ask(get("/")).status() == 200);
    std::string all;
    for (int i = 0; i < 40; ++i) all += post(std::string(1000, 'x')); // more than is read at once
    world.proxy.on_core(0, [&] { eager.send(all); });
    for (int i = 0; i < 2; ++i) CHECK(eager.read_reply().status() == 200);
    CHECK(eager.wait_for_end() == tests::ending::clean);
}

TEST_CASE("while memory is short new connections are closed at once, and the open ones go on") {
    one_replica world(over::tls, always(ok("{}")));
    auto& proxy = world.proxy;
    test_client client(proxy.port(), proxy.terms());
    proxy.dealing().short_of_memory = true;
    CHECK(closed_at_once(proxy));
    CHECK(client.ask(post("{}")).status() == 200);
    CHECK(proxy.refused(refusal::memory) == 1);
    proxy.dealing().short_of_memory = false;
    test_client later(proxy.port(), proxy.terms());
    CHECK(later.ask(post("{}")).status() == 200);
}

TEST_CASE("descriptors: the last of them are not for clients, and the very last not for replicas") {
    one_replica world(over::plain, always(ok("{}")));
    auto& proxy = world.proxy;
    test_client idle(proxy.port(), proxy.terms()), client(proxy.port(), proxy.terms());
    CHECK(idle.ask(get("/")).status() == 200);
    wait_for_idle(proxy, 2);
    CHECK(client.ask(get("/")).status() == 200);
    wait_for_idle(proxy, 2);
    proxy.on_core(0, [&] { proxy.dealing().most_descriptors = 3; });
    CHECK(closed_at_once(proxy));
    CHECK(proxy.refused(refusal::descriptors) == 1);
    CHECK(idle.wait_for_end() == tests::ending::clean); // the next gets in
    CHECK(proxy.evicted(eviction::descriptors) == 1);
    CHECK(client.ask(post("{}")).status() == 200);

    one_replica other(over::plain, always(ok("{}")));
    test_client hers(other.proxy.port(), other.proxy.terms());
    other.proxy.on_core(0, [&] { other.proxy.core(0).most_replica_descriptors = 3; });
    const auto reply = hers.ask(post("{}"));
    check_fault(reply, 503, "overloaded", "proxy");
    CHECK(reply.field("retry-after") == "1");
    other.proxy.on_core(0, [&] { other.proxy.core(0).most_replica_descriptors = 1 << 20; });
    CHECK(hers.ask(post("{}")).status() == 200);
}

TEST_CASE("client_timeout: a body that comes a byte now and then does not keep its connection") {
    one_replica world(over::plain, always(ok("{}")), [](config::settings& s) {
        s.limits.request_buffer_bytes = 65536;
        s.limits.min_body_rate = 1 << 30;
        s.timeouts.body_idle = 2000ms;
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(request("POST", score, "Content-Length: 1000\r\n"));
    pollfd ready{client.descriptor(), POLLIN, 0};
    int pauses = 0;
    while (::poll(&ready, 1, 500) == 0 && ++pauses < 20) client.send("x"); // no pause as long as it may be
    CHECK(pauses < 20);
    const auto reply = client.read_reply();
    check_fault(reply, 408, "client_timeout", "client");
    CHECK(reply.body.find("min_body_rate") != std::string::npos);
    CHECK(world.replica.connections() == 0);
}
