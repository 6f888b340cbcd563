#include "http/write.hpp"
#include "unit/http/heads.hpp"

#include <catch2/catch.hpp>

#include <cstring>

using namespace scoregate;
using namespace scoregate::http;
using namespace std::chrono_literals;
using kind = body_framing::kind;

namespace {

request_identity identity(std::string_view client = {}) {
    request_identity made;
    const std::string_view id = "0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f";
    const std::string_view trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    std::copy(id.begin(), id.end(), made.id.bytes.begin());
    made.id.size = id.size();
    std::copy(trace.begin(), trace.end(), made.trace.bytes.begin());
    made.trace.size = trace.size();
    made.client = clean_client_id(client);
    return made;
}

std::string requested(const std::string& bytes, std::string_view client = {}, std::string_view replica_path = "/score",
                      const forwarded& from = {"203.0.113.7", "https", "www.contoso.com"}) {
    request_head head;
    REQUIRE(read_head(head, bytes, head_limits{}));
    base::buffer_pool pool;
    base::buffer out(pool);
    const std::string_view host = head.host.empty() ? "iris" : head.host;
    out.reserve(room_for(head, replica_path, host));
    write_request_head(out, head, replica_path, host, from, identity(client));
    CHECK(out.size() <= room_for(head, replica_path, host));
    return std::string(out.readable());
}

struct reply_terms {
    method to = method::post;
    unsigned status = 0; // of the replica
    std::string fault_token{};
    bool close = false, announce_keep_alive = false;
    kind how = kind::none;
    std::uint64_t length = 0;
    bool framed_as_received = true;
    std::string client{};
    timings spent{};
    bool model_status = false, cors = false;
    std::string allowed_origin{};
    std::optional<std::string_view> transport_security{};
};

std::string replied(const std::string& bytes, const reply_terms& terms = {}) {
    response_head head;
    REQUIRE(read_head(head, bytes, head_limits{}, terms.to));
    base::buffer_pool pool;
    base::buffer out(pool);
    out.reserve(room_for(head));
    const auto body = terms.framed_as_received ? head.body : body_framing{terms.how, terms.length};
    write_reply_head(
        out, head, terms.status != 0 ? terms.status : head.status,
        {terms.fault_token, terms.model_status, terms.cors, terms.allowed_origin, terms.transport_security},
        {body, terms.close, terms.announce_keep_alive}, "blue", "Thu, 01 Jan 1970 00:00:00 GMT", terms.spent,
        identity(terms.client));
    return std::string(out.readable());
}

bool has_line(const std::string& head, const std::string& line) {
    return head.find("\r\n" + line + "\r\n") != std::string::npos;
}
// Lines whose name is `name`, in any case.
std::size_t count_lines(std::string_view head, std::string_view name) {
    std::size_t count = 0;
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
        const auto line = head.substr(at + 2);
        if (line.size() > name.size() && line[name.size()] == ':' &&
            equals_ignoring_case(line.substr(0, name.size()), name))
            ++count;
    }
    return count;
}

} // namespace

TEST_CASE("a scoring request, byte by byte") {
    const auto bytes = head_of({"POST /api/v1/service/iris/score?verbose=1 HTTP/1.1", "Host: www.contoso.com",
                                "User-Agent: python-requests/2.28.1", "Accept: */*", "Authorization: Bearer secret",
                                "Content-Type:  application/json", "Content-Length: 0017", "Connection: keep-alive"});
    CHECK(requested(bytes, "my id") == "POST /score?verbose=1 HTTP/1.1\r\n"
                                       "Host: www.contoso.com\r\n"
                                       "User-Agent: python-requests/2.28.1\r\n"
                                       "Accept: */*\r\n"
                                       "Content-Type: application/json\r\n"
                                       "X-Forwarded-For: 203.0.113.7\r\n"
                                       "X-Forwarded-Proto: https\r\n"
                                       "X-Forwarded-Host: www.contoso.com\r\n"
                                       "X-Request-Id: 0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f\r\n"
                                       "x-ms-client-request-id: myid\r\n"
                                       "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
                                       "Content-Length: 17\r\n"
                                       "\r\n");
}

TEST_CASE("an HTTP/1.0 request without Host, byte by byte") {
    CHECK(requested(head_of({"GET / HTTP/1.0"}), "", "/swagger.json", {"::1", "http", ""}) ==
          "GET /swagger.json HTTP/1.1\r\n"
          "Host: iris\r\n"
          "X-Forwarded-For: ::1\r\n"
          "X-Forwarded-Proto: http\r\n"
          "X-Request-Id: 0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f\r\n"
          "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
          "\r\n");
}

TEST_CASE("what a replica must not get from a client") {
    const std::vector<std::string> forbidden{"Authorization",
                                             "Connection",
                                             "Expect",
                                             "Forwarded",
                                             "Keep-Alive",
                                             "Proxy",
                                             "Proxy-Authorization",
                                             "Proxy-Connection",
                                             "TE",
                                             "Trailer",
                                             "Upgrade",
                                             "X-Forwarded-Port",
                                             "X-Forwarded-", // a name that is the prefix alone
                                             "X-Real-IP",
                                             "X-Forwarded-Client-Cert",
                                             "Client-Cert",
                                             "Client-Cert-Chain",
                                             "x-ms-request-id",
                                             "Proxy-Authenticate",
                                             "X-Hop",
                                             "Transfer-Encoding",
                                             "Proxy-Authentication-Info"};
    std::vector<std::string> lines{"POST / HTTP/1.1", "Host: a", "X-Kept: kept", "Content-Length: 3"};
    for (const auto& name : forbidden)
        if (name != "Connection" && name != "Expect" && name != "Transfer-Encoding") lines.push_back(name + ": theirs");
    lines.push_back("Connection: x-hop, te, keep-alive");
    lines.push_back("Expect: 100-continue");
    for (const std::string ours : {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id",
                                   "traceparent", "x-ms-client-request-id"})
        lines.push_back(ours + ": theirs");
    const auto head = requested(head_of(lines), "mine");
    INFO(head);
    CHECK(head.find("theirs") == std::string::npos);
    for (const auto& name : forbidden) CHECK(count_lines(head, name) == 0);
    for (const std::string once : {"Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id",
                                   "traceparent", "x-ms-client-request-id", "Content-Length", "X-Kept"})
        CHECK(count_lines(head, once) == 1);
}

TEST_CASE("exactly one framing is written") {
    const auto chunked = requested(head_of({"POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"}));
    CHECK(has_line(chunked, "Transfer-Encoding: chunked"));
    CHECK(count_lines(chunked, "Content-Length") == 0);
    const auto none = requested(head_of({"POST / HTTP/1.1", "Host: a"}));
    CHECK(has_line(none, "Content-Length: 0"));
    const auto read = requested(head_of({"GET / HTTP/1.1", "Host: a", "Content-Length: 0"}));
    CHECK(count_lines(read, "Content-Length") + count_lines(read, "Transfer-Encoding") == 0);
    const auto largest = requested(head_of({"POST / HTTP/1.1", "Host: a", "Content-Length: 18446744073709551615"}));
    CHECK(has_line(largest, "Content-Length: 18446744073709551615"));
}

TEST_CASE("the room that is asked for suffices for the largest head") {
    std::vector<std::string> lines{"POST /" + std::string(30000, 'p') + "?" + std::string(3000, 'q') + " HTTP/1.1",
                                   "Host: " + std::string(5000, 'h')};
    for (int i = 0; i < 98; ++i) lines.push_back("X-" + std::to_string(i) + ":" + std::string(200, 'v'));
    request_head parsed;
    const auto bytes = head_of(lines);
    REQUIRE(read_head(parsed, bytes, head_limits{}));
    const auto head =
        requested(bytes, std::string(60, 'c'), "/score", {std::string(45, 'f'), "https", parsed.host}); // checks inside
    CHECK(head.size() > 25000);
}

TEST_CASE("a reply, byte by byte") {
    const auto bytes = head_of({"HTTP/1.1 200 Fine", "Server: gunicorn", "Date: Mon, 02 Jan 2006 15:04:05 GMT",
                                "Content-Type: application/json", "Content-Length: 27", "Connection: keep-alive",
                                "x-request-id: theirs", "x-ms-request-id: theirs", "azureml-model-deployment: theirs",
                                "x-ms-client-request-id: theirs", "x-scoregate-fault: theirs"});
    reply_terms terms;
    terms.client = "abc";
    terms.spent = {1'234'567ns, 0ns, 61s + 7'089us};
    CHECK(replied(bytes, terms) == "HTTP/1.1 200 Fine\r\n"
                                   "Server: gunicorn\r\n"
                                   "Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n"
                                   "Content-Type: application/json\r\n"
                                   "x-request-id: 0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f\r\n"
                                   "x-ms-request-id: 0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f\r\n"
                                   "x-ms-client-request-id: abc\r\n"
                                   "azureml-model-deployment: blue\r\n"
                                   "Server-Timing: queue;dur=1.234, connect;dur=0.000, model;dur=61007.089\r\n"
                                   "Content-Length: 27\r\n"
                                   "\r\n");
}

TEST_CASE("a reply under another status has its reason and names its fault") {
    reply_terms terms;
    terms.status = 502;
    terms.fault_token = "model_error";
    const auto head = replied(head_of({"HTTP/1.1 500 Oops", "Content-Length: 3"}), terms);
    CHECK(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"));
    CHECK(has_line(head, "x-scoregate-fault: model_error"));
    CHECK(has_line(head, "Date: Thu, 01 Jan 1970 00:00:00 GMT"));
    CHECK(replied(head_of({"HTTP/1.1 299"})).starts_with("HTTP/1.1 299 \r\n"));
}

TEST_CASE("the length of a reply without body (RFC 9110 8.6)") {
    reply_terms to_head;
    to_head.to = method::head;
    const auto announced = replied(head_of({"HTTP/1.1 200 OK", "Content-Length: 5"}), to_head);
    CHECK(has_line(announced, "Content-Length: 5"));
    const auto chunked = replied(head_of({"HTTP/1.1 200 OK", "Transfer-Encoding: chunked"}), to_head);
    CHECK(count_lines(chunked, "Content-Length") == 0);
    CHECK(count_lines(chunked, "Transfer-Encoding") == 0);
    CHECK(has_line(replied(head_of({"HTTP/1.1 304 Not Modified", "Content-Length: 5"})), "Content-Length: 5"));
    CHECK(count_lines(replied(head_of({"HTTP/1.1 304 Not Modified"})), "Content-Length") == 0);
    CHECK(count_lines(replied(head_of({"HTTP/1.1 204 No Content", "Content-Length: 5"})), "Content-Length") == 0);
    CHECK(count_lines(replied(head_of({"HTTP/1.1 204 No Content"})), "Content-Length") == 0);
    CHECK(has_line(replied(head_of({"HTTP/1.1 200 OK", "Content-Length: 0"})), "Content-Length: 0"));
}

TEST_CASE("the framing of a reply is the one towards the client") {
    const auto until_close = head_of({"HTTP/1.1 200 OK"});
    reply_terms chunked;
    chunked.framed_as_received = false;
    chunked.how = kind::chunked;
    const auto rechunked = replied(until_close, chunked);
    CHECK(count_lines(rechunked, "Transfer-Encoding") == 1);
    CHECK(count_lines(rechunked, "Connection") == 0);
    reply_terms closing;
    closing.close = true;
    const auto close = replied(until_close, closing);
    CHECK(has_line(close, "Connection: close"));
    CHECK(count_lines(close, "Transfer-Encoding") + count_lines(close, "Content-Length") == 0);
    reply_terms old;
    old.announce_keep_alive = true;
    CHECK(has_line(replied(head_of({"HTTP/1.1 200 OK", "Content-Length: 1"}), old), "Connection: keep-alive"));
}

TEST_CASE("what a client must not get from a replica") {
    const auto head = replied(head_of({"HTTP/1.1 200 OK", "Content-Length: 1", "Connection: x-hop, close", "X-Hop: t",
                                       "Keep-Alive: t", "Proxy-Authenticate: t", "Trailer: t", "Upgrade: t",
                                       "Set-Cookie: a", "Set-Cookie: b", "Server-Timing: app;dur=3"}));
    for (const std::string name : {"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Trailer", "Upgrade", "Connection"})
        CHECK(count_lines(head, name) == 0);
    CHECK(has_line(head, "Set-Cookie: a"));
    CHECK(has_line(head, "Set-Cookie: b"));
    CHECK(has_line(head, "Server-Timing: app;dur=3")); // a list: ours is one more (RFC 9110 5.2)
    CHECK(count_lines(head, "Server-Timing") == 2);
}

TEST_CASE("an interim reply is passed on without framing, and without what is ours to say") {
    response_head head;
    const auto bytes = head_of({"HTTP/1.1 103 Early Hints", "Link: </a>; rel=preload", "Connection: x-hop", "X-Hop: a",
                                "Content-Length: 0", "Keep-Alive: b", "X-Request-Id: c", "X-MS-Request-Id: d",
                                "X-MS-Client-Request-Id: e", "X-Scoregate-Fault: f", "azureml-model-deployment: g",
                                "Access-Control-Allow-Origin: *", "Strict-Transport-Security: max-age=0"});
    REQUIRE(read_head(head, bytes, head_limits{}, method::get));
    base::buffer_pool pool;
    base::buffer out(pool);
    out.reserve(room_for(head));
    write_interim_head(out, head);
    CHECK(out.readable() == "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
}

TEST_CASE("every status of the fault table has a reason") {
    for (const auto& row : base::fault_table)
        if (row.status >= 100 && row.status != 499) CHECK_FALSE(reason_phrase(row.status).empty());
}

TEST_CASE("beneath a subtree the rest of the path is kept") {
    request_head head;
    const auto bytes = head_of({"PUT /v1/models/a/b?x=1 HTTP/1.1", "Host: a", "Authorization: Bearer k"});
    REQUIRE(read_head(head, bytes, head_limits{}));
    base::buffer_pool pool;
    base::buffer out(pool);
    const replica_target path("/m", "/a/b");
    out.reserve(room_for(head, path, "model:1"));
    write_request_head(out, head, path, "model:1", {"::1", "http", "a", true}, identity());
    const std::string sent(out.readable());
    CHECK_THAT(sent, Catch::StartsWith("PUT /m/a/b?x=1 HTTP/1.1\r\nHost: model:1\r\n"));
    CHECK(has_line(sent, "Authorization: Bearer k")); // forward_authorization
    CHECK(has_line(sent, "X-Forwarded-Host: a"));
    CHECK(has_line(sent, "Content-Length: 0")); // RFC 9110 8.6: the method gives a body a meaning
}

TEST_CASE("a managed endpoint tells the model's own status") {
    reply_terms terms;
    terms.status = 424;
    terms.fault_token = "model_error";
    terms.model_status = true;
    const auto head = replied(head_of({"HTTP/1.1 400 Bad Request", "Content-Length: 0"}), terms);
    CHECK_THAT(head, Catch::StartsWith("HTTP/1.1 424 Failed Dependency\r\n"));
    CHECK(has_line(head, "ms-azureml-model-error-statuscode: 400"));
    CHECK(has_line(head, "ms-azureml-model-error-reason: model_error"));
    terms.model_status = false;
    CHECK(count_lines(replied(head_of({"HTTP/1.1 400 Bad Request", "Content-Length: 0"}), terms),
                      "ms-azureml-model-error-statuscode") == 0);
}

TEST_CASE("who may read a reply is ours to say where CORS is on, else the replica's") {
    const auto bytes = head_of({"HTTP/1.1 200 OK", "Access-Control-Allow-Origin: https://theirs.example",
                                "access-control-allow-credentials: true", "Content-Length: 0"});
    const auto theirs = replied(bytes);
    CHECK(has_line(theirs, "Access-Control-Allow-Origin: https://theirs.example"));
    reply_terms terms;
    terms.cors = true;
    const auto nobodys = replied(bytes, terms);
    CHECK(nobodys.find("Access-Control") == std::string::npos); // whatever the replica says
    CHECK(has_line(nobodys, "Vary: Origin"));
    terms.allowed_origin = "https://ours.example";
    const auto ours = replied(bytes, terms);
    CHECK(has_line(ours, "Access-Control-Allow-Origin: https://ours.example"));
    CHECK(has_line(ours, "Vary: Origin"));
    CHECK(count_lines(ours, "Access-Control-Allow-Origin") == 1);
    CHECK(count_lines(ours, "Access-Control-Allow-Credentials") == 0);
}

TEST_CASE("Strict-Transport-Security is ours to say where it is set, else the replica's") {
    CHECK(transport_security_line(std::chrono::hours(24), false, false) ==
          "Strict-Transport-Security: max-age=86400\r\n");
    const auto ours = transport_security_line(std::chrono::seconds(31536000), true, true);
    CHECK(ours == "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n");

    const std::string bytes = "HTTP/1.1 200 OK\r\nSTRICT-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n";
    CHECK(has_line(replied(bytes), "STRICT-Transport-Security: max-age=1"));
    reply_terms terms;
    terms.transport_security = ours;
    const auto set = replied(bytes, terms);
    CHECK(has_line(set, ours.substr(0, ours.size() - 2)));
    CHECK(count_lines(set, "strict-transport-security") == 1); // RFC 6797 7.1
    terms.transport_security = "";                             // set, but this reply goes out in clear
    CHECK(count_lines(replied(bytes, terms), "strict-transport-security") == 0);
}

TEST_CASE("a replica is told of the certificate that was verified, and of none that a client claims") {
    const auto bytes = head_of({"GET / HTTP/1.1", "Host: a", "X-Forwarded-Client-Cert: theirs", "client-cert: theirs"});
    const auto told = requested(bytes, "", "/", {"::1", "https", "a", false, std::string_view("Hash=00")});
    CHECK(has_line(told, "X-Forwarded-Client-Cert: Hash=00"));
    CHECK(count_lines(told, "x-forwarded-client-cert") == 1);
    CHECK(count_lines(told, "client-cert") == 0);
}
