// What a client can do wrong, each provoked for real: status, token, side, log line, and what becomes of the
// connection.
#include "component/fixture.hpp"

#include <poll.h>
#include <sys/socket.h>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// The reply says so, is whole, and the connection ends in order.
void check_refused(one_replica& world, const std::string& bytes, unsigned status, const std::string& token) {
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(bytes);
    const auto reply = client.read_reply();
    check_fault(reply, status, token, "client");
    CHECK(reply.field("connection") == "close");
    CHECK(client.wait_for_end() == ending::clean);
    check_record(world.proxy.next_record(), status, token, "client");
}

} // namespace

TEST_CASE("bad_request: what HTTP's framing forbids is answered and the connection closed") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    const std::string line = "POST " + score + " HTTP/1.1\r\n";
    for (const std::string& bytes : {
             line + "\r\n",
             line + "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         }) {
        INFO(bytes);
        check_refused(world, bytes, 400, "bad_request");
    }
    CHECK(world.replica.requests() == 0);
}

TEST_CASE("bad_request: a chunk that breaks later ends the request at the replica too") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        with.read_head();
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(request("POST", score, "Transfer-Encoding: chunked\r\n"));
    client.send("5\r\nhello\r\n");
    world.replica.request(0); // it is under way
    client.send("nonsense\r\n");
    check_fault(client.read_reply(), 400, "bad_request", "client");
    CHECK(client.wait_for_end() == ending::clean);
    world.replica.wait_for_endings(1);
    check_record(world.proxy.next_record(), 400, "bad_request", "client");
}

TEST_CASE("what stands in a body that is refused is never a request") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    constexpr std::size_t most = 1000;
    one_replica world(what, always(ok("{}")), [](config::settings& s) { s.limits.max_request_bytes = most; });
    const std::string hidden = request("GET", score);
    const auto chunk = [](const std::string& payload) { return in_chunks(payload, payload.size(), false); };
    const auto head = request("POST", score, "Transfer-Encoding: chunked\r\n");
    // Read a second time, the payload would be an end and a request.
    check_refused(world, head + chunk("0\r\n\r\n" + hidden) + "Z", 400, "bad_request");
    check_refused(world, head + chunk("0\r\n\r\n" + hidden) + "1\r\nab", 400, "bad_request");
    // Whole, and only too large.
    check_refused(world, head + chunk(pattern(most)) + chunk(hidden) + "0\r\n\r\n", 413, "body_too_large");
    check_refused(world, head + chunk(pattern(most)) + chunk(hidden) + "0\r\n\r\n" + hidden, 413, "body_too_large");
    CHECK(world.replica.requests() == 0);
}

TEST_CASE("body_too_large: a size that would overflow the count of what has come") {
    one_replica world(over::plain, always(ok("{}")));
    check_refused(world, request("POST", score, "Transfer-Encoding: chunked\r\n") + "1\r\na\r\nffffffffffffffff\r\n",
                  413, "body_too_large");
    CHECK(world.replica.requests() == 0);
}

TEST_CASE("header_too_large: by bytes and by count; uri_too_long: the request line alone") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), [](config::settings& s) {
        s.limits.max_header_bytes = 20000;
        s.limits.max_headers = 10;
    });
    const std::string line = "GET " + score + " HTTP/1.1\r\nHost: a\r\n";
    const auto padded = [&](std::size_t size) {
        const std::string name = "X-Pad: ";
        return line + name + std::string(size - line.size() - name.size() - 4, 'p') + "\r\n\r\n";
    };
    check_refused(world, padded(20001), 431, "header_too_large");
    check_refused(world, padded(70000), 431, "header_too_large");
    std::string many = line;
    for (int i = 0; i < 10; ++i) many += "X-" + std::to_string(i) + ": v\r\n";
    check_refused(world, many + "\r\n", 431, "header_too_large");
    check_refused(world, "GET /" + std::string(30000, 'u') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long");
    CHECK(world.replica.connections() == 0);

    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(padded(20000)).status() == 200); // the limit itself is allowed
    CHECK(client.ask(padded(16384)).status() == 200);
    CHECK(client.ask(many.substr(0, many.rfind("X-9")) + "\r\n").status() == 200);
}

TEST_CASE("body_too_large: announced, in the first bytes, and in a chunked body that goes on and on") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    constexpr std::size_t most = 300000;
    one_replica world(
        what,
        [](conversation& with) {
            with.read_request();
            with.send(ok("{}"));
            with.wait_for_end();
        },
        [](config::settings& s) { s.limits.max_request_bytes = most; });
    const auto chunked = request("POST", score, "Transfer-Encoding: chunked\r\n");
    {
        // The length alone says it: answered although not a byte of the body has come, without a 100.
        test_client client(world.proxy.port(), world.proxy.terms());
        const auto reply = client.ask(
            request("POST", score, "Expect: 100-continue\r\nContent-Length: " + std::to_string(most + 1) + "\r\n"));
        check_fault(reply, 413, "body_too_large", "client");
        CHECK(reply.interims.empty());
        CHECK(reply.body.find(std::to_string(most)) != std::string::npos);
        CHECK(client.wait_for_end() == ending::clean);
        check_record(world.proxy.next_record(), 413, "body_too_large", "client");
    }
    CHECK(world.replica.connections() == 0);
    {
        test_client client(world.proxy.port(), world.proxy.terms());
        client.send(chunked);
        try {
            client.send(in_chunks(pattern(2000000), 10000, false));
        } catch (const wire_ended&) {
            // The proxy need not read it all.
        }
        check_fault(client.read_reply(), 413, "body_too_large", "client");
        CHECK(client.wait_for_end() != ending::cut);
        check_record(world.proxy.next_record(), 413, "body_too_large", "client");
    }
    world.replica.wait_for_endings(1); // its request was not whole
    CHECK(world.replica.requests() == 0);
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(chunked + in_chunks(pattern(most), 10000)).status() == 200); // the limit itself is allowed
}

TEST_CASE("client_timeout: a head that is not whole, a body that pauses") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(
        what,
        [](conversation& with) {
            with.read_head();
            with.wait_for_end();
        },
        [](config::settings& s) { s.timeouts.header = s.timeouts.body_idle = 100ms; });
    check_refused(world, "GET " + score + " HTTP/1.1\r\nHost: a\r\n", 408, "client_timeout");
    check_refused(world, "G", 408, "client_timeout");
    CHECK(world.replica.connections() == 0);
    check_refused(world, request("POST", score, "Content-Length: 10\r\n") + "12345", 408, "client_timeout");
    check_refused(world, request("POST", score, "Transfer-Encoding: chunked\r\n") + "5\r\n123", 408, "client_timeout");
    world.replica.wait_for_endings(2);
}

TEST_CASE("client_timeout: a head that comes byte by byte does not get more time") {
    one_replica world(over::plain, always(ok("{}")), [](config::settings& s) { s.timeouts.header = 100ms; });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send("GET " + score + " HTTP/1.1\r\nHost: a\r\nX: ");
    try {
        // Goes on for as long as the proxy takes it, an endless but never pausing head.
        for (const auto until = std::chrono::steady_clock::now() + patience;
             std::chrono::steady_clock::now() < until;) {
            client.send("x");
            pollfd ready{client.descriptor(), POLLIN, 0};
            if (::poll(&ready, 1, 5) > 0) break;
        }
    } catch (const wire_ended&) {
    }
    check_fault(client.read_reply(), 408, "client_timeout", "client");
}

TEST_CASE("client_timeout: past the first 64 KiB a body must keep min_body_rate") {
    one_replica world(over::plain, [](conversation& with) {
        with.read_head();
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(request("POST", score, "Content-Length: 1000000\r\n"));
    client.send(pattern(100000));
    world.replica.request(0);
    pollfd ready{client.descriptor(), POLLIN, 0};
    CHECK(::poll(&ready, 1, 10200) == 0); // the window of the rate, in which nothing is sent and nothing may come
    client.send("x");
    const auto reply = client.read_reply();
    check_fault(reply, 408, "client_timeout", "client");
    CHECK(reply.body.find("min_body_rate") != std::string::npos);
    check_record(world.proxy.next_record(), 408, "client_timeout", "client");
}

TEST_CASE("client_timeout: a reply that the client does not read is cut") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const auto body = pattern(32 * 1024 * 1024);
    one_replica world(what, always(ok(body)), [](config::settings& s) { s.timeouts.stream_idle = 200ms; });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(get(score));
    const auto record = world.proxy.next_record();
    check_record(record, 200, "client_timeout", "client");
    const auto reply = client.read_reply();
    CHECK_FALSE(reply.whole);
    CHECK(reply.body.size() < body.size());
    CHECK(client.wait_for_end() == ending::reset); // or the kernel would go on holding what it has of it
}

TEST_CASE("client_timeout: a reply must be taken at min_reply_rate while it waits, and only then") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event go_on;
    const auto body = pattern(32 * 1024 * 1024);
    one_replica world(
        what,
        [&](conversation& with) {
            if (with.read_head().first_line.find("events") == std::string::npos) {
                with.send(ok(body));
                return with.wait_for_end();
            }
            with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n");
            go_on.wait();
            with.send("7\r\nsecond\n\r\n0\r\n\r\n");
        },
        [](config::settings& s) { s.limits.min_reply_rate = 1 << 30; });
    test_client listening(world.proxy.port(), world.proxy.terms()), sipping(world.proxy.port(), world.proxy.terms());
    listening.send(get(score + "?events"));
    listening.read_until("first\n");
    sipping.send(get(score));
    // A little of it now and then, so that it is no pause that ends it: until the reset.
    pollfd broken{sipping.descriptor(), 0, 0};
    char some[4096];
    int sips = 0;
    for (; ::poll(&broken, 1, 250) == 0 && sips < 400; ++sips)
        ::recv(sipping.descriptor(), some, sizeof some, MSG_DONTWAIT);
    CHECK(sips < 400);
    CHECK(sips > 8);
    check_record(world.proxy.next_record(), 200, "client_timeout", "client");
    go_on.set(); // its model was silent for all that time
    CHECK(listening.read_until("0\r\n\r\n").find("second") != std::string::npos);
}

TEST_CASE("an idle connection is closed in order after keep_alive_ms, without a request on record") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), [](config::settings& s) { s.timeouts.keep_alive = 100ms; });
    test_client fresh(world.proxy.port(), world.proxy.terms());
    CHECK(fresh.wait_for_end() == ending::clean);
    test_client used(world.proxy.port(), world.proxy.terms());
    CHECK(used.ask(get(score)).status() == 200);
    CHECK(used.wait_for_end() == ending::clean);
    CHECK(world.proxy.count() == 1);
}

TEST_CASE("client_gone: in the middle of its request, and of the reply") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool reset = GENERATE(true, false);
    const auto body = pattern(32 * 1024 * 1024);
    one_replica world(what, [&](conversation& with) {
        const auto head = with.read_head();
        if (head.first_line.starts_with("GET")) with.send(ok(body));
        with.wait_for_end();
    });
    const auto leave = [reset](test_client& client) {
        if (reset)
            client.reset();
        else
            client.close();
    };
    {
        test_client client(world.proxy.port(), world.proxy.terms());
        client.send(request("POST", score, "Content-Length: 10\r\n") + "12345");
        world.replica.request(0);
        leave(client);
        check_record(world.proxy.next_record(), 499, "client_gone", "client");
        world.replica.wait_for_endings(1); // the model's request is cut, not completed
    }
    {
        test_client client(world.proxy.port(), world.proxy.terms());
        client.send(get(score));
        client.read_until("\r\n\r\n");
        leave(client);
        check_record(world.proxy.next_record(), 499, "client_gone", "client");
        world.replica.wait_for_endings(2);
    }
    {
        test_client client(world.proxy.port(), world.proxy.terms());
        client.send("GET " + score);
        client.close(); // a reset might overtake the bytes, and then there was no request
        check_record(world.proxy.next_record(), 499, "client_gone", "client");
    }
}

TEST_CASE("a client that has had an error goes on, if all of its body had come") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    check_fault(client.ask(request("POST", "/unknown", "", "{\"a\":1}")), 404, "no_route", "client");
    check_fault(client.ask(request("POST", "/unknown", "Transfer-Encoding: chunked\r\n") + in_chunks("abc", 1)), 404,
                "no_route", "client");
    check_fault(client.ask(request("PUT", score, "", "{}")), 405, "method_not_allowed", "client");
    CHECK(client.ask(post("{}")).status() == 200);
    CHECK(world.replica.request(0).body == "{}");

    const auto reply = client.ask(request("POST", "/unknown", "Content-Length: 100\r\n") + "part");
    check_fault(reply, 404, "no_route", "client");
    CHECK(reply.field("connection") == "close");
    CHECK(client.wait_for_end() == ending::clean);
}

TEST_CASE("an error for HEAD has no body") {
    one_replica world(over::plain, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(request("HEAD", "/unknown"), true);
    CHECK(reply.status() == 404);
    CHECK(reply.field("x-scoregate-fault") == "no_route");
    CHECK(client.ask(get(score)).status() == 200);
}
