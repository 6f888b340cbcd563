// Which replica gets a request, and which of its connections.
#include "component/fixture.hpp"

#include <algorithm>

using namespace scoregate;
using namespace scoregate::tests;

namespace {} // namespace

TEST_CASE("the replica with the fewest requests in flight gets the next; ties take turns") {
    event go;
    scripted_replica a(answer_after(go, "a")), b(answer_after(go, "b")), c(answer_after(go, "c"));
    checked_proxy proxy(over::plain, settings_of({service_of("iris", {&a, &b, &c})}), 2);
    std::vector<std::unique_ptr<test_client>> clients;
    const auto requests = [&] { return std::vector<std::size_t>{a.requests(), b.requests(), c.requests()}; };
    for (std::size_t i = 0; i < 9; ++i) {
        clients.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        clients.back()->send(post("{}"));
        // One after the other, so that the order of arrival is known.
        while (a.requests() + b.requests() + c.requests() <= i) std::this_thread::yield();
        const auto all = requests();
        INFO(i);
        CHECK(*std::max_element(all.begin(), all.end()) - *std::min_element(all.begin(), all.end()) <= 1);
    }
    CHECK(requests() == std::vector<std::size_t>{3, 3, 3});
    for (const auto& each : proxy.replicas("iris")) CHECK(each.in_flight == 3);
    go.set();
    for (auto& each : clients) CHECK(each->read_reply().status() == 200);
    for (std::size_t i = 0; i < 9; ++i) proxy.next_record();
    for (const auto& each : proxy.replicas("iris")) CHECK(each.in_flight == 0);

    // All idle: one after the other.
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 9; ++i) CHECK(client.ask(get(score)).status() == 200);
    CHECK(requests() == std::vector<std::size_t>{6, 6, 6});
}

TEST_CASE("a busy replica is passed over") {
    event go, at_once;
    at_once.set();
    scripted_replica slow(answer_after(go, "slow")), fast(answer_after(at_once, "fast"));
    checked_proxy proxy(over::plain, settings_of({service_of("iris", {&slow, &fast})}));
    test_client stuck(proxy.port(), proxy.terms()), client(proxy.port(), proxy.terms());
    // Whichever comes first, one request ends up with the slow one.
    std::string first_reply;
    stuck.send(post("{}"));
    while (slow.requests() + fast.requests() == 0) std::this_thread::yield();
    if (fast.requests() != 0) {
        CHECK(stuck.read_reply().body == "fast");
        proxy.next_record();
        stuck.send(post("{}"));
        slow.request(0);
    }
    for (int i = 0; i < 10; ++i) CHECK(client.ask(post("{}")).body == "fast");
    CHECK(slow.requests() == 1);
    go.set();
    CHECK(stuck.read_reply().body == "slow");
}

TEST_CASE("a connection to a replica is kept and used again") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    for (int i = 0; i < 5; ++i) {
        test_client client(world.proxy.port(), world.proxy.terms());
        for (int j = 0; j < 5; ++j) CHECK(client.ask(post("{}")).status() == 200);
    }
    CHECK(world.replica.connections() == 1);
    CHECK(world.proxy.replica_connects("iris") == 1);
}

TEST_CASE("idle connections to a replica that a reload removes close with it") {
    scripted_replica gone(always(ok("{}"))), kept(always(ok("{}")));
    checked_proxy proxy(over::plain, settings_of({service_of("iris", {&gone, &kept})}));
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 2; ++i) CHECK(client.ask(post("{}")).status() == 200);
    REQUIRE(gone.connections() == 1);
    auto& core = proxy.core(0);
    const auto id_of_gone = proxy.on_core(0, [&] {
        auto& replicas = *core.snapshot()->services().front().targets.front().replicas;
        const auto one = replicas.reserve_now({}), other = replicas.reserve_now({});
        return one->where().addresses.front().port() == gone.port() ? one->where().id : other->where().id;
    });
    proxy.reload(settings_of({service_of("iris", {&kept})}));
    CHECK(proxy.on_core(0, [&] { return core.pool.take(id_of_gone, std::chrono::steady_clock::now()) == nullptr; }));
    gone.wait_for_endings(1);
    CHECK(client.ask(post("{}")).status() == 200);
    CHECK(kept.connections() == 1);
}

TEST_CASE("a connection is not used again when the replica said so, or when its end cannot be known") {
    const std::vector<std::pair<std::string, bool>> replies{
        {ok("{}", "Connection: close\r\n"), false},
        {ok("{}", "Connection: Foo, CLOSE\r\n"), false},
        {"HTTP/1.1 200 OK\r\n\r\n{}", false}, // close-delimited
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false},
        {ok("{}") + "extra", false},
        {ok("{}") + ok("{}"), false}, // a second reply that nobody asked for
        {"HTTP/1.1 204 No Content\r\n\r\nextra", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nextra", false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", true},
        {ok("{}"), true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true},
    };
    for (const auto& [bytes, reused] : replies) {
        INFO(bytes);
        const bool ends = bytes.starts_with("HTTP/1.1 200 OK\r\n\r\n");
        one_replica world(over::plain, [&, &all = bytes](conversation& with) {
            for (;;) {
                with.read_request();
                with.send(all);
                if (ends) return;
            }
        });
        test_client client(world.proxy.port(), world.proxy.terms());
        for (int i = 0; i < 3; ++i) {
            const auto reply = client.ask(post("{}"));
            CHECK(reply.status() / 100 == 2);
            CHECK(reply.whole);
            if (reply.status() == 200) CHECK(reply.body == "{}");
            world.proxy.next_record();
        }
        CHECK(world.replica.connections() == (reused ? 1 : 3));
    }
}

TEST_CASE("a pooled connection that the replica has closed meanwhile, or spoken on, is not used") {
    const bool speaks = GENERATE(false, true);
    event answered, ended;
    one_replica world(over::plain, [&](conversation& with) {
        with.read_request();
        with.send(ok("{}"));
        if (with.number() != 0) return with.wait_for_end();
        answered.wait();
        if (speaks)
            with.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
        else
            with.shut();
        ended.set();
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    world.proxy.next_record();
    answered.set();
    ended.wait();
    CHECK(client.ask(post("{}")).status() == 200);
    CHECK(world.replica.connections() == 2);
}

TEST_CASE("what is in flight is counted, for the replica and in the metric") {
    event go;
    scripted_replica replica(answer_after(go, "a"));
    checked_proxy proxy(over::plain, settings_of({service_of("iris", {&replica})}), 2);
    std::vector<std::unique_ptr<test_client>> clients;
    for (std::size_t i = 0; i < 4; ++i) {
        clients.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        clients.back()->send(post("{}"));
    }
    replica.request(3);
    CHECK(proxy.replicas("iris").front().in_flight == 4);
    CHECK(proxy.in_flight("iris") == 4);
    go.set();
    for (auto& each : clients) CHECK(each->read_reply().status() == 200);
    proxy.record(3);
    CHECK(proxy.replicas("iris").front().in_flight == 0);
    CHECK(proxy.in_flight("iris") == 0);
}
