#include "unit/http/heads.hpp"

#include <catch2/catch.hpp>

using namespace scoregate;
using namespace scoregate::http;
using kind = body_framing::kind;

namespace {

constexpr head_limits ordinary{};

struct expected_reply {
    std::string bytes;
    method to;
    kind how;
    std::uint64_t length;
    bool keep_alive;
};

} // namespace

TEST_CASE("status line: what is refused") {
    for (const std::string line : {"",
                                   "HTTP/1.1",
                                   "HTTP/1.1 20",
                                   "HTTP/1.1 2000 OK",
                                   "HTTP/1.1 200OK",
                                   "HTTP/1.1  200 OK",
                                   "HTTP/2 200 OK",
                                   "HTTP/2.0 200 OK",
                                   "HTTP/1.2 200 OK",
                                   "http/1.1 200 OK",
                                   "HTTP/1.1 099 No",
                                   "HTTP/1.1 600 No",
                                   "HTTP/1.1 -20 No",
                                   "HTTP/1.1 +20 No",
                                   "HTTP/1.1 2x0 No",
                                   "HTTP/1.1 200\tOK",
                                   "HTTP/1.1 200 O\x01K",
                                   "HTTP/1.1 200 O\rK",
                                   "SSH-2.0-OpenSSH_9.2",
                                   " HTTP/1.1 200 OK"}) {
        INFO(line);
        response_head head;
        const auto parsed = read_head(head, head_of({line}), ordinary, method::get);
        REQUIRE_FALSE(parsed);
        CHECK(named(parsed.error().kind) == "replica_bad_response");
    }
}

TEST_CASE("status line: what is accepted") {
    response_head head;
    const auto ordinary_line = head_of({"HTTP/1.1 503 Not  today"});
    REQUIRE(read_head(head, ordinary_line, ordinary, method::get));
    CHECK(head.status == 503);
    CHECK(head.reason == "Not  today");
    CHECK(head.minor_version == 1);
    for (const std::string line : {"HTTP/1.0 599", "HTTP/1.0 599 "}) {
        const auto bytes = head_of({line});
        REQUIRE(read_head(head, bytes, ordinary, method::get));
        CHECK(head.status == 599);
        CHECK(head.reason.empty());
        CHECK(head.minor_version == 0);
    }
}

TEST_CASE("framing of a reply (RFC 9112 6.3)") {
    const std::string ok = "HTTP/1.1 200 OK";
    const std::vector<expected_reply> rows{
        {head_of({ok, "Content-Length: 5"}), method::get, kind::length, 5, true},
        {head_of({ok, "Content-Length: 0"}), method::get, kind::none, 0, true},
        {head_of({ok, "Transfer-Encoding: Chunked"}), method::post, kind::chunked, 0, true},
        {head_of({ok}), method::get, kind::until_close, 0, false},
        {head_of({ok, "Connection: keep-alive"}), method::get, kind::until_close, 0, false},
        {head_of({ok, "Content-Length: 5", "Connection: close"}), method::get, kind::length, 5, false},
        {head_of({ok, "Content-Length: 5", "Connection: x, Close"}), method::get, kind::length, 5, false},
        {head_of({ok, "Content-Length: 5"}), method::head, kind::none, 0, true},
        {head_of({ok, "Transfer-Encoding: chunked"}), method::head, kind::none, 0, true},
        {head_of({ok}), method::head, kind::none, 0, true},
        {head_of({"HTTP/1.1 204 No Content"}), method::get, kind::none, 0, true},
        {head_of({"HTTP/1.1 204 No Content", "Content-Length: 0"}), method::get, kind::none, 0, true},
        {head_of({"HTTP/1.1 204 No Content", "Content-Length: 5"}), method::get, kind::none, 0, false},
        {head_of({"HTTP/1.1 204 No Content", "Transfer-Encoding: chunked"}), method::head, kind::none, 0, false},
        {head_of({"HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked"}), method::get, kind::none, 0, false},
        {head_of({"HTTP/1.1 103 Early Hints", "Transfer-Encoding: chunked"}), method::get, kind::none, 0, false},
        {head_of({"HTTP/1.1 100 Continue", "Content-Length: 5"}), method::get, kind::none, 0, false},
        {head_of({"HTTP/1.1 100 Continue", "Content-Length: 0"}), method::get, kind::none, 0, true},
        {head_of({"HTTP/1.1 304 Not Modified", "Content-Length: 5"}), method::get, kind::none, 0, true},
        {head_of({"HTTP/1.1 100 Continue"}), method::post, kind::none, 0, true},
        {head_of({"HTTP/1.1 103 Early Hints", "Link: </a>"}), method::post, kind::none, 0, true},
        {head_of({"HTTP/1.1 205 Reset", "Content-Length: 0"}), method::post, kind::none, 0, true},
        {head_of({"HTTP/1.0 200 OK", "Content-Length: 5"}), method::get, kind::length, 5, false},
        {head_of({"HTTP/1.0 200 OK", "Content-Length: 5", "Connection: keep-alive"}), method::get, kind::length, 5,
         true},
        {head_of({"HTTP/1.0 200 OK"}), method::get, kind::until_close, 0, false},
    };
    for (const auto& row : rows) {
        INFO(row.bytes);
        response_head head;
        REQUIRE(read_head(head, row.bytes, ordinary, row.to));
        CHECK(head.body.how == row.how);
        CHECK(head.body.length == row.length);
        CHECK(head.keep_alive == row.keep_alive);
        CHECK(head.announced_length.has_value() == (row.bytes.find("Content-Length") != std::string::npos));
    }
}

TEST_CASE("a reply that could be read in two ways is refused") {
    const std::vector<std::vector<std::string>> rows{
        {"Content-Length: 5", "Content-Length: 5"},
        {"Content-Length: 5", "Content-Length: 6"},
        {"Content-Length: 5, 5"},
        {"Content-Length: -1"},
        {"Content-Length:"},
        {"Content-Length: 18446744073709551616"},
        {"Content-Length: 5", "Transfer-Encoding: chunked"},
        {"Transfer-Encoding: chunked", "Content-Length: 5"},
        {"Transfer-Encoding: gzip"},
        {"Transfer-Encoding: gzip, chunked"},
        {"Transfer-Encoding: chunked, chunked"},
        {"Transfer-Encoding: chunked", "Transfer-Encoding: chunked"},
        {"Transfer-Encoding : chunked"},
        {"Content-Length : 5"},
        {"X: a", " b"},
        {"X: a\rb"},
        {std::string("X: a\0b", 6)},
        {"no colon"},
        {"Connection: content-length", "Content-Length: 5"},
        {"Connection: transfer-encoding", "Transfer-Encoding: chunked"},
    };
    for (const auto& fields : rows)
        for (const auto to : {method::get, method::head}) {
            std::vector<std::string> lines{"HTTP/1.1 200 OK"};
            lines.insert(lines.end(), fields.begin(), fields.end());
            INFO(head_of(lines));
            response_head head;
            const auto parsed = read_head(head, head_of(lines), ordinary, to);
            REQUIRE_FALSE(parsed);
            CHECK(named(parsed.error().kind) == "replica_bad_response");
            CHECK(std::string_view(parsed.error().detail) != "");
        }
    response_head head;
    const auto old = head_of({"HTTP/1.0 200 OK", "Transfer-Encoding: chunked"});
    CHECK_FALSE(read_head(head, old, ordinary, method::get));
}

TEST_CASE("a replica's fields may be as it likes where they cannot mislead") {
    response_head head;
    const auto bytes =
        head_of({"HTTP/1.1 200 OK", "Content-Length: 2", "x_model: a", "X-Forwarded-For: b", "Set-Cookie: a", "Date: d",
                 "Set-Cookie: b", "Connection: x-hop, upgrade", "Host: odd", "Host: odder"});
    REQUIRE(read_head(head, bytes, ordinary, method::get));
    CHECK(head.has_date);
    CHECK(head.fields.size() == 9);
    CHECK(head.nominated == std::vector<std::string_view>{"x-hop"});
}

TEST_CASE("a reply of too many fields is the replica's failure") {
    response_head head;
    const auto bytes = head_of({"HTTP/1.1 200 OK", "A: a", "B: b"});
    CHECK(read_head(head, bytes, {bytes.size(), 2}, method::get));
    const auto parsed = read_head(head, bytes, {bytes.size(), 1}, method::get);
    REQUIRE_FALSE(parsed);
    CHECK(named(parsed.error().kind) == "replica_bad_response");
}

TEST_CASE("nothing of one reply is seen in the next") {
    const auto rich = head_of({"HTTP/1.1 200 OK", "Content-Length: 7", "Date: d", "Connection: close, x-hop"});
    const auto chunked = head_of({"HTTP/1.1 500 Oops", "Transfer-Encoding: chunked"});
    const auto bare = head_of({"HTTP/1.0 200"});
    const auto state = [](const response_head& head) {
        std::string all = std::to_string(head.status) + '|' + std::to_string(head.minor_version) + '|' +
                          std::to_string(static_cast<int>(head.body.how)) + '|' + std::to_string(head.body.length) +
                          '|' + std::to_string(head.announced_length.value_or(99)) + '|' +
                          std::to_string(head.keep_alive) + std::to_string(head.has_date) + '|';
        all.append(head.reason).append("|");
        for (const auto& each : head.fields) all.append(each.name).append("=").append(each.value).append("|");
        for (const auto each : head.nominated) all.append(each).append("|");
        return all;
    };
    for (const auto& before : {rich, chunked, bare})
        for (const auto& after : {rich, chunked, bare}) {
            response_head fresh, reused;
            REQUIRE(read_head(reused, before, ordinary, method::get));
            REQUIRE(read_head(fresh, after, ordinary, method::get));
            REQUIRE(read_head(reused, after, ordinary, method::get));
            CHECK(state(reused) == state(fresh));
        }
}
