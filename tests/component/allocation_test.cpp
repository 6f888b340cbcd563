// In steady state a request takes nothing from the heap: not in our code, and at most two blocks in libssl.
#include "component/fixture.hpp"
#include "support/allocations.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#if !SCOREGATE_ADDRESS_SANITIZER && !SCOREGATE_THREAD_SANITIZER

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// What the core takes from the heap for `serve()`: the least of some runs. What a request takes, it takes in each of
// them; a run into which a tick falls takes anew what the tick has given back, and on a busy machine that is no rare
// one.
template <typename Serve>
allocations taken_by(one_replica& world, const Serve& serve) {
    const auto once = [&] {
        const auto before = world.proxy.on_core(0, allocations_here);
        serve();
        const auto after = world.proxy.on_core(0, allocations_here);
        return allocations{after.ours - before.ours, after.openssl - before.openssl};
    };
    auto least = once();
    for (unsigned run = 1; run < 5; ++run) {
        const auto again = once();
        least = {std::min(least.ours, again.ours), std::min(least.openssl, again.openssl)};
    }
    return least;
}

// The same for `count` requests of this kind over one warm connection.
allocations cost_of(one_replica& world, const std::string& asked, unsigned count) {
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto serve = [&](unsigned times) {
        for (unsigned i = 0; i < times; ++i)
            if (client.ask(asked).status() != 200) throw wire_error("not served");
    };
    serve(200);
    return taken_by(world, [&] { serve(count); });
}

} // namespace

TEST_CASE("the count counts") {
    const auto before = allocations_here();
    const auto made = std::make_unique<std::array<char, 100>>();
    const tls::bignum_ptr number{BN_new()};
    const auto after = allocations_here();
    CHECK(made != nullptr);
    CHECK(after.ours == before.ours + 1);
    CHECK(after.openssl > before.openssl);
}

TEST_CASE("a request over a kept-alive connection allocates nothing") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const std::string reply =
        GENERATE(ok("{\"result\": [0, 1, 2]}"), std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                                            "5\r\nhello\r\n0\r\n\r\n"));
    const std::string asked = GENERATE(post("{\"data\": [[5.1, 3.5, 1.4, 0.2]]}", "Authorization: Bearer x\r\n"),
                                       request("POST", score, "Transfer-Encoding: chunked\r\n") + in_chunks("[1]", 3));
    one_replica world(what, always(reply));
    constexpr unsigned count = 500;
    const auto taken = cost_of(world, asked, count);
    INFO(asked << reply);
    INFO("ours " << taken.ours << ", OpenSSL's " << taken.openssl << ", for " << count << " requests");
    // Handing the access log's lines over may take a block now and then; a request never does.
    CHECK(taken.ours < count / 50);
    CHECK(taken.openssl <= (what == over::tls ? 2 * count : 0));
}

TEST_CASE("nor does one of many connections that are busy at once") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    std::vector<std::unique_ptr<test_client>> clients;
    for (unsigned i = 0; i < 64; ++i)
        clients.push_back(std::make_unique<test_client>(world.proxy.port(), world.proxy.terms()));
    const auto asked = post("{\"data\": [[5.1, 3.5, 1.4, 0.2]]}");
    const auto serve = [&](unsigned times) {
        for (unsigned i = 0; i < times; ++i) {
            for (const auto& each : clients) each->send(asked);
            for (const auto& each : clients)
                if (each->read_reply().status() != 200) throw wire_error("not served");
        }
    };
    serve(5);
    constexpr unsigned times = 20;
    const auto taken = taken_by(world, [&] { serve(times); });
    const auto count = times * clients.size();
    INFO("ours " << taken.ours << " for " << count << " requests");
    CHECK(taken.ours < count / 50);
}

TEST_CASE("nor does one after a pause, for which what serves requests had been given up") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto serve_and_pause = [&](unsigned times) {
        for (unsigned i = 0; i < times; ++i) {
            if (client.ask(post("{}")).status() != 200) throw wire_error("not served");
            wait_until([&] { return world.proxy.on_core(0, [&] { return world.proxy.core(0).buffers.lent() == 0; }); });
        }
    };
    serve_and_pause(3);
    constexpr unsigned count = 8;
    const auto taken = taken_by(world, [&] { serve_and_pause(count); });
    INFO("ours " << taken.ours << " for " << count << " requests");
    CHECK(taken.ours < count);
}

TEST_CASE("a request with its body behind its head allocates nothing either") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto serve = [&](unsigned times) {
        for (unsigned i = 0; i < times; ++i) {
            client.send(request("POST", score, "Content-Length: 4\r\n"));
            client.send("body");
            if (client.read_reply().status() != 200) throw wire_error("not served");
        }
    };
    serve(200);
    constexpr unsigned count = 500;
    const auto taken = taken_by(world, [&] { serve(count); });
    INFO("ours " << taken.ours << " for " << count << " requests");
    CHECK(taken.ours < count / 50);
}

#endif
