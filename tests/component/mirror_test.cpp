// Mirrored traffic: copies go to a deployment without live traffic, and whatever becomes of them, the original request
// knows nothing of it.
#include "component/fixture.hpp"
#include "proxy/unattended.hpp"

#include <map>
#include <set>

using namespace scoregate;
using namespace scoregate::tests;
using telemetry::mirror_result;

namespace {

config::settings mirroring(const scripted_replica& blue, const scripted_replica& shadow, unsigned percent = 50) {
    auto made = settings_of({service_of("iris", {&blue})});
    auto& copied = made.services[0].deployments.emplace_back(deployment_of("shadow", {&shadow}));
    copied.mirror_traffic = percent;
    copied.settings.request_timeout = 60s;
    copied.settings.max_queue_wait = 60s;
    copied.settings.max_queue_length = 1000;
    copied.host_header = "shadow.internal";
    return made;
}

config::request_settings& of_shadow(config::settings& in) { return in.services[0].deployments[1].settings; }

void wait_for(const running_proxy& proxy, mirror_result what, std::uint64_t count) {
    wait_until([&] { return proxy.mirrored("iris", what) == count; });
}

const std::string forced = "azureml-model-deployment: blue\r\n";

} // namespace

TEST_CASE("half of the requests are copied whole; those that force a deployment are not") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica blue(echo), shadow(always(ok("other", "x-who: shadow\r\n")));
    checked_proxy proxy(what, mirroring(blue, shadow));
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 20; ++i) {
        const auto body = std::to_string(i);
        const auto reply = client.ask(
            i % 2 == 0 ? post(body) : request("POST", score, "Transfer-Encoding: chunked\r\n") + in_chunks(body, 1));
        CHECK(reply.status() == 200);
        CHECK(reply.body == body);
        CHECK(reply.field("azureml-model-deployment") == "blue");
        CHECK(reply.field("x-who").empty());
    }
    for (int i = 0; i < 10; ++i) CHECK(client.ask(post("forced", forced)).body == "forced");
    wait_for(proxy, mirror_result::answered, 10);
    REQUIRE(shadow.requests() == 10);
    std::map<std::string, std::string> originals; // body by id
    for (std::size_t i = 0; i < 30; ++i) originals[blue.request(i).field("x-request-id")] = blue.request(i).body;
    for (std::size_t i = 0; i < 10; ++i) {
        const auto copy = shadow.request(i);
        CHECK(copy.body == originals.at(copy.field("x-request-id")));
        CHECK(copy.body != "forced");
        CHECK(copy.field("host") == "shadow.internal");
        CHECK(copy.field("x-forwarded-host") == "www.contoso.com");
    }
    static_cast<void>(proxy.record(29));                // the last one is counted by then
    CHECK(proxy.count("iris", fault::none, 200) == 30); // copies are no requests of clients
}

TEST_CASE("a deployment that fails, hangs or is not there changes nothing for the original") {
    const auto how = GENERATE(0, 1, 2);
    INFO(how);
    scripted_replica blue(echo), shadow([how](conversation&with) {
        with.read_request();
        if (how == 0) return with.reset();
        if (how == 1) return with.send("SSH-2.0-server\r\n\r\n");
        with.wait_for_end();
    });
    auto settings = mirroring(blue, shadow);
    of_shadow(settings).request_timeout = of_shadow(settings).abandon_max = 50ms;
    of_shadow(settings).on_abandon = config::on_abandon::cancel;
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 10; ++i) CHECK(client.ask(post("x")).body == "x");
    wait_for(proxy, mirror_result::failed, 5);
    CHECK(proxy.mirrored("iris", mirror_result::answered) == 0);
}

TEST_CASE("copies keep the cap of their deployment and its queue, and leave the rest out") {
    event go;
    std::atomic<int> busy{0}, most{0};
    scripted_replica blue(echo), shadow([&](conversation&with) {
        for (;;) {
            with.read_request();
            most = std::max(most.load(), ++busy);
            go.wait();
            --busy;
            with.send(ok("{}"));
        }
    });
    auto settings = mirroring(blue, shadow);
    of_shadow(settings).max_queue_length = 2;
    checked_proxy proxy(over::plain, settings, 2);
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 20; ++i) CHECK(client.ask(post("x")).body == "x"); // while the first copy is still at work
    wait_for(proxy, mirror_result::busy, 7);
    CHECK(proxy.state_of("iris", "shadow").queued == 2);
    go.set();
    wait_for(proxy, mirror_result::answered, 3);
    CHECK(most == 1);
    CHECK(proxy.collected_bytes() == 0);
}

TEST_CASE("copies that wait end with a drain") {
    event go;
    scripted_replica blue(echo), shadow(answer_after(go));
    checked_proxy proxy(over::plain, mirroring(blue, shadow));
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 4; ++i) CHECK(client.ask(post("x")).body == "x");
    shadow.request(0);
    wait_until([&] { return proxy.state_of("iris", "shadow").queued == 1; });
    client.close();
    proxy.begin_drain();
    proxy.wait_until_drained(); // the copy that is at work is not waited for
    wait_for(proxy, mirror_result::busy, 1);
    CHECK(shadow.requests() == 1);
    go.set();
}

TEST_CASE("bodies that are not collected whole, and those beyond the memory, are not copied but counted") {
    scripted_replica blue(echo), shadow(echo);
    auto settings = mirroring(blue, shadow);
    settings.limits.request_buffer_bytes = 65536;
    settings.limits.buffer_memory_bytes = 262144;
    checked_proxy proxy(over::tls, settings);
    test_client client(proxy.port(), proxy.terms());
    const std::string large(300'000, 'x'), small(60'000, 'y');
    for (int i = 0; i < 4; ++i) CHECK(client.ask(post(large)).body.size() == large.size());
    CHECK(proxy.mirrored("iris", mirror_result::too_large) == 2);
    for (int i = 0; i < 2; ++i) CHECK(client.ask(post(small)).body == small);
    wait_for(proxy, mirror_result::answered, 1);
    CHECK(shadow.request(0).body == small);
    wait_until([&] { return proxy.collected_bytes() == 0; });

    settings.limits.buffer_memory_bytes = 200'000; // a quarter of it is for copies: less than one of them
    proxy.reload(settings);
    for (int i = 0; i < 2; ++i) CHECK(client.ask(post(small)).body == small);
    CHECK(proxy.mirrored("iris", mirror_result::no_memory) == 1);
    CHECK(shadow.requests() == 1);
}

TEST_CASE("a copy that the replica stops reading keeps its slot until the replica has closed") {
    event finished;
    scripted_replica blue(echo), shadow([&finished](conversation&with) {
        with.read_head();
        finished.wait(); // a model that has begun with what it got
    });
    auto settings = mirroring(blue, shadow);
    settings.limits.request_buffer_bytes = 16 << 20;
    of_shadow(settings).request_timeout = 100ms;
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    const std::string body(12'000'000, 'x'); // more than the sockets between them hold
    for (int i = 0; i < 2; ++i) CHECK(client.ask(post(body)).body.size() == body.size());
    shadow.request(0);
    for (int i = 0; i < 2; ++i) CHECK(client.ask(post("small")).body == "small");
    wait_until([&] { return proxy.state_of("iris", "shadow").queued == 1; }); // behind the one that has not ended
    CHECK(proxy.state_of("iris", "shadow").replicas.at(0).in_flight == 1);
    finished.set();
    wait_for(proxy, mirror_result::failed, 2);
}

TEST_CASE("copies to a deployment that hangs without a cap come to an end") {
    event go;
    scripted_replica blue(echo), shadow(answer_after(go));
    auto settings = mirroring(blue, shadow);
    of_shadow(settings).max_concurrent_requests.reset();
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    for (unsigned i = 0; i < 2 * proxy::most_copies + 20; ++i) CHECK(client.ask(post("x")).status() == 200);
    CHECK(proxy.mirrored("iris", mirror_result::busy) == 10);
    go.set();
    wait_for(proxy, mirror_result::answered, proxy::most_copies);
}

TEST_CASE("copies that are held take nothing from the memory of originals") {
    event go;
    scripted_replica blue(echo), shadow(answer_after(go));
    auto settings = mirroring(blue, shadow);
    settings.limits.request_buffer_bytes = 65536;
    settings.limits.buffer_memory_bytes = 262144; // one body of an original, one copy
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    const std::string body(60'000, 'x');
    for (int i = 0; i < 10; ++i) CHECK(client.ask(post(body)).status() == 200);
    CHECK(proxy.mirrored("iris", mirror_result::no_memory) > 0);
    go.set();
}

TEST_CASE("a copy that is given up is counted then, though its slot stays taken") {
    event free;
    scripted_replica blue(echo), shadow([&free](conversation&with) {
        with.read_request();
        if (with.number() == 0) return with.wait_for_end();
        free.wait(); // the GET that asks whether it is done
        with.send(ok("{}"));
    });
    auto settings = mirroring(blue, shadow);
    of_shadow(settings).abandon_max = 50ms;
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    for (int i = 0; i < 2; ++i) CHECK(client.ask(post("x")).body == "x");
    wait_for(proxy, mirror_result::failed, 1);
    CHECK(proxy.state_of("iris", "shadow").replicas.at(0).in_flight == 1);
    free.set();
}
