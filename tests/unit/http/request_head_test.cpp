#include "unit/http/heads.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace scoregate;
using namespace scoregate::http;
using kind = body_framing::kind;

namespace {

constexpr head_limits ordinary{};

// A whole head with `line` among its fields.
std::string with(const std::string& line) { return head_of({"POST /score HTTP/1.1", "Host: a", line}); }
std::string with(const std::string& one, const std::string& other) {
    return head_of({"POST /score HTTP/1.1", "Host: a", one, other});
}
std::string requesting(const std::string& line) { return head_of({line, "Host: a"}); }

struct refused_head {
    std::string what;
    std::string bytes;
    std::string because; // part of the message
};

void check_refused(const refused_head& row) {
    INFO(row.what);
    request_head head;
    const auto parsed = read_head(head, row.bytes, ordinary);
    REQUIRE_FALSE(parsed);
    CHECK(named(parsed.error().kind) == "bad_request");
    CHECK_THAT(parsed.error().detail, Catch::Contains(row.because));
}

} // namespace

TEST_CASE("request line: what is refused") {
    const std::vector<refused_head> rows{
        {"nothing before the fields", head_of({"", "Host: a"}), "RFC 9112 3)"},
        {"one word", requesting("GET"), "RFC 9112 3)"},
        {"HTTP/0.9", requesting("GET /score"), "RFC 9112 3)"},
        {"no method", requesting(" /score HTTP/1.1"), "RFC 9112 3)"},
        {"two spaces before the target", requesting("GET  /score HTTP/1.1"), "RFC 9112 3.2"},
        {"two spaces behind the target", requesting("GET /score  HTTP/1.1"), "RFC 9112 3.2"},
        {"a space in the target", requesting("GET /a b HTTP/1.1"), "RFC 9112 3.2"},
        {"a tab instead of a space", requesting("GET\t/score HTTP/1.1"), "RFC 9112 3)"},
        {"a space behind the version", requesting("GET /score HTTP/1.1 "), "RFC 9112"},
        {"method is no token", requesting("GE(T /score HTTP/1.1"), "RFC 9110 9.1"},
        {"control character in the method", requesting("GE\x01T /score HTTP/1.1"), "RFC 9110 9.1"},
        {"high byte in the method", requesting("G\xc3\x89T /score HTTP/1.1"), "RFC 9110 9.1"},
        {"HTTP/2.0", requesting("GET /score HTTP/2.0"), "RFC 9112 2.3"},
        {"HTTP/1.2", requesting("GET /score HTTP/1.2"), "RFC 9112 2.3"},
        {"HTTP/0.9 written out", requesting("GET /score HTTP/0.9"), "RFC 9112 2.3"},
        {"HTTP/1.10", requesting("GET /score HTTP/1.10"), "RFC 9112 2.3"},
        {"HTTP/1", requesting("GET /score HTTP/1"), "RFC 9112 2.3"},
        {"http/1.1 in lower case", requesting("GET /score http/1.1"), "RFC 9112 2.3"},
        {"HTTP/01.1", requesting("GET /score HTTP/01.1"), "RFC 9112 2.3"},
        {"a CR more at its end", "GET /score HTTP/1.1\r\r\nHost: a\r\n\r\n", "RFC 9112 2.3"},
        {"CR in the target", requesting("GET /sc\rore HTTP/1.1"), "RFC 9112 3.2"},
        {"NUL in the target", requesting(std::string("GET /\0 HTTP/1.1", 15)), "RFC 9112 3.2"},
        {"high byte in the target", requesting("GET /\xc3\xa9 HTTP/1.1"), "RFC 9112 3.2"},
        {"DEL in the target", requesting("GET /\x7f HTTP/1.1"), "RFC 9112 3.2"},
        {"fragment", requesting("GET /score#x HTTP/1.1"), "RFC 9112 3.2"},
        {"quote in the target", requesting("GET /score?a=\"b\" HTTP/1.1"), "RFC 9112 3.2"},
        {"angle bracket in the target", requesting("GET /<a> HTTP/1.1"), "RFC 9112 3.2"},
        {"backslash in the target", requesting("GET /a\\b HTTP/1.1"), "RFC 9112 3.2"},
        {"GET of asterisk", requesting("GET * HTTP/1.1"), "RFC 9112 3.2.1"},
        {"an unknown method of asterisk", requesting("BREW * HTTP/1.1"), "RFC 9112 3.2.1"},
        {"OPTIONS of a relative path", requesting("OPTIONS score HTTP/1.1"), "RFC 9112 3.2.1"},
        {"asterisk with a query", requesting("OPTIONS *?a HTTP/1.1"), "RFC 9112 3.2.1"},
        {"CONNECT in authority-form", requesting("CONNECT a:443 HTTP/1.1"), "RFC 9110 9.3.6"},
        {"CONNECT in origin-form", requesting("CONNECT /score HTTP/1.1"), "RFC 9110 9.3.6"},
        {"a dot segment", requesting("GET /a/../b HTTP/1.1"), "RFC 3986 3.3"},
        {"an escaped slash in absolute-form", requesting("GET http://a/b%2fc HTTP/1.1"), "RFC 3986 7.3"},
        {"POST to a relative path", requesting("POST score HTTP/1.1"), "RFC 9112 3.2.1"},
        {"absolute-form of another scheme", requesting("GET ftp://a/score HTTP/1.1"), "RFC 9112 3.2.1"},
        {"absolute-form without authority", requesting("GET http:///score HTTP/1.1"), "RFC 9112 3.2.2"},
        {"absolute-form without authority, with a query", requesting("GET http://?q HTTP/1.1"), "RFC 9112 3.2.2"},
        {"absolute-form of another host", requesting("GET http://b/score HTTP/1.1"), "RFC 9112 3.2.2"},
        {"absolute-form of another port", requesting("GET http://a:81/score HTTP/1.1"), "RFC 9112 3.2.2"},
        {"absolute-form with user", head_of({"GET http://u@a/ HTTP/1.1", "Host: u@a"}), "RFC 9112 3.2"},
        {"absolute-form, HTTP/1.0, invalid authority", head_of({"GET http://u@a/ HTTP/1.0"}), "RFC 9112 3.2.2"},
    };
    for (const auto& row : rows) check_refused(row);
}

TEST_CASE("request line: what is accepted, and how it is taken apart") {
    struct row {
        std::string line;
        method verb;
        std::string path, query;
    };
    const std::vector<row> rows{
        {"GET / HTTP/1.1", method::get, "/", ""},
        {"HEAD /score HTTP/1.1", method::head, "/score", ""},
        {"POST /score?a=b&c HTTP/1.1", method::post, "/score", "?a=b&c"},
        {"POST /score? HTTP/1.1", method::post, "/score", "?"},
        {"GET /a/%62%2d%c3%a9;e?%62/../%zz HTTP/1.1", method::get, "/a/b-%C3%A9;e", "?%62/../%zz"},
        {"GET /?a?b=/{}|[]' HTTP/1.1", method::get, "/", "?a?b=/{}|[]'"},
        {"GET /a:b@c HTTP/1.1", method::get, "/a:b@c", ""},
        {"PUT / HTTP/1.1", method::put, "/", ""},
        {"PATCH / HTTP/1.1", method::patch, "/", ""},
        {"DELETE / HTTP/1.1", method::remove, "/", ""},
        {"get / HTTP/1.1", method::other, "/", ""}, // methods are case-sensitive (RFC 9110 9.1)
        {"OPTIONS * HTTP/1.1", method::options, "*", ""},
        {"TRACE /score HTTP/1.1", method::other, "/score", ""},
        {"M-SEARCH!#$%&'*+.^_`|~9 / HTTP/1.1", method::other, "/", ""},
        {"GET http://a/score?x HTTP/1.1", method::get, "/score", "?x"},
        {"GET http://a?x/y HTTP/1.1", method::get, "/", "?x/y"},
        {"GET HTTPS://A HTTP/1.1", method::get, "/", ""},
        {"OPTIONS http://a HTTP/1.1", method::options, "/", ""},
    };
    for (const auto& row : rows) {
        INFO(row.line);
        request_head head;
        const auto bytes = requesting(row.line);
        const auto parsed = read_head(head, bytes, ordinary);
        REQUIRE(parsed);
        CHECK(head.verb == row.verb);
        CHECK(head.method_name == row.line.substr(0, row.line.find(' ')));
        CHECK(head.path == row.path);
        CHECK(head.query == row.query);
        CHECK(head.minor_version == 1);
        CHECK(equals_ignoring_case(head.host, "a"));
    }
}

TEST_CASE("the authority of an absolute target is the host, also without a Host field") {
    request_head head;
    const auto bytes = head_of({"GET http://Models.example:8080/score HTTP/1.0"});
    REQUIRE(read_head(head, bytes, ordinary));
    CHECK(head.host == "Models.example:8080");
    CHECK(head.path == "/score");
    const auto same = head_of({"GET http://[::1]:8080/score HTTP/1.1", "Host: [::1]:8080"});
    REQUIRE(read_head(head, same, ordinary));
    CHECK(head.host == "[::1]:8080");
}

TEST_CASE("field lines: what is refused") {
    const std::vector<refused_head> rows{
        {"no colon", with("X-A"), "RFC 9112 5)"},
        {"no name", with(": a"), "RFC 9112 5)"},
        {"space before the colon", with("X-A : a"), "RFC 9112 5.1"},
        {"tab before the colon", with("X-A\t: a"), "RFC 9112 5.1"},
        {"space within the name", with("X A: a"), "RFC 9112 5.1"},
        {"parenthesis in the name", with("X(A): a"), "RFC 9112 5.1"},
        {"control character in the name", with("X\x01: a"), "RFC 9112 5.1"},
        {"NUL in the name", with(std::string("X\0A: a", 6)), "RFC 9112 5.1"},
        {"high byte in the name", with("X\xe9: a"), "RFC 9112 5.1"},
        {"CR in the name", with("X\r: a"), "RFC 9112 5.1"},
        {"Content-Length with a space before the colon", with("Content-Length : 5"), "RFC 9112 5.1"},
        {"fold with a space", with("X-A: a", " b"), "RFC 9112 5.2"},
        {"fold with a tab", with("X-A: a", "\tb"), "RFC 9112 5.2"},
        {"fold as the first line", head_of({"GET / HTTP/1.1", " Host: a"}), "RFC 9112 5.2"},
        {"a line of one space", with(" "), "RFC 9112 5.2"},
        {"CR in a value", with("X-A: a\rb"), "RFC 9110 5.5"},
        {"CR at the end of a value", with("X-A: a\r"), "RFC 9110 5.5"},
        {"NUL in a value", with(std::string("X-A: a\0b", 8)), "RFC 9110 5.5"},
        {"vertical tab in a value", with("X-A: a\vb"), "RFC 9110 5.5"},
        {"DEL in a value", with("X-A: a\x7f"), "RFC 9110 5.5"},
        {"underscore in the name", with("X_A: a"), "underscore"},
        {"Content_Length", with("Content_Length: 5"), "underscore"},
        {"X-Forwarded_For", with("X-Forwarded_For: a"), "underscore"},
        {"a field of ours but for its end", with("X-Forwarded-Client_Cert: a"), "underscore"},
        {"a field of CORS but for its end", with("Access-Control-Request_Method: a"), "underscore"},
        {"bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "RFC 9112 2.2"},
        {"bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "RFC 9112 2.2"},
        {"bare LF as the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", "RFC 9112 2.2"},
        {"LF first of all", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "RFC 9112 2.2"},
    };
    for (const auto& row : rows) check_refused(row);
}

TEST_CASE("field lines: every byte in a name and in a value") {
    const std::string token_marks = "!#$%&'*+-.^`|~"; // '_' is a token character, but refused for another reason
    for (unsigned c = 0; c < 256; ++c) {
        if (c == '\n' || c == ':') continue;
        const auto byte = static_cast<char>(c);
        CAPTURE(c);
        request_head head;
        const bool in_token = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                              (byte >= 'A' && byte <= 'Z') ||
                              (byte != 0 && token_marks.find(byte) != std::string::npos);
        CHECK(read_head(head, with(std::string("Xy") + byte + "z: a"), ordinary).has_value() == in_token);
        const bool in_value = c == '\t' || (c >= 0x20 && c != 0x7f);
        CHECK(read_head(head, with(std::string("Xy: a") + byte + "b"), ordinary).has_value() == in_value);
    }
}

TEST_CASE("field lines: values are trimmed, kept otherwise, and may be empty") {
    request_head head;
    const auto bytes = head_of({"GET / HTTP/1.1", "Host:\t a \t", "X-Empty:", "X-Blank: \t ", "X-Colon: a:b",
                                "X-High: \xc3\xa9", "X-Inner: a \t b"});
    REQUIRE(read_head(head, bytes, ordinary));
    REQUIRE(head.fields.size() == 6);
    CHECK(head.host == "a");
    CHECK(head.fields[1].value.empty());
    CHECK(head.fields[2].value.empty());
    CHECK(head.fields[3].value == "a:b");
    CHECK(head.fields[4].value == "\xc3\xa9");
    CHECK(head.fields[5].value == "a \t b");
    CHECK(head.fields[5].name == "X-Inner");
}

TEST_CASE("Content-Length: one plain decimal number") {
    const std::string length = "RFC 9110 8.6";
    const std::vector<refused_head> rows{
        {"empty", with("Content-Length:"), length},
        {"plus", with("Content-Length: +5"), length},
        {"minus", with("Content-Length: -5"), length},
        {"minus zero", with("Content-Length: -0"), length},
        {"hexadecimal", with("Content-Length: 0x5"), length},
        {"hexadecimal digit", with("Content-Length: a"), length},
        {"fraction", with("Content-Length: 5.0"), length},
        {"exponent", with("Content-Length: 1e3"), length},
        {"list of equal numbers", with("Content-Length: 5, 5"), length},
        {"list with an empty element", with("Content-Length: 5,"), length},
        {"two numbers", with("Content-Length: 5 5"), length},
        {"quoted", with("Content-Length: \"5\""), length},
        {"one over 64 bits", with("Content-Length: 18446744073709551616"), length},
        {"far over 64 bits", with("Content-Length: 99999999999999999999999"), length},
        {"repeated, equal", with("Content-Length: 5", "Content-Length: 5"), "RFC 9112 6.3"},
        {"repeated, different", with("Content-Length: 5", "content-length: 6"), "RFC 9112 6.3"},
        {"repeated zeros", with("Content-Length: 0", "Content-Length: 0"), "RFC 9112 6.3"},
    };
    for (const auto& row : rows) check_refused(row);

    struct accepted {
        std::string value;
        kind how;
        std::uint64_t length;
    };
    const std::vector<accepted> good{
        {"0", kind::none, 0},      {"00", kind::none, 0},
        {"5", kind::length, 5},    {"  5\t", kind::length, 5},
        {"0005", kind::length, 5}, {"18446744073709551615", kind::length, ~std::uint64_t{0}}};
    for (const auto& row : good) {
        INFO(row.value);
        request_head head;
        const auto bytes = with("cOnTeNt-LeNgTh: " + row.value);
        REQUIRE(read_head(head, bytes, ordinary));
        CHECK(head.body.how == row.how);
        CHECK(head.body.length == row.length);
    }
}

TEST_CASE("Transfer-Encoding: exactly chunked, with HTTP/1.1, without a length") {
    const std::string exactly = "RFC 9112 6.1";
    const std::vector<refused_head> rows{
        {"empty", with("Transfer-Encoding:"), exactly},
        {"identity", with("Transfer-Encoding: identity"), exactly},
        {"gzip", with("Transfer-Encoding: gzip"), exactly},
        {"gzip, chunked", with("Transfer-Encoding: gzip, chunked"), exactly},
        {"chunked, gzip", with("Transfer-Encoding: chunked, gzip"), exactly},
        {"chunked twice in one", with("Transfer-Encoding: chunked, chunked"), exactly},
        {"chunked with a comma", with("Transfer-Encoding: chunked,"), exactly},
        {"chunked with a parameter", with("Transfer-Encoding: chunked;q=1"), exactly},
        {"xchunked", with("Transfer-Encoding: xchunked"), exactly},
        {"quoted", with("Transfer-Encoding: \"chunked\""), exactly},
        {"repeated", with("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), exactly},
        {"gzip and chunked in two", with("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), exactly},
        {"with a length behind it", with("Transfer-Encoding: chunked", "Content-Length: 5"), exactly},
        {"with a length before it", with("Content-Length: 5", "Transfer-Encoding: chunked"), exactly},
        {"with a length of zero", with("Content-Length: 0", "Transfer-Encoding: chunked"), exactly},
        {"HTTP/1.0", head_of({"POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"}), exactly},
    };
    for (const auto& row : rows) check_refused(row);

    for (const std::string value : {"chunked", "Chunked", " CHUNKED\t"}) {
        request_head head;
        const auto bytes = with("TRANSFER-encoding:" + value);
        REQUIRE(read_head(head, bytes, ordinary));
        CHECK(head.body.how == kind::chunked);
        CHECK(head.body.length == 0);
    }
}

TEST_CASE("a request without framing has no body") {
    for (const std::string verb : {"GET", "POST", "HEAD", "PUT"}) {
        request_head head;
        const auto bytes = requesting(verb + " / HTTP/1.1");
        REQUIRE(read_head(head, bytes, ordinary));
        CHECK(head.body.how == kind::none);
    }
}

TEST_CASE("a deployment is forced by one field, not by two that may differ") {
    request_head head;
    const auto bytes = head_of(
        {"GET /score HTTP/1.1", "Host: a", "azureml-model-deployment: blue", "azureml-model-deployment: green"});
    const auto refused = head.parse(bytes, head_limits{});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == fault::bad_request);
}

TEST_CASE("Host: one valid one with HTTP/1.1") {
    const std::string host = "RFC 9112 3.2";
    const auto hosted = [](const std::string& value) { return head_of({"GET / HTTP/1.1", "Host: " + value}); };
    std::vector<refused_head> rows{
        {"none", head_of({"GET / HTTP/1.1"}), host},
        {"two, equal", head_of({"GET / HTTP/1.1", "Host: a", "Host: a"}), host},
        {"two, different", head_of({"GET / HTTP/1.1", "Host: a", "hOST: b"}), host},
        {"two with HTTP/1.0", head_of({"GET / HTTP/1.0", "Host: a", "Host: b"}), host},
    };
    for (const std::string bad : {"",         "a b",    "a, b",           "a/b",           "http://a",    "u@a",
                                  "a#b",      "a?b",    "a\\b",           "a:b",           "a:b:c",       "a:80:80",
                                  "a:-1",     ":80",    "[::1",           "::1",           "[::1]x",      "[::1]:x",
                                  "[]",       "a[::1]", "[::1]]",         "[::1%25eth0]",  "a\"b",        "<a>",
                                  "\xc3\xa9", "a%2db",  "a:65536",        "a:99999999999", "[::1]:65536", "a:8 0",
                                  "a:+80",    "[a]",    "[a.example]:80", "[127.0.0.1]",   "[v1.x:y]",    "[a:b]",
                                  "[::1:]",   "[:]"})
        rows.push_back({"Host: " + std::string(bad), hosted(bad), host});
    for (const auto& row : rows) check_refused(row);

    for (const std::string good : {"a", "A.Example", "a:80", "a:", "127.0.0.1:8443", "[::1]", "[::1]:8443",
                                   "[2001:DB8::10.0.0.7]", "a_b", "xn--e1afmkfd.example", "a.example.", "a:65535"}) {
        INFO(good);
        request_head head;
        const auto bytes = hosted(good);
        REQUIRE(read_head(head, bytes, ordinary));
        CHECK(head.host == good);
    }
    request_head head;
    const auto old = head_of({"GET / HTTP/1.0"});
    REQUIRE(read_head(head, old, ordinary));
    CHECK(head.host.empty());
}

TEST_CASE("Connection: options") {
    struct row {
        std::string version;
        std::vector<std::string> fields;
        bool keep_alive;
    };
    const std::vector<row> rows{
        {"1.1", {}, true},
        {"1.1", {"Connection: close"}, false},
        {"1.1", {"Connection: CLOSE"}, false},
        {"1.1", {"Connection: keep-alive"}, true},
        {"1.1", {"Connection: keep-alive, close"}, false},
        {"1.1", {"Connection: close", "Connection: keep-alive"}, false},
        {"1.1", {"Connection: , ,close,"}, false},
        {"1.1", {"Connection: TE, \tclose"}, false},
        {"1.1", {"Connection: closer"}, true},
        {"1.0", {}, false},
        {"1.0", {"Connection: keep-alive"}, true},
        {"1.0", {"Connection: Keep-Alive"}, true},
        {"1.0", {"Connection: keep-alive, close"}, false},
        {"1.0", {"Connection: close"}, false},
        {"1.0", {"Keep-Alive: timeout=5"}, false},
    };
    for (const auto& row : rows) {
        std::vector<std::string> lines{"GET / HTTP/" + row.version, "Host: a"};
        lines.insert(lines.end(), row.fields.begin(), row.fields.end());
        const auto bytes = head_of(lines);
        INFO(bytes);
        request_head head;
        REQUIRE(read_head(head, bytes, ordinary));
        CHECK(head.keep_alive == row.keep_alive);
        CHECK(head.minor_version == row.version.back() - '0');
    }
}

TEST_CASE("Connection: the fields it names") {
    request_head head;
    const auto bytes = with("Connection: X-Trace, close, te, Upgrade , x-other,,keep-alive", "Connection: user-agent");
    REQUIRE(read_head(head, bytes, ordinary));
    CHECK(head.nominated == std::vector<std::string_view>{"X-Trace", "x-other", "user-agent"});
    CHECK(is_nominated({"x-trace", "", field_id::other}, head.nominated));
    CHECK_FALSE(is_nominated({"x-trac", "", field_id::other}, head.nominated));
    CHECK_FALSE(is_nominated({"te", "", field_id::hop_by_hop}, head.nominated));

    for (const std::string name :
         {"Host", "content-length", "Transfer-Encoding", "Connection", "Authorization", "azureml-model-deployment",
          "X-Request-Id", "x-ms-request-id", "x-ms-client-request-id", "traceparent", "X-Forwarded-For",
          "X-Forwarded-Anything", "Forwarded", "x-real-ip", "Proxy", "Expect", "Date"})
        check_refused({name, with("Connection: close, " + name), "RFC 9110 7.6.1"});

    for (const std::string option : {"\"close\"", "x y", "close;a", "x=1", "x@y"})
        check_refused({option, with("Connection: keep-alive, " + option), "tokens"});

    std::string sixteen = "Connection: close", seventeen;
    for (int i = 0; i < 16; ++i) sixteen += ", x-" + std::to_string(i);
    seventeen = sixteen + ", x-16";
    CHECK(read_head(head, with(sixteen), ordinary));
    CHECK(head.nominated.size() == 16);
    check_refused({"17 names", with(seventeen), "16"});
    check_refused({"17 names in two fields", with(sixteen, "Connection: x-16"), "16"});
}

TEST_CASE("Expect knows 100-continue only, and not with HTTP/1.0") {
    request_head head;
    const auto bytes = with("Expect: 100-Continue");
    REQUIRE(read_head(head, bytes, ordinary));
    CHECK(head.expects_continue);
    const auto old = head_of({"POST / HTTP/1.0", "Host: a", "Expect: 100-continue"});
    REQUIRE(read_head(head, old, ordinary));
    CHECK_FALSE(head.expects_continue);
    for (const std::string value : {"", "100", "100-continue, x", "200-ok"})
        check_refused({value, with("Expect: " + value), "RFC 9110 10.1.1"});
}

TEST_CASE("a traceparent that is said twice is nobody's") {
    request_head head;
    const std::string valid = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const auto twice = head_of({"GET / HTTP/1.1", "Host: a", valid, "TraceParent: x"});
    REQUIRE(read_head(head, twice, ordinary));
    CHECK(head.traceparent == "-");
    const auto equal = head_of({"GET / HTTP/1.1", "Host: a", valid, valid});
    REQUIRE(read_head(head, equal, ordinary));
    CHECK(head.traceparent == "-");
    const auto next = head_of({"GET / HTTP/1.1", "Host: a", valid});
    REQUIRE(read_head(head, next, ordinary));
    CHECK(head.traceparent == valid.substr(13));
}

TEST_CASE("the fields that are looked at") {
    request_head head;
    const auto bytes = head_of({"POST /score HTTP/1.1", "Host: a", "X-MS-Client-Request-Id: abc", "TraceParent: 00-x",
                                "azureml-model-deployment: blue", "User-Agent: curl/7.88"});
    REQUIRE(read_head(head, bytes, ordinary));
    CHECK(head.client_request_id == "abc");
    CHECK(head.traceparent == "00-x");
    CHECK(head.forced_deployment == "blue");
    CHECK(head.user_agent == "curl/7.88");

    struct row {
        field_id id;
        std::vector<std::string> names;
    };
    const std::vector<row> rows{
        {field_id::authorization, {"authorization", "Authorization"}},
        {field_id::hop_by_hop,
         {"Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info",
          "TE", "te", "Trailer", "UPGRADE"}},
        {field_id::forwarding,
         {"Forwarded", "X-FORWARDED-X", "x-forwarded-", "X-Real-IP", "Proxy", "X-Forwarded-Client-Cert", "Client-Cert",
          "CLIENT-cert-chain"}},
        {field_id::transport_security, {"strict-TRANSPORT-security"}},
        {field_id::forwarded_for, {"X-Forwarded-For", "x-forwarded-for"}},
        {field_id::forwarded_host, {"X-Forwarded-Host"}},
        {field_id::forwarded_proto, {"x-forwarded-proto"}},
        {field_id::request_id, {"X-Request-Id", "x-ms-request-id"}},
        {field_id::client_request_id, {"x-ms-client-request-id"}},
        {field_id::azureml_model_deployment, {"AzureML-Model-Deployment"}},
        {field_id::transfer_encoding, {"transfer-encoding"}},
        {field_id::content_length, {"content-length"}},
        {field_id::connection, {"connection"}},
        {field_id::host, {"HOST"}},
        {field_id::date, {"date"}},
        {field_id::expect, {"eXpect"}},
        {field_id::traceparent, {"traceparent"}},
        {field_id::tracestate, {"TraceState"}},
        {field_id::user_agent, {"user-agent"}},
        {field_id::other,
         {"x", "tea", "hosts", "x-forwarded", "content-type", "xauthorization", "dat", "proxyx", "proxy-status",
          "x-ms-client-request-ie", "a-name-that-is-longer-than-every-one-known"}},
    };
    for (const auto& row : rows)
        for (const auto& name : row.names) {
            INFO(name);
            CHECK(identify(name) == row.id);
        }
}

TEST_CASE("limits on a request head, to the byte and to the field") {
    const auto bytes = head_of({"GET / HTTP/1.1", "Host: a", "X: y"});
    request_head head;
    CHECK(read_head(head, bytes, {bytes.size(), 2}));
    CHECK(head.fields.size() == 2);

    const auto large = read_head(head, bytes, {bytes.size() - 1, 2});
    REQUIRE_FALSE(large);
    CHECK(named(large.error().kind) == "header_too_large");
    CHECK(large.error().limit == bytes.size() - 1);
    CHECK_THAT(large.error().detail, Catch::Contains("max_header_bytes"));

    const auto many = read_head(head, bytes, {bytes.size(), 1});
    REQUIRE_FALSE(many);
    CHECK(named(many.error().kind) == "header_too_large");
    CHECK(many.error().limit == 1);
    CHECK_THAT(many.error().detail, Catch::Contains("max_headers"));

    const auto line = read_head(head, bytes, {10, 2});
    REQUIRE_FALSE(line);
    CHECK(named(line.error().kind) == "uri_too_long");
    CHECK(line.error().limit == 10);
}

TEST_CASE("the end of a head is found in whatever pieces it comes") {
    const std::string head = head_of({"POST /score HTTP/1.1", "Host: a", "Content-Length: 4"});
    const std::string bytes = head + "body\r\n\r\n";
    for (std::size_t first = 0; first <= bytes.size(); ++first)
        for (std::size_t second = first; second <= bytes.size(); ++second) {
            std::size_t scanned = 0;
            for (const auto so_far : {first, second, bytes.size()}) {
                const auto end = find_head_end(std::string_view(bytes).substr(0, so_far), scanned, ordinary);
                REQUIRE(end);
                REQUIRE(end->has_value() == (so_far >= head.size()));
                REQUIRE(scanned <= so_far);
                if (!*end) continue;
                REQUIRE(**end == head.size());
                break;
            }
        }
}

TEST_CASE("a head that is not whole is refused as soon as it cannot become one") {
    std::size_t scanned = 0;
    const auto more = find_head_end("GET / HTTP/1.1\r\nHost: a\r\n", scanned, {25, 10});
    REQUIRE_FALSE(more);
    CHECK(named(more.error().kind) == "header_too_large");
    scanned = 0;
    const auto line = find_head_end("GET /aaaaaaaaaaaaaaaaaaaa", scanned, {25, 10});
    REQUIRE_FALSE(line);
    CHECK(named(line.error().kind) == "uri_too_long");
    scanned = 0;
    const auto room = find_head_end("GET /aaaaaaaaaaaaaaaaaaaa", scanned, {26, 10});
    REQUIRE(room);
    CHECK_FALSE(*room);
    scanned = 0;
    CHECK_FALSE(find_head_end("GET / HTTP/1.1\nHo", scanned, ordinary)); // a bare LF need not wait for the rest
}

TEST_CASE("nothing of one head is seen in the next") {
    const auto rich = head_of({"POST http://b.example/score?q=1 HTTP/1.1", "Host: b.example", "Content-Length: 7",
                               "Connection: close, x-trace", "Expect: 100-continue", "x-ms-client-request-id: id",
                               "traceparent: t", "azureml-model-deployment: blue", "User-Agent: u", "X-Trace: 1"});
    const auto chunked = head_of({"POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"});
    const auto old = head_of({"GET / HTTP/1.0", "Connection: keep-alive"});
    const auto plain = head_of({"GET /x HTTP/1.1", "Host: c"});
    const auto bad = head_of({"GET /x HTTP/1.1", "Host: c", "Content-Length: 3", "Content-Length: 3"});

    const auto state = [](const request_head& head) {
        std::string all = std::to_string(static_cast<int>(head.verb)) + '|' + std::to_string(head.minor_version) + '|' +
                          std::to_string(static_cast<int>(head.body.how)) + '|' + std::to_string(head.body.length) +
                          '|' + std::to_string(head.keep_alive) + std::to_string(head.expects_continue) + '|';
        for (const auto part : {head.method_name, head.path, head.query, head.host, head.client_request_id,
                                head.traceparent, head.forced_deployment, head.user_agent})
            all.append(part).append("|");
        for (const auto& each : head.fields) all.append(each.name).append("=").append(each.value).append("|");
        for (const auto each : head.nominated) all.append(each).append("|");
        return all;
    };
    const std::vector<std::string> heads{rich, chunked, old, plain, bad};
    for (const auto& before : heads)
        for (const auto& after : heads) {
            request_head fresh, reused;
            (void)read_head(reused, before, ordinary);
            const auto expected = read_head(fresh, after, ordinary);
            const auto parsed = read_head(reused, after, ordinary);
            INFO(before << after);
            REQUIRE(parsed.has_value() == expected.has_value());
            if (parsed) REQUIRE(state(reused) == state(fresh));
        }
}
