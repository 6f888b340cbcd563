// Another try where it is safe, and none where it is not: judged by what the replicas have received.
#include "component/fixture.hpp"

#include <algorithm>
#include <atomic>
#include <list>

using namespace scoregate;
using namespace scoregate::tests;
using telemetry::retry_reason;

namespace {

const std::string not_idempotent = "/api/v1/service/iris/train";

std::string with_status(unsigned status, const std::string& body = "{}") {
    return "HTTP/1.1 " + std::to_string(status) +
           " As It Is\r\nX-Of: the replica\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// One service over ports, in that order, with a route besides that must not be sent twice.
config::settings over_ports(const std::vector<std::uint16_t>& ports) {
    auto service = service_of("iris", {});
    for (const auto port : ports) service.deployments[0].replicas.push_back(replica_at(port));
    service.routes.push_back({"/train", "/train", false, {"GET", "HEAD", "POST"}, false});
    auto made = settings_of({service});
    made.limits.request_buffer_bytes = 65536;
    return made;
}
config::settings over_replicas(std::initializer_list<const scripted_replica*> replicas) {
    std::vector<std::uint16_t> ports;
    for (const auto* each : replicas) ports.push_back(each->port());
    return over_ports(ports);
}

// Answers the first request on each connection, and then does `next` with the second one's head instead.
scripted_replica::script once_then(std::function<void(conversation&)> next) {
    return [next = std::move(next)](conversation& with) {
        with.read_request();
        with.send(ok("first"));
        with.read_head();
        next(with);
    };
}
void hang_up(conversation& with) { with.close(); }
void break_off(conversation& with) { with.reset(); }
// Answers one request in all; resets the next one on that connection, and every one on another.
void shut_down_after_one(conversation& with) {
    if (with.number() == 0) {
        with.read_request();
        with.send(ok("first"));
    }
    with.read_head();
    with.reset();
}

unsigned attempts(const nlohmann::json& record) { return record.value("attempts", 0U); }

} // namespace

TEST_CASE("a replica that refuses costs no request: another one gets it") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica good(echo);
    checked_proxy proxy(what, over_ports({refusing_port(), good.port()}));
    test_client client(proxy.port(), proxy.terms());
    unsigned tried_twice = 0;
    for (int i = 0; i < 20; ++i) {
        const auto body = "body " + std::to_string(i);
        const auto path = i % 2 == 0 ? score : not_idempotent; // nothing was sent: that is always safe
        const auto reply = client.ask(request("POST", path, "", body));
        CHECK(reply.status() == 200);
        CHECK(reply.body == body);
        const auto record = proxy.next_record();
        CHECK(record.value("replica", "") == "http://127.0.0.1:" + std::to_string(good.port()));
        if (attempts(record) == 2) ++tried_twice;
    }
    CHECK(tried_twice == 5); // then it was ejected
    CHECK(proxy.retries("iris", retry_reason::unsent) == 5);
    CHECK(proxy.replicas("iris").at(0).standing == routing::standing::ejected);
}

TEST_CASE("three replicas are tried, not four, and with one there is no other") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    std::vector<std::uint16_t> ports;
    while (ports.size() < 4)
        if (const auto port = refusing_port(); std::find(ports.begin(), ports.end(), port) == ports.end())
            ports.push_back(port);
    const auto most = GENERATE(1, 4);
    ports.resize(static_cast<std::size_t>(most));
    checked_proxy proxy(what, over_ports(ports));
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("{}")), 502, "connect_failed", "replica");
    CHECK(attempts(proxy.next_record()) == (most == 1 ? 1 : 3));
    CHECK(client.ask(get("/")).status() == 200);
}

TEST_CASE("an idle connection that ends under a request is made good by a new one, where the route is idempotent") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool by_reset = GENERATE(false, true);
    INFO(by_reset);
    scripted_replica replica(once_then(by_reset ? break_off : hang_up));
    checked_proxy proxy(what, over_replicas({&replica}));
    test_client client(proxy.port(), proxy.terms());
    REQUIRE(client.ask(post("1")).body == "first");
    CHECK(client.ask(post("2")).body == "first"); // the first of another connection
    CHECK(replica.connections() == 2);
    CHECK(replica.requests() == 3);
    proxy.next_record();
    CHECK(attempts(proxy.next_record()) == 2);
    CHECK(proxy.retries("iris", retry_reason::closed) == 1);

    check_fault(client.ask(request("POST", not_idempotent, "", "3")), 502, "replica_closed", "replica");
    CHECK(attempts(proxy.next_record()) == 1);
    CHECK(replica.requests() == 4);
    REQUIRE(client.ask(post("4")).body == "first");
    CHECK(client.ask(get(not_idempotent)).body == "first"); // GET is, by its definition
}

TEST_CASE("only once: a replica that takes the request again and closes again is told of") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica([](conversation& with) {
        with.read_request();
        if (with.number() != 0) return with.close();
        with.send(ok("first"));
        with.read_request();
        with.close();
    });
    checked_proxy proxy(what, over_replicas({&replica}));
    test_client client(proxy.port(), proxy.terms());
    REQUIRE(client.ask(post("1")).body == "first");
    check_fault(client.ask(post("2")), 502, "replica_closed", "replica");
    proxy.next_record();
    CHECK(attempts(proxy.next_record()) == 2);
    CHECK(replica.requests() == 3);
}

TEST_CASE("a replica that shuts down may reset a reused connection and the new one as well") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica ends(shut_down_after_one);
    scripted_replica good(echo);
    checked_proxy proxy(what, over_replicas({&ends, &good}));
    test_client client(proxy.port(), proxy.terms());
    REQUIRE(client.ask(post("1")).body == "first");
    REQUIRE(client.ask(post("2")).body == "2"); // they take turns
    CHECK(client.ask(post("3")).body == "3");
    CHECK(ends.connections() == 2);
    proxy.next_record();
    proxy.next_record();
    CHECK(attempts(proxy.next_record()) == 3);
}

TEST_CASE("a new connection to the same replica takes nothing from the three replicas that are tried") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica ends(shut_down_after_one);
    scripted_replica good(echo);
    checked_proxy proxy(what, over_ports({refusing_port(), ends.port(), good.port()}));
    test_client client(proxy.port(), proxy.terms());
    REQUIRE(client.ask(post("1")).body == "first"); // refused by the first of them, as all that begin there
    REQUIRE(client.ask(post("2")).body == "2");
    CHECK(client.ask(post("3")).body == "3");
    proxy.next_record();
    proxy.next_record();
    CHECK(attempts(proxy.next_record()) == 4);
}

TEST_CASE("never after a byte of the reply, and never without the whole body at hand") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica half(once_then([](conversation& with) {
        with.send("HTTP/1.1 2");
        with.close();
    }));
    {
        checked_proxy proxy(what, over_replicas({&half}));
        test_client client(proxy.port(), proxy.terms());
        REQUIRE(client.ask(post("1")).body == "first");
        check_fault(client.ask(post("2")), 502, "replica_closed", "replica");
        CHECK(half.requests() == 2);
    }
    scripted_replica replica(once_then(hang_up));
    {
        auto settings = over_replicas({&replica});
        settings.limits.request_buffer_bytes = 0;
        checked_proxy proxy(what, settings);
        test_client client(proxy.port(), proxy.terms());
        REQUIRE(client.ask(post("1")).body == "first");
        client.send(request("POST", score, "Content-Length: 10\r\n")); // the body would come later
        check_fault(client.read_reply(), 502, "replica_closed", "replica");
        CHECK(replica.requests() == 2);
    }
    { // what is collected goes at once when others may want the memory
        auto settings = over_replicas({&replica});
        settings.limits.buffer_memory_bytes = 300'000;
        checked_proxy proxy(what, settings);
        test_client client(proxy.port(), proxy.terms());
        REQUIRE(client.ask(post("1")).body == "first");
        check_fault(client.ask(post(pattern(60'000))), 502, "replica_closed", "replica");
        CHECK(replica.requests() == 4);
        CHECK(proxy.collected_bytes() == 0);
    }
}

TEST_CASE("a large body is sent again whole") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica([](conversation& with) {
        for (int i = 0; with.number() != 0 || i == 0; ++i) with.send(ok(with.read_request().body));
        with.read_head();
        with.reset();
    });
    checked_proxy proxy(what, over_replicas({&replica}));
    test_client client(proxy.port(), proxy.terms());
    const auto body = pattern(60'000);
    REQUIRE(client.ask(post("1")).body == "1");
    CHECK(client.ask(post(body)).body == body);
    CHECK(client.ask(request("POST", score, "Transfer-Encoding: chunked\r\n") + in_chunks(body, 1000)).body == body);
    CHECK(proxy.collected_bytes() == 0);
}

TEST_CASE(
    "a new connection that is reset was not read: another replica gets the request, where the route is idempotent") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica bad([](conversation& with) {
        with.read_head(); // so that it has been written
        with.reset();
    });
    scripted_replica good(echo);
    checked_proxy proxy(what, over_ports({bad.port(), good.port()}));
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 4; ++i) CHECK(client.ask(post("body")).body == "body");
    unsigned failed = 0;
    for (int i = 0; i < 2; ++i) // they take turns
        if (client.ask(request("POST", not_idempotent, "", "{}")).status() != 200) ++failed;
    CHECK(failed == 1);
    CHECK(proxy.retries("iris", retry_reason::closed) + failed == bad.connections());
}

TEST_CASE("a replica that is full sends its request to another one, and its own answer counts where there is none") {
    const auto what = GENERATE(over::tls, over::plain);
    const auto status = GENERATE(429U, 503U);
    INFO(to_string(what) << " " << status);
    scripted_replica full(always(with_status(status, "full"))), good(echo);
    SECTION("another one") {
        checked_proxy proxy(what, over_replicas({&full, &good}));
        test_client client(proxy.port(), proxy.terms());
        for (int i = 0; i < 20; ++i) {
            const auto path = i % 2 == 0 ? score : not_idempotent; // it says itself that it has not begun
            CHECK(client.ask(request("POST", path, "", "body")).body == "body");
        }
        CHECK(proxy.retries("iris", retry_reason::busy) == full.requests());
        CHECK(full.requests() >= 10);
        CHECK(proxy.replicas("iris").at(0).standing == routing::standing::ready); // it is not broken
    }
    SECTION("no other one") {
        scripted_replica full_too(always(with_status(status, "full"))),
            full_as_well(always(with_status(status, "full")));
        const bool alone = GENERATE(true, false);
        checked_proxy proxy(what, alone ? over_replicas({&full}) : over_replicas({&full, &full_too, &full_as_well}));
        test_client client(proxy.port(), proxy.terms());
        for (int i = 0; i < 3; ++i) {
            const auto reply = client.ask(post("body"));
            CHECK(reply.status() == status);
            CHECK(reply.body == "full");
            CHECK(reply.field("x-of") == "the replica");
            CHECK_FALSE(reply.has("x-scoregate-fault"));
            CHECK(attempts(proxy.next_record()) == (alone ? 1 : 3));
        }
    }
}

TEST_CASE("a request that was turned away waits for another replica as long as the queue allows") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool in_time = GENERATE(true, false);
    INFO(in_time);
    event go;
    scripted_replica full(always(with_status(503, "full"))), busy(answer_after(go, "good"));
    auto settings = over_replicas({&busy, &full});
    auto& request_settings = settings.services[0].deployments[0].settings;
    request_settings.max_concurrent_requests = 1;
    request_settings.max_queue_wait = in_time ? 60s : 100ms;
    checked_proxy proxy(what, settings);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("{}"));
    busy.request(0);
    second.send(post("{}"));
    full.request(0);
    if (in_time) {
        // while it waits the full one is free for others
        wait_until([&] { return proxy.state_of("iris").queued == 1 && proxy.replicas("iris").at(1).in_flight == 0; });
        go.set();
        CHECK(second.read_reply().body == "good");
    } else {
        const auto reply = second.read_reply();
        CHECK(reply.status() == 503);
        CHECK(reply.body == "full");
        go.set();
    }
    CHECK(first.read_reply().body == "good");
    CHECK(proxy.state_of("iris").queued == 0);
}

TEST_CASE("who leaves while he waits to be tried again leaves nothing") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go;
    scripted_replica full(always(with_status(503, "full"))), busy(answer_after(go, "good"));
    auto settings = over_replicas({&busy, &full});
    auto& request_settings = settings.services[0].deployments[0].settings;
    request_settings.max_concurrent_requests = 1;
    request_settings.max_queue_wait = 60s;
    checked_proxy proxy(what, settings);
    test_client first(proxy.port(), proxy.terms());
    first.send(post("{}"));
    busy.request(0);
    {
        test_client second(proxy.port(), proxy.terms());
        second.send(post("{}"));
        wait_until([&] { return proxy.state_of("iris").queued == 1; });
    }
    check_record(proxy.next_record(), 499, "client_gone", "client");
    CHECK(proxy.state_of("iris").queued == 0);
    go.set();
    CHECK(first.read_reply().body == "good");
}

TEST_CASE("no other status and no timeout is a reason to ask again") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    for (const auto status : {400U, 404U, 408U, 500U, 502U, 504U, 529U}) {
        INFO(status);
        scripted_replica a(always(with_status(status))), b(always(with_status(status)));
        checked_proxy proxy(what, over_replicas({&a, &b}));
        test_client client(proxy.port(), proxy.terms());
        client.ask(post("{}"));
        CHECK(a.requests() + b.requests() == 1);
    }
    scripted_replica silent([](conversation& with) {
        with.read_request();
        with.wait_for_end();
    });
    scripted_replica other(echo);
    auto settings = over_replicas({&silent, &other});
    auto& of = settings.services[0].deployments[0].settings;
    of.request_timeout = 100ms;
    of.on_abandon = config::on_abandon::cancel;
    checked_proxy proxy(what, settings);
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("{}")), 504, "request_timeout", "replica");
    CHECK(other.requests() == 0);
}

TEST_CASE("what replicas may see twice is bounded by a budget") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go;
    scripted_replica full(always(with_status(503, "full"))), slow(answer_after(go, "good"));
    checked_proxy proxy(what, over_replicas({&full, &slow}));
    constexpr unsigned all = 40;
    std::list<test_client> clients;
    for (unsigned i = 0; i < all; ++i) {
        clients.emplace_back(proxy.port(), proxy.terms());
        const auto answered = full.requests();
        clients.back().send(post("{}"));
        wait_until([&] { // each has got where it goes
            return slow.requests() + proxy.count() == i + 1 || full.requests() > answered;
        });
    }
    wait_until([&] { return slow.requests() + proxy.count() == all; });
    const auto retried = proxy.retries("iris", retry_reason::busy);
    CHECK(retried >= 3);
    CHECK(retried <= all / 5);
    CHECK(proxy.count("iris", fault::none, 503) == full.requests() - retried);
    go.set();
    for (auto& each : clients) CHECK(each.read_reply().whole);
    proxy.record(all - 1); // each is counted by then
    CHECK(proxy.count("iris", fault::none, 200) + proxy.count("iris", fault::none, 503) == all);
}

TEST_CASE("what was reset unread is outside the budget: a replica that shuts down resets its whole queue at once") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go;
    scripted_replica ends([&](conversation& with) {
        with.read_head();
        go.wait();
        with.reset();
    });
    scripted_replica good(answer_after(go, "good"));
    checked_proxy proxy(what, over_replicas({&ends, &good}));
    constexpr unsigned all = 32; // half of them at each, and a fifth are six
    std::list<test_client> clients;
    for (unsigned i = 0; i < all; ++i) {
        clients.emplace_back(proxy.port(), proxy.terms()).send(post("body"));
        wait_until([&] { return ends.connections() + good.requests() == i + 1; });
    }
    REQUIRE(ends.connections() == all / 2);
    go.set();
    for (auto& each : clients) CHECK(each.read_reply().body == "good");
    CHECK(proxy.retries("iris", retry_reason::closed) == all / 2);
}

TEST_CASE("a replica that is ejected is tried for a request that all others have refused") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    std::atomic<bool> replaced = false;
    scripted_replica one([&](conversation& with) {
        for (;;) {
            with.read_request();
            with.send(replaced ? ok("one") : with_status(502));
        }
    });
    checked_proxy proxy(what, over_ports({one.port(), refusing_port()}));
    test_client client(proxy.port(), proxy.terms());
    wait_until([&] {
        client.ask(post("{}"));
        return proxy.replicas("iris").at(0).standing == routing::standing::ejected;
    });
    replaced = true;
    for (int i = 0; i < 4; ++i) CHECK(client.ask(post("{}")).body == "one");
    CHECK(proxy.replicas("iris").at(0).standing == routing::standing::ready);
}

TEST_CASE("five bad inputs do not remove the fleet; five broken replies remove a replica") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    struct each {
        std::string reply;
        bool ejects;
    };
    const auto how =
        GENERATE(each{with_status(500), false}, each{with_status(400), false}, each{with_status(502), true},
                 each{with_status(504), true}, each{"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", true},
                 each{"no HTTP at all\r\n\r\n", true});
    INFO(how.reply);
    scripted_replica bad(always(how.reply)), good(echo);
    checked_proxy proxy(what, over_replicas({&bad, &good}));
    for (int i = 0; i < 20; ++i) {
        test_client client(proxy.port(), proxy.terms());
        CHECK(client.ask(post("{}")).whole);
    }
    CHECK(bad.requests() == (how.ejects ? 5 : 10));
    CHECK((proxy.replicas("iris").at(0).standing == routing::standing::ejected) == how.ejects);
}

TEST_CASE("a mirrored request is copied once, however often it is tried") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica full(always(with_status(503))), good(echo), shadow(echo);
    auto settings = over_replicas({&full, &good});
    auto& copies = settings.services[0].deployments.emplace_back(deployment_of("shadow", {&shadow}));
    copies.settings = settings.services[0].deployments[0].settings;
    copies.mirror_traffic = 50;
    checked_proxy proxy(what, settings);
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 20; ++i) CHECK(client.ask(post("body")).body == "body");
    wait_until([&] { return proxy.mirrored("iris", telemetry::mirror_result::answered) == 10; });
    CHECK(shadow.requests() == 10);
}

TEST_CASE("a body is never sent to a replica without the head that it belongs to") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool waits = GENERATE(false, true);
    INFO(waits);
    // What follows the head looks like a request of its own to whoever gets it alone.
    std::string body = "POST /admin HTTP/1.1\r\nHost: replica\r\nContent-Length: 0\r\n\r\n";
    body.resize(100'000, 'x');
    for (int round = 0; round < 10; ++round) { // the reset comes before the first byte is written, or after
        scripted_replica bad(break_off), good(echo);
        checked_proxy proxy(what, over_replicas({&bad, &good}));
        for (int i = 0; i < 4; ++i) {
            test_client client(proxy.port(), proxy.terms());
            client.send(request("POST", score,
                                std::string(waits ? "Expect: 100-continue\r\n" : "") +
                                    "Content-Length: " + std::to_string(body.size()) + "\r\n"));
            try {
                if (!waits || client.read_until("\r\n\r\n").starts_with("HTTP/1.1 100")) client.send(body);
                client.read_reply();
            } catch (const wire_ended&) { // refused before it has sent all of it
            }
            client.close();
        }
        for (std::size_t i = 0; i < good.requests(); ++i) CHECK(good.request(i).first_line == "POST /score HTTP/1.1");
    }
}

TEST_CASE("what one replica has said is not taken for the word of the next") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go;
    scripted_replica full([](conversation& with) {
        with.read_request();
        with.send(with_status(429, "full"));
        with.wait_for_end();
    });
    scripted_replica slow([&](conversation& with) {
        with.read_head();
        go.wait();
    });
    auto settings = over_replicas({&full, &slow});
    settings.limits.request_buffer_bytes = 32 << 20;
    auto& of = settings.services[0].deployments[0].settings;
    of.max_concurrent_requests = 1;
    of.abandon_max = 60s;
    checked_proxy proxy(what, settings);
    {
        test_client client(proxy.port(), proxy.terms());
        client.send(post(pattern(16 << 20))); // more than a socket takes
        slow.request(0);
    }
    check_record(proxy.next_record(), 499, "client_gone", "client");
    CHECK(proxy.replicas("iris").at(1).in_flight == 1); // it is at it, whatever the other one answered
    go.set();
    wait_until([&] { return proxy.replicas("iris").at(1).in_flight == 0; });
}

TEST_CASE("who was told to come later and then reached nobody is told to come later") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool full_first = GENERATE(true, false);
    scripted_replica full(always(with_status(429, "full")));
    const auto down = refusing_port();
    checked_proxy proxy(what, full_first ? over_ports({full.port(), down}) : over_ports({down, full.port()}));
    test_client client(proxy.port(), proxy.terms());
    const auto reply = client.ask(post("{}"));
    if (full_first) {
        check_fault(reply, 503, "queue_full", "proxy");
        CHECK(reply.has("retry-after"));
    } else {
        CHECK(reply.status() == 429);
        CHECK(reply.body == "full");
    }
    CHECK(attempts(proxy.next_record()) == 2);
}
