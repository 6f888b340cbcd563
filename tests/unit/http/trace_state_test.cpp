#include "http/trace_state.hpp"
#include "http/write.hpp"
#include "unit/http/heads.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace scoregate;
using namespace scoregate::http;

namespace {

std::string state_of(const std::vector<std::string>& values) {
    std::vector<field> fields{{"x", "y=z", field_id::other}};
    for (const auto& each : values) fields.push_back({"tracestate", each, field_id::tracestate});
    return std::string(read_trace_state(fields, {}).view());
}

std::string entries(std::size_t count, std::size_t value = 1) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i)
        list += (i == 0 ? "k" : ",k") + std::to_string(100 + i) + "=" + std::string(value, 'v');
    return list;
}

// What a replica gets of these lines.
std::string forwarded_state(const std::vector<std::string>& lines, bool continued) {
    std::vector<std::string> all{"GET /score HTTP/1.1", "Host: a"};
    all.insert(all.end(), lines.begin(), lines.end());
    std::string bytes;
    for (const auto& each : all) bytes += each + "\r\n";
    bytes += "\r\n";
    request_head head;
    REQUIRE(read_head(head, bytes, head_limits{}));
    identifier_source source;
    request_identity identity;
    identity.id = source.make_guid();
    identity.trace = source.continue_trace(continued ? "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" : "");
    base::buffer_pool pool;
    base::buffer out(pool);
    out.reserve(room_for(head, std::string_view("/score"), "a"));
    write_request_head(out, head, std::string_view("/score"), "a", {"127.0.0.1", "http", "a"}, identity);
    const std::string sent(out.readable());
    std::string found;
    for (std::size_t at = 0; (at = sent.find("tracestate: ", at)) != std::string::npos;) {
        const auto end = sent.find("\r\n", at);
        found += sent.substr(at, end - at) + ";";
        at = end;
    }
    return found;
}

} // namespace

TEST_CASE("a well-formed tracestate is passed on as one list") {
    CHECK(state_of({}).empty());
    CHECK(state_of({"congo=t61rcWkgMzE"}) == "congo=t61rcWkgMzE");
    CHECK(state_of({"rojo=1,congo=2"}) == "rojo=1,congo=2");
    CHECK(state_of({"rojo=1 ,\tcongo=2", "third=3"}) == "rojo=1,congo=2,third=3");
    CHECK(state_of({"", "a=1,,b=2,", ","}) == "a=1,b=2");
    CHECK(state_of({"0tenant@vendor=x", "a_-*/9=!~ y"}) == "0tenant@vendor=x,a_-*/9=!~ y");
    CHECK(state_of({std::string(256, 'k') + "=1"}) == std::string(256, 'k') + "=1");
}

TEST_CASE("with one malformed entry none of a tracestate is believed") {
    for (const std::string bad :
         {"a", "=1", "a=", "A=1", "@a=1", "_a=1", "a b=1", "a=1=2", "a=\x7f", "a=\xc3\xa9", "a=x\ty", "a.b=1"}) {
        INFO(bad);
        CHECK(state_of({bad}).empty());
        CHECK(state_of({"good=1," + bad}).empty());
        CHECK(state_of({"good=1", bad}).empty());
    }
    CHECK(state_of({std::string(257, 'k') + "=1"}).empty());
    CHECK(state_of({"k=" + std::string(257, 'v')}).empty());
}

TEST_CASE("a tracestate is bounded in entries and in characters") {
    CHECK(state_of({entries(32)}) == entries(32));
    CHECK(state_of({entries(33)}).empty());
    CHECK(state_of({entries(20), entries(13)}).empty());

    const std::string most = entries(8, 58); // 8 x 63 and 7 commas
    REQUIRE(most.size() == 511);
    CHECK(state_of({most}) == most);
    CHECK(state_of({most, "last=1"}) == most); // the last goes first
    const std::string large = "large=" + std::string(123, 'x'), fits = "just=" + std::string(123, 'x'); // 129, 128
    CHECK(state_of({large, entries(8, 50)}) == entries(8, 50));             // but for what is long
    CHECK(state_of({large, "small=1"}) == large + ",small=1");              // which may stay while there is room
    CHECK(state_of({fits, entries(8, 50)}) == fits + "," + entries(6, 50)); // 128 are not long
    CHECK(state_of({large, fits, fits, fits, fits}) == fits + "," + fits + "," + fits);
}

TEST_CASE("a replica gets the tracestate of a trace that is continued, and no other") {
    CHECK(forwarded_state({"tracestate: a=1", "X: y", "TraceState: b=2"}, true) == "tracestate: a=1,b=2;");
    CHECK(forwarded_state({"tracestate: a=1"}, false).empty());
    CHECK(forwarded_state({"tracestate: A=1"}, true).empty());
    CHECK(forwarded_state({"X: y"}, true).empty());
    CHECK(forwarded_state({"Connection: tracestate", "tracestate: a=1"}, true).empty());
}
