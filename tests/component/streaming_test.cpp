// Replies that come piece by piece are passed on piece by piece.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

TEST_CASE("each server-sent event is with the client before the next is sent") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const std::string framing =
        GENERATE("Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "Content-Length: 60\r\n");
    INFO(framing);
    constexpr std::size_t count = 5;
    std::vector<std::unique_ptr<event>> seen;
    for (std::size_t i = 0; i < count; ++i) seen.push_back(std::make_unique<event>());
    const auto text = [](std::size_t i) { return "data: {" + std::to_string(i) + "}\n\n\n"; };
    const bool chunked = framing.starts_with("Transfer");
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + "\r\n");
        for (std::size_t i = 0; i < count; ++i) {
            with.send(chunked ? in_chunks(text(i), text(i).size(), false) : text(i));
            seen[i]->wait();
        }
        if (chunked) with.send("0\r\n\r\n");
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(get(score, "Accept: text/event-stream\r\n"));
    const auto head = parse_head(client.read_until("\r\n\r\n"));
    CHECK(head.field("content-type") == "text/event-stream");
    for (std::size_t i = 0; i < count; ++i) {
        const auto sent = head.has("transfer-encoding") ? in_chunks(text(i), text(i).size(), false) : text(i);
        CHECK(client.read_exactly(sent.size()) == sent);
        seen[i]->set();
    }
    if (head.has("transfer-encoding")) CHECK(client.read_exactly(5) == "0\r\n\r\n");
    if (!framing.starts_with("Content")) CHECK(client.ask(get("/")).body == "Healthy");
}

TEST_CASE("the head is with the client before the body has begun") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event seen;
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        seen.wait();
        with.send("{}");
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(get(score));
    auto reply = parse_head(client.read_until("\r\n\r\n"));
    seen.set();
    CHECK(client.read_body(reply));
    CHECK(reply.body == "{}");
}

TEST_CASE("each piece of a request is with the replica before the next is sent") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool chunked = GENERATE(true, false);
    event first, second;
    one_replica world(what, [&](conversation& with) {
        with.read_head();
        with.read_until("one");
        first.set();
        with.read_until("two");
        second.set();
        with.read_until(chunked ? "0\r\n\r\n" : "end");
        with.send(ok("{}"));
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto piece = [&](const std::string& text) { return chunked ? in_chunks(text, 100, false) : text; };
    client.send(request("POST", score, chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: 9\r\n"));
    client.send(piece("one"));
    first.wait();
    client.send(piece("two"));
    second.wait();
    client.send(piece("end") + (chunked ? "0\r\n\r\n" : ""));
    CHECK(client.read_reply().status() == 200);
}

TEST_CASE("a client that does not read holds the replica back, and gets everything later") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const auto body = pattern(32 * 1024 * 1024);
    std::atomic<bool> all_sent{false};
    event begun;
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
        begun.set();
        with.send(body);
        all_sent = true;
        with.wait_for_end();
    });
    test_client slow(world.proxy.port(), world.proxy.terms());
    slow.send(get(score));
    begun.wait();
    test_client other(world.proxy.port(), world.proxy.terms());
    for (int i = 0; i < 100; ++i) CHECK(other.ask(get("/")).status() == 200); // nobody else is held up
    CHECK_FALSE(all_sent);
    const auto reply = slow.read_reply();
    CHECK(reply.whole);
    CHECK((reply.body == body));
}

TEST_CASE("a client that makes us wait holds what is needed for it, and no more") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const auto collected = GENERATE(0U, 65536U); // limits.request_buffer_bytes
    CAPTURE(collected);
    event go;
    one_replica world(
        what,
        [&](conversation& with) {
            if (with.read_head().first_line.starts_with("GET")) with.send(ok(pattern(32 * 1024 * 1024)));
            go.wait();
        },
        [&](config::settings& s) { s.limits.request_buffer_bytes = collected; });
    const auto come_to = [&](std::size_t blocks) {
        wait_until(
            [&] { return world.proxy.on_core(0, [&] { return world.proxy.core(0).buffers.lent(); }) == blocks; });
    };
    const auto send = [&](std::string_view bytes) {
        auto client = std::make_unique<test_client>(world.proxy.port(), world.proxy.terms());
        client->send(bytes);
        return client;
    };
    const auto silent = send("");
    come_to(0);
    const auto head = send("GET / HT");
    come_to(1);
    const auto body = send(request("POST", score, "Content-Length: 10\r\n") + "1");
    come_to(2); // the request's beginning, or what is to come of the reply
    const auto whole = send(post("{}"));
    come_to(4); // both: it may have to be sent again
    const auto reader = send(get(score));
    come_to(5);
    go.set();
}

TEST_CASE("a client that pauses in the middle of both bodies is not blamed on the replica") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(
        what,
        [](conversation& with) {
            const auto asked = with.read_head();
            auto left = std::stoul(asked.field("content-length"));
            with.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(left) + "\r\n\r\n");
            while (left != 0) {
                const auto piece = with.read_some();
                if (piece.empty()) return;
                with.send(piece); // while nobody takes it, nothing is read either
                left -= piece.size();
            }
            with.wait_for_end();
        },
        [](config::settings& s) { s.services[0].deployments[0].settings.request_timeout = 200ms; });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto body = pattern(64 * 1024 * 1024);
    client.send(request("POST", score, "Content-Length: " + std::to_string(body.size()) + "\r\n"));
    const auto sent = client.send_without_reading(body, 600ms); // until every buffer on the way there and back is full
    CHECK(sent < body.size());
    client.send(std::string_view(body).substr(sent));
    const auto reply = client.read_reply();
    CHECK(reply.whole);
    CHECK((reply.body == body));
    CHECK_FALSE(world.proxy.next_record().contains("fault"));
}

TEST_CASE("a client that neither sends nor reads for a moment, in the middle of both bodies, loses nothing") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const auto large = pattern(32 * 1024 * 1024);
    event begun;
    one_replica world(what, [&](conversation& with) {
        auto asked = with.read_head();
        begun.set();
        with.send(ok(large)); // more than all buffers on the way take
        with.read_body(asked);
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto body = pattern(1024 * 1024), first = body.substr(0, 200000);
    client.send(request("POST", score, "Content-Length: " + std::to_string(body.size()) + "\r\n") + first);
    begun.wait();
    std::this_thread::sleep_for(500ms); // what waits for more of the body gives its buffers back meanwhile
    client.send(std::string_view(body).substr(first.size()));
    const auto reply = client.read_reply();
    CHECK(reply.whole);
    CHECK((reply.body == large));
    CHECK_FALSE(world.proxy.next_record().contains("fault"));
}
