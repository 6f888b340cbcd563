// 1xx of the replica, Expect, and replies that come before the request has ended.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

TEST_CASE("an interim reply reaches the client before the final one is there") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event seen;
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        seen.wait();
        with.send(ok("{}"));
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(post("{}"));
    CHECK(parse_head(client.read_until("\r\n\r\n")).status() == 103);
    seen.set();
    CHECK(client.read_reply().status() == 200);
}

TEST_CASE("Expect: 100-continue is answered once, before the body, and not sent on") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        for (;;) {
            auto asked = with.read_head();
            if (!with.read_body(asked)) return;
            with.send(ok(asked.body));
        }
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    for (int i = 0; i < 2; ++i) { // over a new connection to the replica, then over a pooled one
        client.send(request("POST", score, "Expect: 100-Continue\r\nContent-Length: 5\r\n"));
        CHECK(client.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("hello");
        const auto reply = client.read_reply();
        CHECK(reply.body == "hello");
        CHECK(reply.interims.empty());
    }
    CHECK_FALSE(world.replica.request(0).has("expect"));
    CHECK(world.replica.connections() == 1);

    // One that does not wait needs none, though more is to come; neither does one without a body,
    // nor HTTP/1.0 (RFC 9110 10.1.1).
    client.send(request("POST", score, "Expect: 100-continue\r\nContent-Length: 5\r\n") + "he");
    world.replica.request(2); // its head is there, the rest of the body is not
    CHECK(client.ask("llo").interims.empty());
    CHECK(client.ask(post("hello", "Expect: 100-continue\r\n")).interims.empty());
    CHECK(client.ask(get(score, "Expect: 100-continue\r\n")).interims.empty());
    test_client old(world.proxy.port(), world.proxy.terms());
    old.send("POST " + score + " HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    CHECK(old.ask("hello").interims.empty());
}

TEST_CASE("an early reply reaches a client that is still sending, and the connection closes") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool closes = GENERATE(true, false); // the replica, right after its reply
    INFO(closes);
    one_replica world(what, [closes](conversation& with) {
        with.read_head();
        with.read_exactly(10);
        with.send("HTTP/1.1 413 Too Much\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\ntoo much");
        if (closes) return;
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(request("POST", score, "Content-Length: 1000000\r\n") + pattern(1000));
    const auto reply = client.read_reply(); // with most of the request unsent
    CHECK(reply.first_line == "HTTP/1.1 413 Too Much");
    CHECK(reply.body == "too much");
    CHECK(reply.whole);
    CHECK(reply.field("connection") == "close");
    // Read and dropped for a while, so that the reply is not lost to a reset.
    for (int i = 0; i < 300; ++i) client.send(pattern(1000));
    client.shut();
    CHECK(client.wait_for_end() == ending::clean);
    world.replica.wait_for_endings(1);
    const auto record = world.proxy.next_record();
    CHECK(record["status"] == 413);
    CHECK_FALSE(record.contains("fault"));
}

TEST_CASE("an early reply to a client that sends as fast as it can") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        with.read_head();
        with.send("HTTP/1.1 429 Slow Down\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow");
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    try {
        client.send(request("POST", score, "Content-Length: 50000000\r\n"));
        client.send(pattern(900000)); // what the proxy reads and drops at most
    } catch (const wire_ended&) {
    }
    const auto reply = client.read_reply();
    CHECK(reply.status() == 429);
    CHECK(reply.body == "slow");
    CHECK(reply.whole);
}

TEST_CASE("a reply that began before the upload ended lets the upload go on") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        with.read_head();
        with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n");
        const auto body = with.read_exactly(10);
        with.send("a\r\n" + body + "\r\n0\r\n\r\n");
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(request("POST", score, "Content-Length: 10\r\n"));
    client.read_until("\r\n\r\n");
    CHECK(client.read_until("begun\r\n") == "5\r\nbegun\r\n");
    client.send("12345");
    client.send("67890");
    CHECK(client.read_until("0\r\n\r\n") == "a\r\n1234567890\r\n0\r\n\r\n");
}
