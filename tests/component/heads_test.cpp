// Fields on their way to the replica and back: what is cut, what is ours to say.
#include "component/fixture.hpp"

#include <regex>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

bool is_guid(const std::string& text) {
    return std::regex_match(text, std::regex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
}

} // namespace

TEST_CASE("the replica gets the client's fields without the hop-by-hop ones, and what is ours") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(post("[1]", "Accept: */*\r\n"
                                              "X-Custom:  two words \r\n"
                                              "Cookie: a=b\r\n"
                                              "Connection: keep-alive, X-Nominated, Keep-Alive\r\n"
                                              "X-Nominated: dropped\r\n"
                                              "Keep-Alive: timeout=5\r\n"
                                              "Proxy-Connection: keep-alive\r\n"
                                              "TE: trailers\r\n"
                                              "Trailer: X-Sum\r\n"
                                              "Upgrade: websocket\r\n"
                                              "Proxy: evil\r\n"
                                              "Proxy-Authorization: Basic eA==\r\n"
                                              "Forwarded: for=192.0.2.1\r\n"
                                              "X-Forwarded-For: 192.0.2.1\r\n"
                                              "X-Forwarded-Proto: gopher\r\n"
                                              "X-Forwarded-Host: evil.example\r\n"
                                              "X-Forwarded-Port: 1\r\n"
                                              "X-Real-IP: 192.0.2.1\r\n"
                                              "X-Request-Id: mine\r\n"
                                              "X-MS-Request-Id: mine\r\n"
                                              "Authorization: Bearer secret\r\n"
                                              "azureml-model-deployment: blue\r\n"
                                              "User-Agent: tests/1\r\n"));
    CHECK(reply.status() == 200);
    const auto seen = world.replica.request(0);
    INFO(seen.head);
    CHECK(seen.first_line == "POST /score HTTP/1.1");
    CHECK(seen.body == "[1]");
    CHECK(seen.field("host") == "www.contoso.com");
    CHECK(seen.field("content-length") == "3");
    CHECK(seen.field("accept") == "*/*");
    CHECK(seen.field("x-custom") == "two words");
    CHECK(seen.field("cookie") == "a=b");
    CHECK(seen.field("user-agent") == "tests/1");
    for (const auto* cut : {"connection", "x-nominated", "keep-alive", "proxy-connection", "te", "trailer", "upgrade",
                            "proxy", "proxy-authorization", "forwarded", "x-forwarded-port", "x-real-ip",
                            "x-ms-request-id", "authorization", "transfer-encoding", "expect"}) {
        INFO(cut);
        CHECK_FALSE(seen.has(cut));
    }
    CHECK(seen.field("x-forwarded-for") == "127.0.0.1");
    CHECK(seen.field("x-forwarded-proto") == (what == over::tls ? "https" : "http"));
    CHECK(seen.field("x-forwarded-host") == "www.contoso.com");
    CHECK(is_guid(seen.field("x-request-id")));
    CHECK(seen.field("x-request-id") == reply.field("x-request-id"));
    CHECK(seen.count("host") == 1);
    CHECK(seen.count("content-length") == 1);
}

TEST_CASE("the client gets the replica's fields without the hop-by-hop ones, and what is ours") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always("HTTP/1.1 201 Made So\r\n"
                                   "Content-Type: text/plain; charset=x\r\n"
                                   "Server: model/1\r\n"
                                   "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                                   "Connection: keep-alive, X-Private\r\n"
                                   "X-Private: dropped\r\n"
                                   "Keep-Alive: timeout=5\r\n"
                                   "Proxy-Authenticate: Basic\r\n"
                                   "Trailer: X-Sum\r\n"
                                   "X-Request-Id: theirs\r\n"
                                   "x-ms-request-id: theirs\r\n"
                                   "x-ms-client-request-id: theirs\r\n"
                                   "azureml-model-deployment: theirs\r\n"
                                   "Content-Length: 2\r\n\r\nok"));
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto reply = client.ask(post("{}", "x-ms-client-request-id: abc-DEF_1 2/\"3\r\n"));
    INFO(reply.head);
    CHECK(reply.first_line == "HTTP/1.1 201 Made So");
    CHECK(reply.body == "ok");
    CHECK(reply.field("content-type") == "text/plain; charset=x");
    CHECK(reply.field("server") == "model/1");
    CHECK(reply.field("set-cookie") == "a=1, b=2");
    for (const auto* cut : {"connection", "x-private", "keep-alive", "proxy-authenticate", "trailer",
                            "transfer-encoding", "x-scoregate-fault"}) {
        INFO(cut);
        CHECK_FALSE(reply.has(cut));
    }
    CHECK(is_guid(reply.field("x-request-id")));
    CHECK(reply.field("x-ms-request-id") == reply.field("x-request-id"));
    CHECK(reply.field("x-ms-client-request-id") == "abc-DEF_123");
    CHECK(world.replica.request(0).field("x-ms-client-request-id") == "abc-DEF_123");
    CHECK(reply.field("azureml-model-deployment") == "blue");
    CHECK(reply.count("content-length") == 1);
    CHECK(std::regex_match(reply.field("server-timing"),
                           std::regex(R"(queue;dur=\d+\.\d{3}, connect;dur=\d+\.\d{3}, model;dur=\d+\.\d{3})")));
    CHECK(std::regex_match(reply.field("date"),
                           std::regex(R"((Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT)")));

    const auto record = world.proxy.next_record();
    CHECK(record["request_id"] == reply.field("x-request-id"));
    CHECK(record["client_request_id"] == "abc-DEF_123");
    CHECK(record["status"] == 201);
    CHECK_FALSE(record.contains("fault"));
    CHECK(record["replica"] == "http://127.0.0.1:" + std::to_string(world.replica.port()));
    CHECK(record["client_ip"] == "127.0.0.1");
    CHECK(record["attempts"] == 1);
    CHECK(record.contains("tls_cipher") == (what == over::tls));
    CHECK(client.ask(post("{}")).field("x-request-id") != reply.field("x-request-id"));
}

TEST_CASE("a Date of the replica's is kept") {
    one_replica world(over::plain, always(ok("{}", "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n")));
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(get(score)).field("date") == "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST_CASE("a traceparent is continued if valid, begun otherwise") {
    one_replica world(over::plain, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const std::string valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.ask(get(score, "traceparent: " + valid + "\r\n"));
    client.ask(get(score, "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n"));
    client.ask(get(score));
    CHECK(world.replica.request(0).field("traceparent") == valid);
    CHECK(world.proxy.next_record()["trace_id"] == valid.substr(3, 32));
    const std::regex shape("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]");
    const auto second = world.replica.request(1).field("traceparent");
    const auto third = world.replica.request(2).field("traceparent");
    CHECK(std::regex_match(second, shape));
    CHECK(second.find("-00000000000000000000000000000000-") == std::string::npos);
    CHECK(std::regex_match(third, shape));
    CHECK(second != third);
    CHECK(world.proxy.next_record()["trace_id"] == second.substr(3, 32));
}
