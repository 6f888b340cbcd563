// Reloads under load, and the drain.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// Clients on threads of their own, each asking again and again, now and then over a new connection. What went wrong is
// collected for the main thread.
class load {
public:
    load(const running_proxy& proxy, unsigned clients, unsigned requests, const std::string& path) {
        for (unsigned i = 0; i < clients; ++i)
            threads_.emplace_back([this, &proxy, i, requests, path] { run(proxy, i, requests, path); });
    }
    ~load() { join(); }
    load(const load&) = delete;
    load& operator=(const load&) = delete;

    void join() {
        for (auto& each : threads_)
            if (each.joinable()) each.join();
    }
    std::size_t done() const { return done_; }
    // After join().
    const std::vector<std::string>& complaints() const { return complaints_; }

private:
    void run(const running_proxy& proxy, unsigned number, unsigned requests, const std::string& path) {
        try {
            std::unique_ptr<test_client> client;
            for (unsigned i = 0; i < requests; ++i) {
                if (i % 50 == 0) client = std::make_unique<test_client>(proxy.port(), proxy.terms());
                const auto body = std::to_string(number) + "/" + std::to_string(i) + pattern(i * 13 % 3000);
                const auto reply = client->ask(request("POST", path, "", body));
                if (reply.status() != 200 || reply.body != body) complain(reply.head + reply.body.substr(0, 300));
                ++done_;
            }
        } catch (const std::exception& error) {
            complain(error.what());
        }
    }
    void complain(const std::string& what) {
        const std::lock_guard lock(mutex_);
        complaints_.push_back(what);
    }

    std::atomic<std::size_t> done_{0};
    std::mutex mutex_;
    std::vector<std::string> complaints_;
    std::vector<std::thread> threads_;
};

} // namespace

TEST_CASE("a request in flight ends by the settings it began with; the next one has the new ones") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go;
    scripted_replica before(answer_after(go)), after(always(ok("after")));
    checked_proxy proxy(what, settings_of({service_of("iris", {&before})}));
    test_client client(proxy.port(), proxy.terms());
    client.send(post("{}"));
    before.request(0);

    auto next = settings_of({service_of("other", {&after})}); // iris is gone
    next.limits.max_request_bytes = 3;
    proxy.reload(next);
    go.set();
    CHECK(client.read_reply().status() == 200);
    check_fault(client.ask(post("{}")), 404, "no_route", "client");
    CHECK(client.ask(request("POST", "/api/v1/service/other/score", "", "{}")).body == "after");
    check_fault(client.ask(request("POST", "/api/v1/service/other/score", "", "{   }")), 413, "body_too_large",
                "client");
}

TEST_CASE("a replica that a reload removes finishes what it has and gets nothing more") {
    event go;
    scripted_replica removed(answer_after(go)), kept(echo);
    auto settings = settings_of({service_of("iris", {&removed})});
    checked_proxy proxy(over::plain, settings);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("{}"));
    removed.request(0);
    proxy.reload(settings_of({service_of("iris", {&kept})}));
    for (int i = 0; i < 5; ++i) CHECK(second.ask(post("x")).body == "x");
    // And back: what it still works on counts.
    proxy.reload(settings_of({service_of("iris", {&kept, &removed})}));
    CHECK(proxy.replicas("iris").at(0).in_flight == 0);
    CHECK(proxy.replicas("iris").at(1).in_flight == 1);
    go.set();
    CHECK(first.read_reply().status() == 200);
    CHECK(removed.requests() == 1);
}

TEST_CASE("services and replicas come and go under load without a lost request") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica a(echo), b(echo), c(echo);
    const auto with = [&](std::initializer_list<const scripted_replica*> iris, bool other) {
        std::vector<config::service> services{service_of("iris", iris)};
        if (other) services.push_back(service_of("other", {&a, &c}));
        return settings_of(services);
    };
    checked_proxy proxy(what, with({&a}, false), 2);
    load clients(proxy, 4, 300, score);
    for (unsigned round = 0; clients.done() < 1200 - 40; ++round) {
        const auto before = clients.done();
        switch (round % 4) {
        case 0: proxy.reload(with({&a, &b}, true)); break;
        case 1: proxy.reload(with({&b}, false)); break;
        case 2: proxy.reload(with({&c, &b, &a}, true)); break;
        default: proxy.reload(with({&a}, false)); break;
        }
        while (clients.done() < before + 20 && clients.done() < 1200 - 40) std::this_thread::yield();
        if (round > 100000) break;
    }
    clients.join();
    CHECK(clients.complaints() == std::vector<std::string>{});
    CHECK(clients.done() == 1200);
    CHECK(a.requests() + b.requests() + c.requests() == 1200);
    CHECK(b.requests() != 0);
    CHECK(c.requests() != 0);
    proxy.record(1199);                                   // written after it has been counted
    CHECK(proxy.count("iris", fault::none, 200) == 1200); // the counters have survived every reload
}

TEST_CASE("a drain lets a slow request and a stream finish, and closes what is idle") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go;
    one_replica world(
        what,
        [&](conversation& with) {
            const auto asked = with.read_request();
            const bool stream = asked.first_line.find("?stream") != std::string::npos;
            if (stream) with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
            go.wait();
            with.send(stream ? "3\r\ntwo\r\n0\r\n\r\n" : ok("{}"));
            with.wait_for_end();
        },
        {}, 2);
    auto& proxy = world.proxy;
    test_client idle(proxy.port(), proxy.terms()), fresh(proxy.port(), proxy.terms());
    CHECK(idle.ask(get("/")).status() == 200);
    test_client slow(proxy.port(), proxy.terms()), stream(proxy.port(), proxy.terms());
    slow.send(post("{}"));
    world.replica.request(0);
    stream.send(get(score + "?stream"));
    stream.read_until("one\r\n");

    proxy.begin_drain();
    CHECK(idle.wait_for_end() == ending::clean);
    CHECK(fresh.ask(get("/")).status() == 503); // it was accepted, so its first request is answered
    CHECK(fresh.wait_for_end() == ending::clean);
    CHECK_THROWS_AS(test_client(proxy.port(), proxy.terms()), wire_error); // nobody is let in
    for (unsigned i = 0; i < 2; ++i) CHECK(proxy.on_core(i, [&proxy, i] { return proxy.core(i).draining(); }));
    go.set();
    const auto reply = slow.read_reply();
    CHECK(reply.status() == 200);
    CHECK(reply.field("connection") == "close");
    CHECK(slow.wait_for_end() == ending::clean);
    CHECK(stream.read_until("0\r\n\r\n") == "3\r\ntwo\r\n0\r\n\r\n");
    CHECK(stream.wait_for_end() == ending::clean);
    proxy.wait_until_drained();
    CHECK(proxy.open_connections() == 0);
}

TEST_CASE("a request that is sent as the drain begins is answered, with Connection: close") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool long_idle = GENERATE(true, false); // one that waits without buffers, and one that was just served
    INFO(to_string(what) << (long_idle ? ", long idle" : ", just served"));
    one_replica world(what, always(ok("{}")));
    auto& proxy = world.proxy;
    test_client client(proxy.port(), proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    if (long_idle) { // by the core's own wheel
        event passed;
        std::optional<base::deadline> later;
        proxy.on_core(0, [&] {
            later.emplace(proxy.core(0).wheel, &passed, [](void* it) { static_cast<event*>(it)->set(); });
            later->arm(250ms);
        });
        passed.wait();
        proxy.on_core(0, [&] { later.reset(); });
    }
    proxy.begin_drain();
    const auto reply = client.ask(post("{}"));
    CHECK(reply.status() == 200);
    CHECK(reply.field("connection") == "close");
    CHECK(client.wait_for_end() == ending::clean);
    proxy.wait_until_drained();
}

TEST_CASE("whoever is queued at the listener when a drain begins is served") {
    one_replica world(over::plain, always(ok("{}")));
    auto& proxy = world.proxy;
    event held, go;
    std::thread holding([&] { // the core accepts nobody meanwhile
        proxy.on_core(0, [&] {
            held.set();
            go.wait();
        });
    });
    held.wait();
    std::vector<std::unique_ptr<test_client>> clients;
    for (int i = 0; i < 200; ++i) {
        clients.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        clients.back()->send(post("{}"));
    }
    event asked;
    std::thread draining([&] {
        asked.set();
        proxy.begin_drain();
    });
    asked.wait();
    go.set();
    holding.join();
    draining.join();
    for (auto& each : clients) CHECK(each->read_reply().status() == 200);
    proxy.wait_until_drained();
}

TEST_CASE("what a drain has not ended is cut: the client notices, the log says draining") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        const auto asked = with.read_request();
        if (asked.first_line.find("?stream") != std::string::npos)
            with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        with.wait_for_end();
    });
    auto& proxy = world.proxy;
    test_client slow(proxy.port(), proxy.terms()), stream(proxy.port(), proxy.terms());
    slow.send(post("{}"));
    world.replica.request(0);
    stream.send(get(score + "?stream"));
    stream.read_until("one\r\n");
    proxy.begin_drain();
    CHECK(proxy.cut() == 2);
    proxy.wait_until_drained();
    CHECK(slow.read_to_end().empty());
    CHECK(slow.ended() != ending::none);
    CHECK(stream.read_to_end().empty());
    if (what == over::tls) CHECK(stream.ended() != ending::clean);
    check_record(proxy.next_record(), 503, "draining", "proxy");
    check_record(proxy.next_record(), 200, "draining", "proxy");
    world.replica.wait_for_endings(2);
}

TEST_CASE("connections are dealt evenly over the cores") {
    one_replica world(over::plain, always(ok("{}")), {}, 2);
    std::vector<std::unique_ptr<test_client>> clients;
    for (int i = 0; i < 20; ++i) {
        clients.push_back(std::make_unique<test_client>(world.proxy.port(), world.proxy.terms()));
        CHECK(clients.back()->ask(post("{}")).status() == 200);
    }
    CHECK(world.proxy.core(0).open_connections() == 10);
    CHECK(world.proxy.core(1).open_connections() == 10);
    CHECK(world.proxy.core(0).metrics.connections.value() == 10);
    CHECK(world.proxy.core(1).metrics.connections.value() == 10);
    CHECK(world.replica.connections() == 2); // each core has a pool of its own
}

TEST_CASE("an idle connection keeps no configuration that has been replaced") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    auto& core = world.proxy.core(0);
    const auto first = world.proxy.on_core(0, [&] { return std::weak_ptr(core.snapshot()); });
    world.proxy.reload(settings_of({service_of("iris", {&world.replica})}));
    wait_until([&] { return first.expired(); }); // once it has been idle for a moment
    CHECK(client.ask(post("{}")).status() == 200);
}
