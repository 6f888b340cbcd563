// Bodies of any framing, any size, any slicing, both ways at once.
#include "component/fixture.hpp"

#include <array>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// Sends the request's body back, framed as `?reply=` says: length:N, chunked, close, old (HTTP/1.0). With `&early`
// while it is still coming, with `&slice` byte by byte.
void echo_framed(conversation& with) {
    for (;;) {
        auto asked = with.read_head();
        const auto wanted = [&](std::string_view word) { return asked.first_line.find(word) != std::string::npos; };
        const auto send = [&](std::string_view bytes) {
            if (wanted("slice"))
                with.send_sliced(bytes);
            else
                with.send(bytes);
        };
        const bool chunked = wanted("reply=chunked");
        const auto begin = [&] {
            std::string head = wanted("reply=old") ? "HTTP/1.0 200 OK\r\n" : "HTTP/1.1 200 OK\r\n";
            if (chunked) head += "Transfer-Encoding: chunked\r\n";
            if (const auto at = asked.first_line.find("reply=length:"); at != std::string::npos)
                head += "Content-Length: " + std::to_string(std::stoul(asked.first_line.substr(at + 13))) + "\r\n";
            send(head + "\r\n");
        };
        const auto pass_on = [&](const std::string& piece) {
            if (!piece.empty()) send(chunked ? in_chunks(piece, 70000, false) : piece);
        };
        if (!wanted("early")) {
            if (!with.read_body(asked)) return;
            begin();
            pass_on(asked.body);
        } else if (asked.has("transfer-encoding")) {
            begin();
            while (const auto size = std::stoul(with.read_until("\r\n"), nullptr, 16)) {
                pass_on(with.read_exactly(size));
                with.read_exactly(2);
            }
            with.read_until("\r\n");
        } else {
            begin();
            for (auto left = asked.has("content-length") ? std::stoul(asked.field("content-length")) : 0; left != 0;) {
                const auto piece = with.read_some();
                if (piece.empty()) return;
                pass_on(piece);
                left -= piece.size();
            }
        }
        if (chunked) send("0\r\n\r\n");
        if (wanted("reply=close") || wanted("reply=old")) return;
    }
}

enum class framed : std::uint8_t { none, length, chunked };

std::string asked(framed how, const std::string& query, const std::string& body, int minor = 1,
                  std::size_t chunk = 3000) {
    std::string made = "POST " + score + "?" + query + " HTTP/1." + std::to_string(minor) + "\r\nHost: a\r\n";
    switch (how) {
    case framed::none: return made + "\r\n";
    case framed::length: return made + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    case framed::chunked: break;
    }
    return made + "Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, chunk);
}

} // namespace

TEST_CASE("every framing of a request with every framing of a reply, for HTTP/1.0 and 1.1") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, echo_framed);
    for (const int minor : {0, 1})
        for (const auto how : {framed::none, framed::length, framed::chunked})
            for (const std::string framing : {"length:", "chunked", "close", "old"})
                for (const std::size_t size : {0U, 1U, 5000U, 200000U}) {
                    if (minor == 0 && how == framed::chunked) continue; // HTTP/1.0 has none
                    const auto body = how == framed::none ? std::string{} : pattern(size);
                    const auto query = "reply=" + framing + (framing == "length:" ? std::to_string(body.size()) : "");
                    INFO("HTTP/1." << minor << ", request " << static_cast<int>(how) << ", " << query << ", "
                                   << body.size() << " bytes");
                    test_client client(world.proxy.port(), world.proxy.terms());
                    const auto reply = client.ask(asked(how, query, body, minor));
                    CHECK(reply.status() == 200);
                    CHECK(reply.whole);
                    CHECK((reply.body == body));
                    const bool length = framing == "length:";
                    CHECK(reply.has("content-length") == length);
                    CHECK(reply.has("transfer-encoding") == (!length && minor == 1));
                    CHECK((reply.field("connection") == "close") == (minor == 0));
                    if (minor == 0)
                        CHECK(client.wait_for_end() == ending::clean);
                    else
                        CHECK(client.ask(get("/")).body == "Healthy");

                    // And once more with a reply that begins while the request is still coming: then it may close.
                    test_client eager(world.proxy.port(), world.proxy.terms());
                    const auto early = eager.ask(asked(how, "early&" + query, body, minor));
                    CHECK(early.whole);
                    CHECK((early.body == body));
                    if (early.field("connection") == "close")
                        CHECK(eager.wait_for_end() == ending::clean);
                    else
                        CHECK(eager.ask(get("/")).body == "Healthy");
                }
}

TEST_CASE("sizes around the borders of buffers and records, on one connection") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, echo_framed);
    test_client client(world.proxy.port(), world.proxy.terms());
    for (const std::size_t border : {16352U, 16384U, 131040U, 131072U})
        for (const std::size_t size : {border - 1, border, border + 1})
            for (const auto how : {framed::length, framed::chunked})
                for (const std::string& framing : {"length:" + std::to_string(size), std::string("chunked")}) {
                    INFO(size << " bytes, request " << static_cast<int>(how) << ", reply " << framing);
                    const auto body = pattern(size);
                    const auto reply = client.ask(asked(how, "reply=" + framing, body, 1, size));
                    REQUIRE(reply.whole);
                    CHECK((reply.body == body));
                }
    CHECK(world.replica.connections() == 1); // and all of them over one
}

TEST_CASE("heads around the borders of buffers, with a body behind them") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const std::string body = "[1, 2, 3]";
    for (const std::size_t border : {16352U, 16384U, 32736U})
        for (std::size_t size = border - 12; size <= border + 12; ++size) {
            const auto bare = post(body, "X-Pad: \r\n").size();
            const auto reply = client.ask(post(body, "X-Pad: " + std::string(size - bare, 'p') + "\r\n"));
            INFO(size);
            REQUIRE(reply.status() == 200);
            CHECK(world.replica.request(world.replica.requests() - 1).body == body);
        }
}

TEST_CASE("several MB both ways at once") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, echo_framed);
    const auto body = pattern(8 * 1024 * 1024 + 7);
    const auto length = std::to_string(body.size());
    for (const auto how : {framed::length, framed::chunked})
        for (const std::string& framing : {"length:" + length, std::string("chunked"), std::string("close")}) {
            INFO("request " << static_cast<int>(how) << ", reply " << framing);
            test_client client(world.proxy.port(), world.proxy.terms());
            const auto reply = client.ask(asked(how, "early&reply=" + framing, body, 1, 100000));
            CHECK(reply.whole);
            CHECK((reply.body == body));
            const auto record = world.proxy.next_record();
            CHECK(record["bytes_in"].get<std::uint64_t>() >= body.size());
            CHECK(record["bytes_out"].get<std::uint64_t>() >= body.size());
        }
}

TEST_CASE("byte by byte on both sides") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, echo_framed);
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto body = pattern(300);
    for (const auto how : {framed::none, framed::length, framed::chunked})
        for (const std::string framing : {"length:300", "chunked", "close"}) {
            if (how == framed::none && framing == "length:300") continue;
            INFO("request " << static_cast<int>(how) << ", reply " << framing);
            // An empty line before a request is ignored (RFC 9112 2.2).
            client.send_sliced("\r\n" + asked(how, "slice&reply=" + framing, body, 1, 7));
            const auto reply = client.read_reply();
            REQUIRE(reply.whole);
            CHECK((reply.body == (how == framed::none ? "" : body)));
        }
}

TEST_CASE("a request behind a chunked body stays as it is, wherever the body was cut") {
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
    const std::string first = request("POST", score, "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n";
    const std::string all = first + get("/");
    const auto body = first.find("\r\n\r\n") + 4;
    std::size_t number = 0;
    for (auto cut = body; cut <= first.size(); ++cut, ++number) {
        INFO(cut - body);
        client.send(all.substr(0, cut));
        world.replica.request(number); // so the proxy has read what was sent
        client.send(all.substr(cut));
        CHECK(client.read_reply().body == "hello");
        CHECK(client.read_reply().body == "Healthy");
    }
}

TEST_CASE("pipelined requests are answered in order") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, echo_framed);
    test_client client(world.proxy.port(), world.proxy.terms());
    std::string all;
    constexpr std::size_t count = 60;
    const auto body = [](std::size_t i) { return std::to_string(i) + ":" + pattern(i * 37); };
    for (std::size_t i = 0; i < count; ++i)
        all += asked(i % 2 == 0 ? framed::length : framed::chunked,
                     i % 3 == 0 ? "reply=chunked" : "reply=length:" + std::to_string(body(i).size()), body(i), 1, 11) +
               get("/");
    client.send(all);
    for (std::size_t i = 0; i < count; ++i) {
        INFO(i);
        const auto reply = client.read_reply();
        REQUIRE(reply.status() == 200);
        CHECK((reply.body == body(i)));
        CHECK(client.read_reply().body == "Healthy");
    }
    CHECK(world.replica.connections() == 1);
}

TEST_CASE("a megabyte of requests in one go: each is answered, in order") {
    one_replica world(over::tls, echo_framed);
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto body = [](std::size_t i) { return std::to_string(i) + ":" + pattern(200); };
    std::string all;
    std::size_t count = 0;
    for (; all.size() < 1'000'000; ++count)
        all += asked(framed::length, "reply=length:" + std::to_string(body(count).size()), body(count), 1, 11);
    client.send(all);
    bool in_order = true;
    for (std::size_t i = 0; i < count; ++i) {
        const auto reply = client.read_reply();
        in_order = in_order && reply.status() == 200 && reply.body == body(i);
    }
    CHECK(in_order);
    CHECK(world.replica.requests() == count);
    CHECK(client.ask(get("/")).body == "Healthy"); // and not a byte behind them
}

TEST_CASE("what a client sends behind its last request does not cost it the reply") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool ends = GENERATE(false, true);
    INFO(to_string(what) << " " << ends);
    event go;
    one_replica world(what, answer_after(go, "good"));
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(request("POST", "/api/v1/service/iris/score", "Connection: close\r\n", "{}"));
    world.replica.request(0);
    client.send(post("nobody reads this"));
    if (ends) client.shut();
    go.set();
    CHECK(client.read_reply().body == "good");
    CHECK(client.wait_for_end() != ending::reset);
}

TEST_CASE("the head and the first of the body travel together, both ways") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    std::array<std::string, 2> first_reads;
    one_replica world(what, [&](conversation& with) {
        for (auto& each : first_reads) {
            each = with.read_some();
            with.send(ok("{\"a\":1}"));
        }
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    for (std::size_t i = 0; i < first_reads.size(); ++i) {
        client.send(post("[1,2,3]"));
        const auto bytes = client.read_some();
        CHECK(bytes.starts_with("HTTP/1.1 200 OK"));
        CHECK(bytes.ends_with("\r\n\r\n{\"a\":1}"));
        if (what == over::tls) CHECK(client.records().size() == i + 1);
        CHECK(first_reads[i].starts_with("POST /score"));
        CHECK(first_reads[i].ends_with("\r\n\r\n[1,2,3]"));
    }
}
