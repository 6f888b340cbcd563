// Certificates that are replaced, and ports that change places, under clients that must not notice.
#include "component/fixture.hpp"

#include <atomic>
#include <set>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// Another certificate for the same name, under the same root: clients trust both alike.
hierarchy renewed() {
    const auto& of = shared_identity();
    hierarchy made;
    const auto share = [](const identity& one) {
        X509_up_ref(one.certificate.get());
        EVP_PKEY_up_ref(one.key.get());
        return identity{tls::x509_ptr{one.certificate.get()}, tls::pkey_ptr{one.key.get()}};
    };
    made.root = share(of.root);
    made.intermediate = share(of.intermediate);
    made.leaf = issue({}, of.intermediate);
    return made;
}

std::string served_serial(test_client& client) {
    const tls::x509_ptr leaf{SSL_get1_peer_certificate(client.ssl())};
    const tls::bignum_ptr number{ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf.get()), nullptr)};
    char* const hex = BN_bn2hex(number.get());
    std::string text = hex;
    OPENSSL_free(hex);
    return text;
}

// What one client thread saw.
struct seen {
    std::atomic<std::size_t> requests{0}, handshakes{0};
    std::string failure;           // after the thread has ended
    std::set<std::string> serials; // the same
};

// Requests on one connection, and a new connection with each of them, until told to stop.
void keep_scoring(const checked_proxy& proxy, const std::atomic<bool>& stop, seen& out) {
    try {
        test_client kept(proxy.port(), proxy.terms());
        while (!stop) {
            test_client fresh(proxy.port(), proxy.terms());
            ++out.handshakes;
            out.serials.insert(served_serial(fresh));
            for (auto* const each : {&kept, &fresh}) {
                if (const auto reply = each->ask(post("{}")); !reply.whole || reply.status() != 200)
                    throw std::runtime_error("a reply that is not 200: " + reply.head);
                ++out.requests;
            }
        }
    } catch (const std::exception& error) {
        out.failure = error.what();
    }
}

} // namespace

TEST_CASE("new handshakes get the renewed certificate, open connections and requests under way go on") {
    event go;
    one_replica world(over::tls, [&](conversation& with) {
        with.read_request();
        go.wait();
        with.send(ok("{}"));
        with.wait_for_end();
    });
    auto& proxy = world.proxy;
    const auto next = renewed();
    test_client before(proxy.port(), proxy.terms());
    CHECK(served_serial(before) == shared_identity().certificate()->serial());
    before.send(post("{}"));
    world.replica.request(0);

    proxy.serve(store_of({&next}));
    test_client after(proxy.port(), proxy.terms());
    CHECK(served_serial(after) == next.certificate()->serial());
    go.set();
    CHECK(before.read_reply().status() == 200);
    CHECK(before.ask(get("/")).status() == 200); // and is kept
}

TEST_CASE("a certificate that is replaced again and again under load costs no request and no handshake") {
    one_replica world(over::tls, always(ok("{}")), {}, 2);
    auto& proxy = world.proxy;
    const auto next = renewed();
    const std::vector stores{store_of({&next}), store_of({&shared_identity()})};
    std::atomic<bool> stop{false};
    std::vector<seen> clients(3);
    std::vector<std::thread> threads;
    for (auto& each : clients) threads.emplace_back([&] { keep_scoring(proxy, stop, each); });
    // A swap in the middle of whatever the clients are at; as many as they see handshakes of.
    const auto handshakes = [&] {
        std::size_t all = 0;
        for (const auto& each : clients) all += each.handshakes;
        return all;
    };
    for (std::size_t swaps = 0; swaps < 100; ++swaps) {
        const auto seen_before = handshakes();
        proxy.serve(stores[swaps % 2]);
        const auto end = std::chrono::steady_clock::now() + patience;
        while (handshakes() == seen_before && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    }
    stop = true;
    for (auto& each : threads) each.join();
    std::size_t requests = 0;
    for (const auto& each : clients) {
        CHECK(each.failure == "");
        CHECK(each.serials.size() == 2);
        requests += each.requests;
    }
    CHECK(handshakes() >= 100);
    proxy.record(requests - 1); // a request is counted and recorded after its client has got the reply
    CHECK(proxy.count("iris", fault::none, 200) == requests);
    for (std::size_t i = 0; i < telemetry::handshake_failure_count; ++i)
        CHECK(proxy.failed_handshakes(static_cast<telemetry::handshake_failure>(i)) == 0);
}

TEST_CASE("TLS is switched off: the other port scores, requests under way finish, then their connections close") {
    event go;
    one_replica world(
        over::tls,
        [&](conversation& with) {
            for (;;) {
                const auto asked = with.read_request();
                if (asked.first_line.find("?slow") != std::string::npos) go.wait();
                with.send(ok("{}"));
            }
        },
        [](config::settings& s) { s.services[0].require_tls = true; }, 2);
    auto& proxy = world.proxy;
    const auto https = proxy.port(proxy::entrance::https), http = proxy.port(proxy::entrance::http);
    auto in_clear = proxy.terms();
    in_clear.tls = false;
    const auto secure = proxy.terms();
    test_client idle(https, secure), slow(https, secure), plain(http, in_clear);
    CHECK(idle.ask(get("/")).status() == 200);
    check_fault(plain.ask(post("{}")), 403, "https_required", "client");
    slow.send(request("POST", score + "?slow", "", "{}"));
    world.replica.request(0);

    proxy.switch_to(over::plain);
    CHECK(idle.wait_for_end() == ending::clean);
    CHECK_THROWS_AS(test_client(https, secure), wire_error); // nobody listens
    CHECK(plain.ask(post("{}")).status() == 200);            // the same connection, judged anew
    go.set();
    const auto reply = slow.read_reply();
    CHECK(reply.status() == 200);
    CHECK(reply.field("connection") == "close");
    CHECK(slow.wait_for_end() == ending::clean);

    proxy.switch_to(over::tls);
    check_fault(plain.ask(post("{}")), 403, "https_required", "client");
    test_client again(https, secure);
    CHECK(again.ask(post("{}")).status() == 200);
}

TEST_CASE("a request in clear that is under way when TLS is switched on finishes") {
    event go;
    one_replica world(
        over::plain,
        [&](conversation& with) {
            for (;;) {
                with.read_request();
                go.wait();
                with.send(ok("{}"));
            }
        },
        [](config::settings& s) { s.services[0].require_tls = true; });
    auto& proxy = world.proxy;
    test_client slow(proxy.port(), proxy.terms());
    slow.send(post("{}"));
    world.replica.request(0);
    proxy.switch_to(over::tls);
    go.set();
    CHECK(slow.read_reply().status() == 200);
    check_fault(slow.ask(post("{}")), 403, "https_required", "client");
    test_client secure(proxy.port(), proxy.terms());
    CHECK(secure.ask(post("{}")).status() == 200);
}
