// Exactly so many requests at a replica, the rest in one queue; what becomes of a slot whose client has gone; bodies
// that are collected first.
#include "component/fixture.hpp"

#include <algorithm>
#include <atomic>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// One slot per replica.
config::settings one_at_a_time(std::initializer_list<const scripted_replica*> replicas) {
    auto made = settings_of({service_of("iris", replicas)});
    auto& settings = made.services[0].deployments[0].settings;
    settings.max_concurrent_requests = 1;
    settings.max_queue_wait = 60s;
    return made;
}

config::request_settings& of_blue(config::settings& in) { return in.services[0].deployments[0].settings; }

// Answers with the request's body, each time after `go` has happened once more.
scripted_replica::script answer_each_after(std::vector<std::unique_ptr<event>>& go) {
    return [&go, served = std::make_shared<std::atomic<std::size_t>>(0)](conversation& with) {
        for (;;) {
            const auto asked = with.read_request();
            go.at((*served)++)->wait();
            with.send(ok(asked.body));
        }
    };
}

std::vector<std::unique_ptr<event>> events(std::size_t count) {
    std::vector<std::unique_ptr<event>> made;
    for (std::size_t i = 0; i < count; ++i) made.push_back(std::make_unique<event>());
    return made;
}

void wait_for_queue(const running_proxy& proxy, std::size_t queued) {
    wait_until([&] { return proxy.state_of("iris").queued == queued; });
}

} // namespace

TEST_CASE("who waits is served in the order of arrival, over all cores, and who finds the queue full is refused") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    auto go = events(4);
    scripted_replica replica(answer_each_after(go));
    auto settings = one_at_a_time({&replica});
    of_blue(settings).max_queue_length = 3;
    checked_proxy proxy(what, settings, 2);
    std::vector<std::unique_ptr<test_client>> clients;
    for (std::size_t i = 0; i < 4; ++i) {
        clients.push_back(std::make_unique<test_client>(proxy.port(), proxy.terms()));
        clients.back()->send(post(std::to_string(i)));
        if (i == 0) replica.request(0);
        wait_for_queue(proxy, i);
    }
    test_client late(proxy.port(), proxy.terms());
    const auto refused = late.ask(post("late"));
    check_fault(refused, 503, "queue_full", "proxy");
    CHECK(std::stoi(refused.field("retry-after")) >= 1);
    CHECK(std::stoi(refused.field("retry-after")) <= 60);
    CHECK_THAT(refused.body, Catch::Contains("Too many requests for service iris (overloaded)"));
    CHECK(replica.requests() == 1); // and never two at once
    for (std::size_t i = 0; i < 4; ++i) {
        go[i]->set();
        const auto reply = clients[i]->read_reply();
        CHECK(reply.status() == 200);
        CHECK(reply.body == std::to_string(i));
        CHECK((reply.field("server-timing").find("queue;dur=0.000") == std::string::npos) == (i != 0));
    }
    check_fault(late.ask(request("POST", "/api/v1/service/rose/score", "", "{}")), 404, "no_route", "client");
}

TEST_CASE("queue_timeout: no slot within max_queue_wait_ms, and queue_full without a queue") {
    event go;
    scripted_replica replica(answer_after(go));
    auto settings = one_at_a_time({&replica});
    of_blue(settings).max_queue_wait = 100ms;
    checked_proxy proxy(over::plain, settings);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("{}"));
    replica.request(0);
    const auto reply = second.ask(post("{}"));
    check_fault(reply, 503, "queue_timeout", "proxy");
    CHECK_FALSE(reply.field("retry-after").empty());
    const auto record = proxy.next_record();
    check_record(record, 503, "queue_timeout", "proxy");
    CHECK(record.at("queue_ms").get<double>() >= 100);
    CHECK(record.value("attempts", 7) == 0);

    of_blue(settings).max_queue_wait = 0ms;
    proxy.reload(settings);
    check_fault(second.ask(post("{}")), 503, "queue_full", "proxy");
    of_blue(settings).max_queue_wait = 60s;
    of_blue(settings).max_queue_length = 0;
    settings.services[0].error_mapping = base::error_mapping::managed;
    proxy.reload(settings);
    check_fault(second.ask(post("{}")), 429, "queue_full", "proxy");
    go.set();
    CHECK(first.read_reply().status() == 200);
    CHECK(replica.requests() == 1);
}

TEST_CASE("a client that goes away while it waits leaves the queue soon, half of it too") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool half = GENERATE(false, true);
    INFO(to_string(what) << " " << half);
    event go;
    scripted_replica replica(answer_after(go));
    checked_proxy proxy(what, one_at_a_time({&replica}));
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("{}"));
    replica.request(0);
    second.send(post("{}"));
    wait_for_queue(proxy, 1);
    if (half)
        second.shut();
    else
        second.close();
    wait_for_queue(proxy, 0);
    const auto record = proxy.next_record();
    check_record(record, 499, "client_gone", "client");
    CHECK(record.contains("queue_ms"));
    go.set();
    CHECK(first.read_reply().status() == 200);
    CHECK(replica.requests() == 1);
    CHECK(first.ask(post("{}")).status() == 200);
}

TEST_CASE("a client that leaves behind early bytes is noticed as far as one buffer of them goes") {
    const bool within = GENERATE(true, false);
    INFO(within);
    auto go = events(3);
    scripted_replica replica(answer_each_after(go));
    checked_proxy proxy(over::plain, one_at_a_time({&replica}));
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("0"));
    replica.request(0);
    second.send(post("1"));
    wait_for_queue(proxy, 1);
    second.send_without_reading(post(std::string(within ? 8'000 : 200'000, 'x')), 100ms);
    second.close();
    if (within) wait_for_queue(proxy, 0);
    for (auto& each : go) each->set();
    CHECK(first.read_reply().body == "0");
    if (within)
        CHECK(replica.requests() == 1);
    else
        CHECK(replica.request(1).body == "1"); // it could not be known that nobody waits
}

TEST_CASE("what a waiting client sends early is kept") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    auto go = events(3);
    scripted_replica replica(answer_each_after(go));
    checked_proxy proxy(what, one_at_a_time({&replica}));
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("0"));
    replica.request(0);
    second.send(post("1"));
    wait_for_queue(proxy, 1);
    second.send(post("2"));
    for (auto& each : go) each->set();
    CHECK(first.read_reply().body == "0");
    CHECK(second.read_reply().body == "1");
    CHECK(second.read_reply().body == "2");
}

TEST_CASE("on_abandon finish: the slot stays taken until the model has replied") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool gone = GENERATE(true, false);
    INFO(to_string(what) << (gone ? " client gone" : " time is up"));
    auto go = events(2);
    scripted_replica replica(answer_each_after(go));
    auto settings = one_at_a_time({&replica});
    if (!gone) of_blue(settings).request_timeout = 100ms;
    checked_proxy proxy(what, settings);
    test_client first(proxy.port(), proxy.terms());
    first.send(post("0"));
    replica.request(0);
    if (gone)
        first.close();
    else
        check_fault(first.read_reply(), 504, "request_timeout", "replica");
    check_record(proxy.next_record(), gone ? 499 : 504, gone ? "client_gone" : "request_timeout",
                 gone ? "client" : "replica");
    CHECK(proxy.replicas("iris").at(0).in_flight == 1);
    if (!gone) of_blue(settings).request_timeout = 60s;
    proxy.reload(settings);
    test_client second(proxy.port(), proxy.terms());
    second.send(post("1"));
    wait_for_queue(proxy, 1);
    CHECK(replica.requests() == 1); // it is still at the first
    go[0]->set();
    go[1]->set();
    CHECK(second.read_reply().body == "1");
    CHECK(replica.connections() == 1); // whose reply was whole
}

TEST_CASE("on_abandon cancel: the connection is closed and the slot is free") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica([](conversation& with) {
        const auto asked = with.read_request();
        if (with.number() == 0) return with.wait_for_end();
        with.send(ok(asked.body));
        with.wait_for_end();
    });
    auto settings = one_at_a_time({&replica});
    of_blue(settings).on_abandon = config::on_abandon::cancel;
    checked_proxy proxy(what, settings);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("0"));
    replica.request(0);
    first.close();
    replica.wait_for_endings(1);
    check_record(proxy.next_record(), 499, "client_gone", "client");
    CHECK(second.ask(post("1")).body == "1");
}

TEST_CASE("after abandon_max_ms a replica gets nothing new until it answers") {
    event free;
    scripted_replica replica([&free](conversation& with) {
        const auto asked = with.read_request();
        if (with.number() == 0) return with.wait_for_end(); // works on, whoever hangs up
        free.wait();
        with.send(ok(asked.body));
        with.wait_for_end();
    });
    auto settings = one_at_a_time({&replica});
    of_blue(settings).request_timeout = 50ms;
    of_blue(settings).abandon_max = 50ms;
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("0")), 504, "request_timeout", "replica");
    replica.wait_for_endings(1); // ours: abandon_max is over
    const auto probe = replica.request(1);
    CHECK_THAT(probe.head, Catch::StartsWith("GET / HTTP/1.1\r\n"));
    CHECK(proxy.replicas("iris").at(0).in_flight == 1);
    of_blue(settings).request_timeout = 60s;
    proxy.reload(settings);
    client.send(post("1"));
    wait_for_queue(proxy, 1);
    free.set();
    CHECK(client.read_reply().body == "1");
}

TEST_CASE("a slow upload keeps no replica from others, and arrives whole") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool chunked = GENERATE(false, true);
    INFO(to_string(what) << " " << chunked);
    scripted_replica replica(echo);
    auto settings = one_at_a_time({&replica});
    settings.limits.request_buffer_bytes = 65536;
    checked_proxy proxy(what, settings);
    const std::string body(60000, 'x');
    const auto whole =
        chunked ? request("POST", score, "Transfer-Encoding: chunked\r\n") + in_chunks(body, 7000) : post(body);
    test_client slow(proxy.port(), proxy.terms()), other(proxy.port(), proxy.terms());
    slow.send(whole.substr(0, 30000));
    for (int i = 0; i < 3; ++i) CHECK(other.ask(post("quick")).body == "quick");
    CHECK(replica.requests() == 3);
    slow.send(whole.substr(30000));
    CHECK(slow.read_reply().body == body);
    CHECK(slow.ask(post("again")).body == "again");
}

TEST_CASE("overloaded: collected bodies share limits.buffer_memory_bytes") {
    scripted_replica replica(echo);
    auto settings = one_at_a_time({&replica});
    settings.limits.request_buffer_bytes = 65536;
    settings.limits.buffer_memory_bytes = 200000; // one larger body at a time
    checked_proxy proxy(over::plain, settings, 2);
    const auto large = post(std::string(60000, 'x'));
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms()),
        third(proxy.port(), proxy.terms());
    first.send(large.substr(0, 40000));
    wait_until([&] { return proxy.collected_bytes() > 60000; }); // not only what came along with the head
    const auto refused = second.ask(large);
    check_fault(refused, 503, "overloaded", "proxy");
    CHECK(refused.field("retry-after") == "1");
    CHECK(third.ask(post("small")).body == "small"); // stands in the block that every request has
    first.send(large.substr(40000));
    CHECK(first.read_reply().body.size() == 60000);
    wait_until([&] { return proxy.collected_bytes() == 0; });
    test_client again(proxy.port(), proxy.terms());
    CHECK(again.ask(large).body.size() == 60000);
}

TEST_CASE("a refused request gives back what was collected of it, though its connection stays") {
    event go;
    scripted_replica replica(answer_after(go));
    auto settings = one_at_a_time({&replica});
    settings.limits.request_buffer_bytes = 65536;
    of_blue(settings).max_queue_wait = 50ms;
    checked_proxy proxy(over::plain, settings);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("{}"));
    replica.request(0);
    check_fault(second.ask(post(std::string(60000, 'x'))), 503, "queue_timeout", "proxy");
    wait_until([&] { return proxy.collected_bytes() == 0; });
    go.set();
    CHECK(first.read_reply().status() == 200);
    CHECK(second.ask(post(std::string(60000, 'x'))).status() == 200);
}

TEST_CASE("a deployment that is removed while it is busy and comes back is still busy") {
    auto go = events(2);
    scripted_replica replica(answer_each_after(go)), other(echo);
    const auto with_blue = one_at_a_time({&replica});
    auto without = with_blue;
    without.services[0].deployments = {deployment_of("green", {&other})};
    without.services[0].deployments[0].traffic = 100;
    checked_proxy proxy(over::plain, with_blue);
    test_client first(proxy.port(), proxy.terms()), second(proxy.port(), proxy.terms());
    first.send(post("0"));
    replica.request(0);
    proxy.reload(without);
    CHECK(second.ask(post("elsewhere")).body == "elsewhere");
    proxy.reload(with_blue);
    CHECK(proxy.replicas("iris").at(0).in_flight == 1);
    second.send(post("1"));
    wait_for_queue(proxy, 1);
    CHECK(replica.requests() == 1);
    for (auto& each : go) each->set();
    CHECK(first.read_reply().body == "0"); // it finished where it began
    CHECK(second.read_reply().body == "1");
}

TEST_CASE("a drain does not give the slot of a replica that is still at work to who waits") {
    event go;
    scripted_replica replica(answer_after(go));
    auto settings = one_at_a_time({&replica});
    checked_proxy proxy(over::plain, settings);
    test_client gone(proxy.port(), proxy.terms()), waiting(proxy.port(), proxy.terms());
    gone.send(post("0"));
    replica.request(0);
    gone.close();
    check_record(proxy.next_record(), 499, "client_gone", "client");
    waiting.send(post("1"));
    wait_for_queue(proxy, 1);
    proxy.begin_drain();
    CHECK(proxy.replicas("iris").at(0).in_flight == 1);
    CHECK(replica.requests() == 1);
    go.set();
    CHECK(waiting.read_reply().status() == 200); // once the replica was free
}

TEST_CASE("a client that leaves during a drain, and one that is cut, leave the slot taken") {
    const bool cut = GENERATE(false, true);
    INFO(cut);
    event go;
    scripted_replica replica(answer_after(go));
    checked_proxy proxy(over::plain, one_at_a_time({&replica}));
    test_client client(proxy.port(), proxy.terms());
    client.send(post("{}"));
    replica.request(0);
    proxy.begin_drain();
    if (cut)
        proxy.cut();
    else
        client.close();
    proxy.wait_until_drained();
    check_record(proxy.next_record(), cut ? 503 : 499, cut ? "draining" : "client_gone", cut ? "proxy" : "client");
    CHECK(proxy.replicas("iris").at(0).in_flight == 1);
    go.set();
}

TEST_CASE("a reply that is no HTTP leaves the slot taken until the replica has closed") {
    event finished;
    scripted_replica replica([&finished](conversation& with) {
        const auto asked = with.read_request();
        if (with.number() != 0) return with.send(ok(asked.body));
        with.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
        finished.wait(); // a thread of the model that is still at it
    });
    checked_proxy proxy(over::plain, one_at_a_time({&replica}));
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("0")), 502, "replica_bad_response", "replica");
    CHECK(proxy.replicas("iris").at(0).in_flight == 1);
    client.send(post("1"));
    wait_for_queue(proxy, 1);
    finished.set();
    CHECK(client.read_reply().body == "1");
}

TEST_CASE("a replica that never ends what is no HTTP is hung up on") {
    const std::string junk =
        GENERATE(std::string("HTTP/1.1 102 Processing\r\n\r\n"), std::string("no HTTP at all\r\n"));
    INFO(junk);
    scripted_replica replica([&junk](conversation& with) {
        const auto asked = with.read_request();
        if (with.number() != 0) return with.send(ok(asked.body));
        std::string much;
        while (much.size() < 65536) much += junk;
        for (;;) with.send(much); // until it is hung up on
    });
    checked_proxy proxy(over::plain, one_at_a_time({&replica}));
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("0")), 502, "replica_bad_response", "replica");
    replica.wait_for_endings(1);
    CHECK(client.ask(post("1")).body == "1");
}

TEST_CASE("without a cap a request that its client has left is not waited for") {
    scripted_replica replica([](conversation& with) {
        with.read_request();
        with.wait_for_end();
    });
    auto settings = one_at_a_time({&replica});
    of_blue(settings).max_concurrent_requests.reset();
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    client.send(post("0"));
    replica.request(0);
    client.close();
    replica.wait_for_endings(1); // there is no slot to keep
}

TEST_CASE("never more than the cap at a replica, whatever clients do") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    constexpr unsigned replicas = 2, cap = 2;
    struct watched {
        std::atomic<unsigned> busy{0}, most{0};
    };
    std::array<watched, replicas> seen;
    const auto counting = [&seen](std::size_t which) {
        return [&one = seen[which]](conversation& with) {
            for (;;) {
                const auto asked = with.read_request();
                const auto busy = ++one.busy;
                for (auto most = one.most.load(); busy > most && !one.most.compare_exchange_weak(most, busy);) {
                }
                std::this_thread::sleep_for(2ms); // the model, which no hang-up stops
                --one.busy;
                with.send(ok(asked.body));
            }
        };
    };
    scripted_replica a(counting(0)), b(counting(1));
    auto settings = one_at_a_time({&a, &b});
    of_blue(settings).max_concurrent_requests = cap;
    of_blue(settings).max_queue_length = 1000;
    checked_proxy proxy(what, settings, 2);
    std::atomic<unsigned> served{0}, wrong{0};
    std::vector<std::thread> clients;
    for (unsigned t = 0; t < 8; ++t)
        clients.emplace_back([&, t] {
            for (unsigned round = 0; round < 20; ++round) {
                test_client client(proxy.port(), proxy.terms());
                for (unsigned i = 0; i < 10; ++i) {
                    const auto body = std::to_string(t * 1000 + i);
                    if (client.ask(post(body)).body != body) ++wrong;
                    ++served;
                }
                client.send(post("gone"));
                if (round % 2 == 0)
                    client.reset();
                else
                    client.close();
            }
        });
    for (auto& each : clients) each.join();
    CHECK(served == 8 * 20 * 10);
    CHECK(wrong == 0);
    for (const auto& each : seen) {
        CHECK(each.most >= 1);
        CHECK(each.most <= cap);
    }
}
