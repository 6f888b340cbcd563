// Replies that come too early, break HTTP in a way of their own, or were asked for by nobody: an early one reaches the
// client that is still sending, and no byte of one exchange is ever taken for another's. More ways for a replica to
// fail are in replica_faults_test; a road to it that breaks is in chaos_test.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

namespace {

const std::string chunked_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

// Answers with the request's body, and with "?" if there is none.
std::string echo_of(const message& asked) { return ok(asked.body.empty() ? "?" : asked.body); }

} // namespace

TEST_CASE("an early 413 or 401 reaches the client while its upload goes on, however that is framed") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool chunked = GENERATE(false, true);
    const bool closes = GENERATE(false, true); // the replica, right after its reply
    const std::string status = GENERATE("413 Content Too Large", "401 Unauthorized");
    INFO(to_string(what) << (chunked ? ", chunked, " : ", with a length, ") << (closes ? "closes, " : "stays, ")
                         << status);
    one_replica world(what, [&](conversation& with) {
        if (with.number() != 0) return echo(with);
        with.read_head();
        with.read_until("begun");
        with.send("HTTP/1.1 " + status + "\r\nWWW-Authenticate: Bearer\r\nContent-Length: 3\r\n\r\nno!");
        if (!closes) with.wait_for_end();
    });
    {
        test_client client(world.proxy.port(), world.proxy.terms());
        const auto piece = [chunked](std::string_view text) {
            return chunked ? in_chunks(text, text.size(), false) : std::string(text);
        };
        client.send(request("POST", score, chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: 1000000\r\n"));
        client.send(piece("begun"));
        const auto reply = client.read_reply(); // with nearly all of the request unsent
        CHECK(reply.first_line == "HTTP/1.1 " + status);
        CHECK(reply.field("www-authenticate") == "Bearer");
        CHECK(reply.field("connection") == "close");
        CHECK(reply.body == "no!");
        CHECK(reply.whole);
        for (int i = 0; i < 50; ++i) client.send(piece(std::string(1000, 'x'))); // read and dropped
        client.shut();
        CHECK(client.wait_for_end() == ending::clean);
        world.replica.wait_for_endings(1); // it has half a request: not for another one
        const auto record = world.proxy.next_record();
        CHECK(record["status"] == std::stoi(status));
        CHECK_FALSE(record.contains("fault"));
    }
    test_client next(world.proxy.port(), world.proxy.terms());
    CHECK(next.ask(post("next")).body == "next");
}

TEST_CASE("a malformed reply is told to a client that is still sending") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool chunked = GENERATE(false, true);
    INFO(to_string(what) << (chunked ? ", chunked" : ", with a length"));
    one_replica world(what, [](conversation& with) {
        with.read_head();
        with.send("HTTP/1.1 nonsense\r\n\r\n");
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(request("POST", score, chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: 1000000\r\n"));
    client.send(chunked ? in_chunks("begun", 5, false) : "begun");
    check_fault(client.read_reply(), 502, "replica_bad_response", "replica");
    world.replica.wait_for_endings(1);
    check_record(world.proxy.next_record(), 502, "replica_bad_response", "replica");
}

TEST_CASE("replica_bad_response: a head that is none is logged, and the client keeps its connection") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    std::string many = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 101; ++i) many += "X-" + std::to_string(i) + ": x\r\n";
    const std::vector<std::string> replies{many + "\r\n", "220 mail.example ESMTP\r\n\r\n"};
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send(replies.at(with.number()));
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    for (std::size_t i = 0; i < replies.size(); ++i) {
        INFO(replies[i].substr(0, 200));
        check_fault(client.ask(post("{}")), 502, "replica_bad_response", "replica");
        check_record(world.proxy.next_record(), 502, "replica_bad_response", "replica");
        world.replica.wait_for_endings(i + 1);
    }
    CHECK(client.ask(get("/")).body == "Healthy");
}

TEST_CASE("bad chunks behind good ones: the reply is cut") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const std::vector<std::string> chunks{
        "zz\r\nfirst\r\n",
        "-5\r\nfirst\r\n",
        "+5\r\nfirst\r\n",
        "0x5\r\nfirst\r\n",
        "5 5\r\nfirst\r\n",
        "5,5\r\nfirst\r\n",
        " 5\r\nfirst\r\n",
        "\r\nfirst\r\n",
        "5\nfirst\r\n",
        "5\rfirst\r\n",
        "5\r\nfirstX\r\n",
        "5\r\nfirst\n",
        "4\r\nfirst\r\n0\r\n\r\n",
        "00000000000000005\r\nfirst\r\n",
        "fffffffffffffffff\r\nfirst",
        "5;x=\x01\r\nfirst\r\n",
        "5;x=" + std::string(9000, 'x') + "\r\nfirst\r\n",
        "0\r\nX: " + std::string(9000, 'x') + "\r\n\r\n",
        "0\r\nX: a\x01\r\n\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\n\n",
    };
    std::vector<std::unique_ptr<event>> relayed;
    for (std::size_t i = 0; i < chunks.size(); ++i) relayed.push_back(std::make_unique<event>());
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send(chunked_head + "2\r\nok\r\n");
        relayed.at(with.number())->wait();
        with.send(chunks.at(with.number()));
        with.wait_for_end();
    });
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        INFO(chunks[i].substr(0, 200));
        test_client client(world.proxy.port(), world.proxy.terms());
        client.send(post("{}"));
        client.await("2\r\nok\r\n");
        relayed[i]->set();
        const auto reply = client.read_reply();
        CHECK(reply.status() == 200);
        CHECK_FALSE(reply.whole);
        CHECK((what == over::tls ? client.wait_for_end() == ending::cut : client.wait_for_end() != ending::none));
        check_record(world.proxy.next_record(), 200, "stream_broken", "replica");
        world.replica.wait_for_endings(i + 1);
    }
}

TEST_CASE("a reply that nobody has asked for costs the idle connection, and answers nobody") {
    const auto what = GENERATE(over::tls, over::plain);
    const std::string unasked = GENERATE(ok("unasked"), "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
                                         "HTTP/1.1 100 Continue\r\n\r\n", "x", "\r\n");
    INFO(to_string(what) << " " << unasked);
    event idle, sent;
    one_replica world(what, [&](conversation& with) {
        for (;;) {
            with.send(echo_of(with.read_request()));
            if (with.number() != 0) continue;
            idle.wait();
            with.send(unasked);
            sent.set();
            with.wait_for_end();
            return;
        }
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("first")).body == "first");
    idle.set();
    sent.wait();
    CHECK(client.ask(post("second")).body == "second");
    world.replica.wait_for_endings(1);
    CHECK(client.ask(post("third")).body == "third");
    CHECK(world.replica.connections() == 2);
    CHECK(world.replica.requests() == 3); // none was sent twice
}

TEST_CASE("a reply that comes before its request is not followed by another request") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event sent;
    one_replica world(what, [&](conversation& with) {
        if (with.number() != 0) return echo(with);
        with.send(ok("greeting"));
        with.send(ok(with.read_request().body)); // to the first request, which has a reply already
        sent.set();
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.ask(post("first")); // which of the two replies it gets, nobody can tell
    sent.wait();
    CHECK(client.ask(post("second")).body == "second");
    world.replica.wait_for_endings(1);
}

TEST_CASE("replica_bad_response: a flood of interim replies, passed on or not") {
    const auto what = GENERATE(over::tls, over::plain);
    const std::string interim = GENERATE("100 Continue", "103 Early Hints");
    const bool at_once = GENERATE(false, true);
    INFO(to_string(what) << " " << interim << (at_once ? " in one piece" : ""));
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        std::string flood;
        const auto one = "HTTP/1.1 " + interim + "\r\n\r\n";
        for (int i = 0; i < 17; ++i) {
            if (!at_once) with.send(one);
            flood += one;
        }
        if (at_once) with.send(flood + ok("{}"));
        with.wait_for_end();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(post("{}"));
    check_fault(reply, 502, "replica_bad_response", "replica");
    CHECK(reply.interims.size() == (interim.starts_with("100") ? 0 : 16));
    check_record(world.proxy.next_record(), 502, "replica_bad_response", "replica");
    world.replica.wait_for_endings(1);
    CHECK(client.ask(get("/")).body == "Healthy");
}

TEST_CASE("request_timeout: interim replies are no reply") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(
        what,
        [](conversation& with) {
            with.read_request();
            with.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n");
            with.wait_for_end();
        },
        [](config::settings& s) { s.services[0].deployments[0].settings.request_timeout = 100ms; });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(post("{}"));
    check_fault(reply, 504, "request_timeout", "replica");
    CHECK(reply.interims.size() == 1);
    check_record(world.proxy.next_record(), 504, "request_timeout", "replica");
    world.replica.wait_for_endings(1);
}
