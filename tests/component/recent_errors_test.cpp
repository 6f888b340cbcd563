// What a core remembers of requests that failed, for the operator's page.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

TEST_CASE("a request that failed is remembered with what finds its log line, one that succeeded is not") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    CHECK(world.proxy.next_record()["status"] == 200);
    const auto missed = client.ask(get("/nothing/secret"));
    check_fault(missed, 404, "no_route", "client");
    const auto line = world.proxy.next_record();

    // The line is written after the error was noted.
    const auto errors = world.proxy.on_core(0, [&] { return world.proxy.core(0).errors.take(); });
    REQUIRE(errors.size() == 1);
    CHECK(errors.front().fault == base::fault::no_route);
    CHECK(errors.front().status == 404);
    CHECK(line["request_id"] == std::string(errors.front().request_id.view()));
    CHECK(errors.front().service.view().empty());
    CHECK(errors.front().replica.view().empty());
}

TEST_CASE("of a replica that fails, which one and whose") {
    one_replica world(over::plain, [](conversation& with) { with.read_head(); }); // and goes away
    test_client client(world.proxy.port(), world.proxy.terms());
    check_fault(client.ask(post("{}")), 502, "replica_closed", "replica");
    const auto line = world.proxy.next_record();
    const auto errors = world.proxy.on_core(0, [&] { return world.proxy.core(0).errors.take(); });
    REQUIRE(errors.size() == 1);
    CHECK(errors.front().fault == base::fault::replica_closed);
    CHECK(errors.front().service.view() == "iris");
    CHECK(line["replica"] == std::string(errors.front().replica.view()));
}

TEST_CASE("a 5xx of the model's own is remembered, without a fault") {
    one_replica world(over::plain, always("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto answered = client.ask(post("{}"));
    const auto line = world.proxy.next_record();
    const auto errors = world.proxy.on_core(0, [&] { return world.proxy.core(0).errors.take(); });
    REQUIRE(errors.size() == 1);
    CHECK(errors.front().fault == base::fault::none);
    CHECK(errors.front().status == answered.status());
    CHECK(line["replica"] == std::string(errors.front().replica.view()));
}
