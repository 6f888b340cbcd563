// What a replica can do wrong, each provoked for real: the right token, never a hung client, and a truncated reply
// never passed off as whole.
#include "component/fixture.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// A listening socket that nobody accepts from and whose queue is full: SYNs are dropped.
class full_backlog {
public:
    full_backlog() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listening_, generic, size) != 0 || ::listen(listening_, 0) != 0 ||
            ::getsockname(listening_, generic, &size) != 0)
            throw wire_error("cannot listen");
        port_ = ntohs(address.sin_port);
        for (int& each : filling_) {
            each = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            ::connect(each, generic, size);
        }
    }
    ~full_backlog() {
        for (const int each : filling_) ::close(each);
        ::close(listening_);
    }
    full_backlog(const full_backlog&) = delete;
    full_backlog& operator=(const full_backlog&) = delete;

    std::uint16_t port() const { return port_; }

private:
    int listening_;
    int filling_[4];
    std::uint16_t port_ = 0;
};

config::settings settings_for(std::uint16_t port) {
    auto service = service_of("iris", {});
    service.deployments[0].replicas.push_back(replica_at(port));
    return settings_of({service});
}

// Asks once more on the same connection: an error of the replica is no reason to lose the client.
void check_still_open(test_client& client) { CHECK(client.ask(get("/")).body == "Healthy"); }

} // namespace

TEST_CASE("connect_failed: a replica that refuses") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    checked_proxy proxy(what, settings_for(refusing_port()));
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("{}")), 502, "connect_failed", "replica");
    check_record(proxy.next_record(), 502, "connect_failed", "replica");
    check_fault(client.ask(get(score)), 502, "connect_failed", "replica");
    check_still_open(client);
}

TEST_CASE("connect_timeout: a replica that does not take the connection") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const full_backlog replica;
    auto settings = settings_for(replica.port());
    settings.timeouts.connect = 100ms;
    checked_proxy proxy(what, settings);
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("{}")), 504, "connect_timeout", "replica");
    check_record(proxy.next_record(), 504, "connect_timeout", "replica");
    check_still_open(client);
}

TEST_CASE("Expect: 100-continue is not answered by 100 when the replica cannot be reached") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const auto asked = request("POST", score, "Expect: 100-continue\r\nContent-Length: 10\r\n");
    {
        checked_proxy proxy(what, settings_for(refusing_port()));
        test_client client(proxy.port(), proxy.terms());
        const auto reply = client.ask(asked);
        check_fault(reply, 502, "connect_failed", "replica");
        CHECK(reply.interims.empty());
        CHECK(client.wait_for_end() == ending::clean);
    }
    const full_backlog replica;
    auto settings = settings_for(replica.port());
    settings.timeouts.connect = 100ms;
    checked_proxy proxy(what, settings);
    test_client client(proxy.port(), proxy.terms());
    const auto reply = client.ask(asked);
    check_fault(reply, 504, "connect_timeout", "replica");
    CHECK(reply.interims.empty());
}

TEST_CASE("replica_closed: before its head, within it, and by a reset") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        const auto asked = with.read_request();
        const auto how = asked.first_line;
        if (how.find("?within") != std::string::npos) with.send("HTTP/1.1 200 OK\r\nContent-Le");
        if (how.find("?interim") != std::string::npos) with.send("HTTP/1.1 100 Continue\r\n\r\n");
        if (how.find("?reset") != std::string::npos) with.reset();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    for (const auto* how : {"?before", "?within", "?interim", "?reset"}) {
        INFO(how);
        const auto reply = client.ask(request("POST", score + how, "", "{}"));
        check_fault(reply, 502, "replica_closed", "replica");
        CHECK(reply.body.find("Replica closed connection before replying") != std::string::npos);
        check_record(world.proxy.next_record(), 502, "replica_closed", "replica");
    }
    check_still_open(client);
}

TEST_CASE("replica_closed: in the middle of a large request") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        with.read_head();
        with.read_exactly(100000);
        with.reset();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    try {
        client.send(post(pattern(16 * 1024 * 1024)));
    } catch (const wire_ended&) {
    }
    check_fault(client.read_reply(), 502, "replica_closed", "replica");
    check_record(world.proxy.next_record(), 502, "replica_closed", "replica");
}

TEST_CASE("replica_bad_response: nonsense, and what could be read in two ways") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const std::vector<std::string> replies{
        "nonsense\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\x01\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: " + std::string(70000, 'x') + "\r\n\r\n",
        std::string(70000, 'x'),
        "\x16\x03\x01 no line end",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    };
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send(replies.at(with.number()));
        with.wait_for_end(); // and the proxy ends it
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    for (std::size_t i = 0; i < replies.size(); ++i) {
        INFO(replies[i].substr(0, 200));
        check_fault(client.ask(post("{}")), 502, "replica_bad_response", "replica");
        check_record(world.proxy.next_record(), 502, "replica_bad_response", "replica");
        world.replica.wait_for_endings(i + 1);
    }
    check_still_open(client);
}

TEST_CASE("replica_bad_response: interim replies without end") {
    one_replica world(over::plain, [](conversation& with) {
        with.read_request();
        for (;;) with.send("HTTP/1.1 102 Processing\r\n\r\n");
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(get(score));
    check_fault(reply, 502, "replica_bad_response", "replica");
    CHECK(reply.interims.size() == 16);
}

TEST_CASE("replica_stalled: it takes the connection and stops reading") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event over_now;
    one_replica world(
        what,
        [&](conversation& with) {
            with.read_head();
            over_now.wait();
        },
        [](config::settings& s) { s.services[0].deployments[0].settings.request_timeout = 200ms; });
    test_client client(world.proxy.port(), world.proxy.terms());
    try {
        client.send(post(pattern(32 * 1024 * 1024)));
    } catch (const wire_ended&) {
    }
    check_fault(client.read_reply(), 504, "replica_stalled", "replica");
    check_record(world.proxy.next_record(), 504, "replica_stalled", "replica");
    over_now.set();
}

TEST_CASE("request_timeout: no reply head in time, counted from the last byte of the request") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(
        what,
        [](conversation& with) {
            const auto asked = with.read_request();
            if (asked.first_line.find("?half") != std::string::npos) with.send("HTTP/1.1 200 OK\r\nConte");
            with.wait_for_end();
        },
        [](config::settings& s) { s.services[0].deployments[0].settings.request_timeout = 100ms; });
    test_client client(world.proxy.port(), world.proxy.terms());
    check_fault(client.ask(post("{}")), 504, "request_timeout", "replica");
    check_record(world.proxy.next_record(), 504, "request_timeout", "replica");
    world.replica.wait_for_endings(1);
    check_fault(client.ask(get(score + "?half")), 504, "request_timeout", "replica");
    check_fault(client.ask(request("POST", score, "", pattern(500000))), 504, "request_timeout", "replica");
    check_still_open(client);

    // The client's own upload is not in it: the replica is silent for longer than that before the last byte comes.
    client.send(request("POST", score, "Content-Length: 2\r\n") + "1");
    world.replica.request(1);
    pollfd ready{client.descriptor(), POLLIN, 0};
    CHECK(::poll(&ready, 1, 400) == 0);
    client.send("2");
    check_fault(client.read_reply(), 504, "request_timeout", "replica");
}

TEST_CASE("total_timeout: caps everything, before the head and after it") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(
        what,
        [](conversation& with) {
            const auto asked = with.read_request();
            if (asked.first_line.starts_with("GET"))
                with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            with.wait_for_end();
        },
        [](config::settings& s) { s.services[0].deployments[0].settings.total_timeout = 150ms; });
    {
        test_client client(world.proxy.port(), world.proxy.terms());
        check_fault(client.ask(post("{}")), 504, "total_timeout", "replica");
        check_record(world.proxy.next_record(), 504, "total_timeout", "replica");
        check_still_open(client);
        const auto reply = client.ask(get(score));
        CHECK(reply.status() == 200);
        CHECK(reply.body == "first");
        CHECK_FALSE(reply.whole);
        if (what == over::tls) CHECK(client.wait_for_end() == ending::cut);
        CHECK(world.proxy.record(2)["fault"] == "total_timeout");
    }
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(request("POST", score, "Content-Length: 10\r\n") + "12345"); // and never more
    check_fault(reply, 504, "total_timeout", "replica");
    CHECK(client.wait_for_end() == ending::clean);
}

TEST_CASE("model_error: the model's 500 becomes 502, its body and type pass") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, [](conversation& with) {
        for (;;) {
            const auto asked = with.read_request();
            const auto status = asked.first_line.substr(asked.first_line.find('?') + 1, 3);
            with.send("HTTP/1.1 " + status +
                      " Whatever\r\nContent-Type: text/x-trace\r\nContent-Length: 5\r\n\r\nTrace");
        }
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto failed = client.ask(get(score + "?500"));
    CHECK(failed.first_line == "HTTP/1.1 502 Bad Gateway");
    CHECK(failed.field("x-scoregate-fault") == "model_error");
    CHECK(failed.field("content-type") == "text/x-trace");
    CHECK(failed.body == "Trace");
    CHECK(failed.whole);
    const auto record = world.proxy.next_record();
    check_record(record, 502, "model_error", "replica");
    CHECK(record["model_status"] == 500);
    for (const unsigned status : {200U, 400U, 404U, 429U, 502U, 503U, 504U, 599U}) {
        const auto reply = client.ask(get(score + "?" + std::to_string(status)));
        CHECK(reply.status() == status); // only 500 is changed
        CHECK_FALSE(reply.has("x-scoregate-fault"));
        CHECK(reply.body == "Trace");
        CHECK_FALSE(world.proxy.next_record().contains("fault"));
    }
    CHECK(world.replica.connections() == 1); // none of them costs the connection
}

TEST_CASE("stream_idle_timeout: a reply that pauses is cut") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const std::string framing = GENERATE("Content-Length: 10", "Transfer-Encoding: chunked", "Connection: close");
    INFO(framing);
    one_replica world(
        what,
        [&](conversation& with) {
            with.read_request();
            const bool chunked = framing.find("chunked") != std::string::npos;
            with.send("HTTP/1.1 200 OK\r\n" + framing + "\r\n\r\n" + (chunked ? "5\r\nfirst\r\n" : "first"));
            with.wait_for_end();
        },
        [](config::settings& s) { s.timeouts.stream_idle = 100ms; });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(get(score));
    CHECK(reply.status() == 200);
    CHECK(reply.body == "first");
    CHECK_FALSE(reply.whole);
    if (what == over::tls) CHECK(client.wait_for_end() == ending::cut);
    check_record(world.proxy.next_record(), 200, "stream_idle_timeout", "replica");
}

TEST_CASE("stream_broken: a reply that ends short is not passed off as whole") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    const bool reset = GENERATE(false, true);
    INFO((reset ? "reset" : "closed"));
    const std::vector<std::string> replies{
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nfirst",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    };
    event relayed;
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send(replies.at(with.number()));
        if (!reset) return;
        relayed.wait(); // a reset may overtake what is still unread
        with.reset();
    });
    for (std::size_t i = 0; i < replies.size(); ++i) {
        INFO(replies[i]);
        test_client client(world.proxy.port(), world.proxy.terms());
        client.send(get(score));
        auto reply = parse_head(client.read_until("\r\n\r\n"));
        relayed.set();
        CHECK(reply.status() == 200);
        CHECK_FALSE(client.read_body(reply));
        if (what == over::tls)
            CHECK(client.wait_for_end() == ending::cut);
        else
            CHECK(client.wait_for_end() != ending::none);
        check_record(world.proxy.next_record(), 200, "stream_broken", "replica");
    }
}

TEST_CASE("stream_broken: nonsense instead of a chunk, and a reset of a reply without framing") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event relayed;
    one_replica world(what, [&](conversation& with) {
        const auto asked = with.read_request();
        if (asked.first_line.starts_with("POST")) {
            with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            relayed.wait();
            with.send("nonsense\r\n");
            with.wait_for_end();
        }
        with.send("HTTP/1.1 200 OK\r\n\r\nfirst");
        relayed.wait();
        with.reset();
    });
    for (const auto& asked : {post("{}"), get(score)}) {
        test_client client(world.proxy.port(), world.proxy.terms());
        client.send(asked);
        auto reply = parse_head(client.read_until("\r\n\r\n"));
        CHECK(client.read_exactly(5) == "5\r\nfi"); // chunked towards the client, both times
        relayed.set();
        client.read_to_end();
        CHECK(client.ended() != ending::none);
        if (what == over::tls) CHECK(client.ended() == ending::cut);
        check_record(world.proxy.next_record(), 200, "stream_broken", "replica");
    }
}

TEST_CASE("stream_broken: an HTTP/1.0 client, to whom the end of the stream means the end of the reply, gets a reset") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    event relayed;
    one_replica world(what, [&](conversation& with) {
        with.read_request();
        with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        relayed.wait();
        with.reset();
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send("GET " + score + " HTTP/1.0\r\n\r\n");
    client.read_until("first");
    relayed.set();
    client.read_to_end();
    CHECK(client.ended() == (what == over::tls ? ending::cut : ending::reset));
}
