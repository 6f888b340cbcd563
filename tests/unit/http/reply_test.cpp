#include "http/reply.hpp"
#include "unit/http/heads.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace scoregate;
using namespace scoregate::http;

namespace {

constexpr std::string_view date = "Thu, 01 Jan 1970 00:00:00 GMT";
constexpr std::string_view id = "0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f";

request_identity identity(std::string_view client = {}) {
    request_identity made;
    std::copy(id.begin(), id.end(), made.id.bytes.begin());
    made.id.size = id.size();
    made.client = clean_client_id(client);
    return made;
}

// A reply as a client reads it: our own parser is as strict as any.
struct read_reply {
    response_head head;
    std::string bytes;
    std::string body;
    std::string value(std::string_view name) const {
        std::string found;
        for (const auto& each : head.fields)
            if (equals_ignoring_case(each.name, name)) found += (found.empty() ? "" : " & ") + std::string(each.value);
        return found;
    }
};

std::unique_ptr<read_reply> read(std::string bytes, method to = method::post) {
    auto reply = std::make_unique<read_reply>();
    reply->bytes = std::move(bytes);
    REQUIRE(read_head(reply->head, reply->bytes, head_limits{}, to));
    reply->body = reply->bytes.substr(reply->bytes.find("\r\n\r\n") + 4);
    return reply;
}

} // namespace

TEST_CASE("every fault is told in the one form") {
    const auto who = identity("client-7");
    for (const auto& row : base::fault_table) {
        if (row.kind == fault::none || row.status < 100 || row.status == 499) continue; // nobody to tell
        INFO(row.token);
        const auto reply = read(fault_reply({row.kind, "what was wrong", 4711}, "iris", {who, date}));
        CHECK(reply->head.status == row.status);
        CHECK(reply->head.reason == reason_phrase(row.status));
        CHECK(reply->value("content-type") == "application/json");
        CHECK(reply->value("x-scoregate-fault") == row.token);
        CHECK(reply->value("x-request-id") == id);
        CHECK(reply->value("x-ms-request-id") == id);
        CHECK(reply->value("x-ms-client-request-id") == "client-7");
        CHECK(reply->value("date") == date);
        CHECK(reply->head.announced_length == reply->body.size());
        CHECK(reply->head.keep_alive);

        const auto json = nlohmann::json::parse(reply->body, nullptr, false);
        REQUIRE(json.is_object());
        const auto error = json.at("error");
        CHECK(error.size() == 4);
        CHECK(error.at("code") == std::string(row.token));
        CHECK(error.at("side") == std::string(base::to_string(row.blame)));
        CHECK(error.at("request_id") == std::string(id));
        const auto message = error.at("message").get<std::string>();
        CHECK_FALSE(message.empty());
        CHECK(message.find('{') == std::string::npos); // every mark was replaced
        const auto said = [&](std::string_view mark, std::string_view text) {
            if (row.message.find(mark) != std::string_view::npos)
                CHECK_THAT(message, Catch::Contains(std::string(text)));
        };
        said("{service}", "iris");
        said("{detail}", "what was wrong");
        said("{limit}", "4711");
    }
}

TEST_CASE("what a status asks for beside its body") {
    const auto who = identity();
    for (const auto& row : base::fault_table) {
        if (row.kind == fault::none || row.status < 100 || row.status == 499) continue;
        INFO(row.token);
        const auto reply = read(fault_reply({row.kind, "GET, PUT"}, "iris", {who, date}));
        CHECK(reply->value("allow") == (row.status == 405 ? "GET, PUT" : ""));          // RFC 9110 15.5.6
        CHECK(reply->value("www-authenticate") == (row.status == 401 ? "Bearer" : "")); // RFC 9110 15.5.2
        CHECK(reply->value("retry-after").empty());
        CHECK(read(fault_reply({row.kind, "", 0, 17}, "iris", {who, date}))->value("retry-after") == "17");
        CHECK(reply->value("x-ms-client-request-id").empty());
    }
}

TEST_CASE("a reply that closes says so, and HEAD gets the length but no body") {
    const auto who = identity();
    const auto closing = read(fault_reply({fault::bad_request, "x"}, "", {who, date, true}));
    CHECK(closing->value("connection") == "close");
    CHECK_FALSE(closing->head.keep_alive);

    const auto whole = read(fault_reply({fault::no_route, "x"}, "", {who, date}));
    const auto head_only = read(fault_reply({fault::no_route, "x"}, "", {who, date, false, true}), method::head);
    CHECK(head_only->body.empty());
    CHECK(head_only->bytes == whole->bytes.substr(0, whole->bytes.size() - whole->body.size()));
}

TEST_CASE("the public health answer") {
    const auto who = identity();
    const auto reply = read(healthy_reply({who, date}));
    CHECK(reply->head.status == 200);
    CHECK(reply->body == "Healthy");
    CHECK(reply->value("content-type") == "text/plain");
    const auto head_only = read(healthy_reply({who, date, false, true}), method::head);
    CHECK(head_only->body.empty());
    CHECK(head_only->head.announced_length == 7);
}

TEST_CASE("the way to HTTPS") {
    CHECK(https_location("www.contoso.com", 443, "/score", "?a=b") == "https://www.contoso.com/score?a=b");
    CHECK(https_location("www.contoso.com", 8443, "/", "") == "https://www.contoso.com:8443/");
    CHECK(https_location("2001:db8::1", 443, "/score", "") == "https://[2001:db8::1]/score");
    CHECK(https_location("2001:db8::1", 8443, "/score", "?") == "https://[2001:db8::1]:8443/score?");
    CHECK(https_location("127.0.0.1", 80, "/", "") == "https://127.0.0.1:80/");

    const auto who = identity();
    const auto reply = read(redirect_reply("https://a/score", {who, date}));
    CHECK(reply->head.status == 308);
    CHECK(reply->value("location") == "https://a/score");
    CHECK(reply->head.announced_length == 0U);
    CHECK(reply->body.empty());
    CHECK(reply->value("content-type").empty());
}

TEST_CASE("HTTP on the TLS port is told what is wrong") {
    const auto reply = read(plain_http_on_tls_reply(date));
    CHECK(reply->head.status == 400);
    CHECK_FALSE(reply->head.keep_alive);
    CHECK(reply->head.announced_length == reply->body.size());
    CHECK_THAT(reply->body, Catch::Contains("https://"));
}

TEST_CASE("managed endpoints have statuses of their own for what fails behind them") {
    const auto who = identity();
    own_reply about{who, date};
    about.mapping = base::error_mapping::managed;
    CHECK(read(fault_reply({fault::queue_full}, "iris", about))->head.status == 429);
    CHECK(read(fault_reply({fault::request_timeout}, "iris", about))->head.status == 408);
    const auto reply = read(fault_reply({fault::replica_closed}, "iris", about));
    CHECK(reply->head.status == 424);
    CHECK(reply->head.reason == "Failed Dependency");
    CHECK(reply->value("x-scoregate-fault") == "replica_closed");
}

TEST_CASE("pages of an allowed origin may read what is told, errors too") {
    const auto who = identity();
    own_reply about{who, date};
    CHECK(read(fault_reply({fault::auth_wrong}, "iris", about))->value("access-control-allow-origin").empty());
    about.cors = true;
    about.allowed_origin = "https://a.example";
    const auto reply = read(fault_reply({fault::auth_wrong}, "iris", about));
    CHECK(reply->value("access-control-allow-origin") == "https://a.example");
    CHECK(reply->value("vary") == "Origin");
    CHECK_THAT(std::string(reply->value("access-control-expose-headers")), Catch::Contains("x-scoregate-fault"));
    about.allowed_origin = "*";
    const auto open = read(fault_reply({fault::auth_wrong}, "iris", about));
    CHECK(open->value("access-control-allow-origin") == "*");
    CHECK(open->value("vary").empty());
}

TEST_CASE("the answer to a preflight") {
    const auto who = identity();
    own_reply about{who, date};
    about.cors = true;
    about.allowed_origin = "https://a.example";
    const auto reply = read(preflight_reply("GET, POST", "authorization, content-type", about));
    CHECK(reply->head.status == 204);
    CHECK_FALSE(reply->head.announced_length); // RFC 9110 8.6
    CHECK(reply->body.empty());
    CHECK(reply->value("access-control-allow-origin") == "https://a.example");
    CHECK(reply->value("access-control-allow-methods") == "GET, POST");
    CHECK(reply->value("access-control-allow-headers") == "authorization, content-type");
    CHECK(reply->value("access-control-max-age") == "600");
    CHECK(read(preflight_reply("POST", "", about))->value("access-control-allow-headers").empty());
}

TEST_CASE("every reply of ours can tell browsers to come by HTTPS alone") {
    const auto who = identity();
    own_reply about{who, date};
    CHECK(read(healthy_reply(about))->value("strict-transport-security").empty());
    about.transport_security = "Strict-Transport-Security: max-age=60\r\n";
    for (const auto& each : {healthy_reply(about), redirect_reply("https://www.contoso.com/", about),
                             preflight_reply("POST", "", about), fault_reply({fault::auth_wrong}, "iris", about)})
        CHECK(read(each)->value("strict-transport-security") == "max-age=60");
}
