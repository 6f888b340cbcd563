#include "http/identifiers.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <set>
#include <string>

using namespace scoregate::http;

namespace {

constexpr std::string_view hexadecimal = "0123456789abcdef";

bool is_hexadecimal(std::string_view text) { return text.find_first_not_of(hexadecimal) == std::string_view::npos; }

} // namespace

TEST_CASE("a GUID has the form of RFC 9562 version 4, and is never the same") {
    identifier_source source;
    std::set<std::string> seen;
    std::array<std::set<char>, 36> digits;
    for (int i = 0; i < 20000; ++i) {
        const auto made = source.make_guid();
        const auto text = made.view();
        REQUIRE(text.size() == 36);
        for (std::size_t at = 0; at < text.size(); ++at) {
            digits[at].insert(text[at]);
            const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
            REQUIRE((text[at] == '-') == dash);
            if (!dash) REQUIRE(hexadecimal.find(text[at]) != std::string_view::npos);
        }
        REQUIRE(seen.insert(std::string(text)).second);
    }
    for (std::size_t at = 0; at < 36; ++at) { // every digit but the version and the variant is random
        const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
        CAPTURE(at);
        CHECK(digits[at].size() == (dash || at == 14 ? 1U : at == 19 ? 4U : 16U));
    }
    CHECK(digits[14] == std::set<char>{'4'});
    CHECK(digits[19] == std::set<char>{'8', '9', 'a', 'b'});
}

TEST_CASE("two sources do not repeat each other") {
    identifier_source one, other;
    CHECK(one.make_guid().view() != other.make_guid().view());
    CHECK(one.continue_trace("").view() != other.continue_trace("").view());
}

TEST_CASE("a valid traceparent is kept") {
    identifier_source source;
    for (const std::string_view valid : {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                         "00-00000000000000000000000000000001-0000000000000001-00",
                                         "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-ff"})
        CHECK(source.continue_trace(valid).view() == valid);
}

TEST_CASE("without a valid traceparent a trace is begun, unsampled") {
    identifier_source source;
    std::set<std::string> traces;
    for (const std::string_view invalid : {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
                                           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
                                           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                                           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                                           "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
                                           "0X-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                           "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
                                           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
                                           "00-4bf92f3577b34da6a3ce929d0e0e473x-00f067aa0ba902b7-01",
                                           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bx-01",
                                           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
                                           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"}) {
        INFO(invalid);
        const auto made = source.continue_trace(invalid);
        const auto text = made.view();
        REQUIRE(text.size() == 55);
        CHECK(text.substr(0, 3) == "00-");
        CHECK(is_hexadecimal(text.substr(3, 32)));
        CHECK(text[35] == '-');
        CHECK(is_hexadecimal(text.substr(36, 16)));
        CHECK(text.substr(52) == "-00");
        CHECK(text.substr(3, 32) != std::string(32, '0'));
        CHECK(text.substr(36, 16) != std::string(16, '0'));
        CHECK(traces.insert(std::string(text)).second);
        CHECK(source.continue_trace(text).view() == text); // what we begin, others can continue
    }
}

TEST_CASE("of a later version what version 00 knows is kept") {
    identifier_source source;
    const std::string ids = "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";
    for (const auto& sent : {"01" + ids + "01", "fe" + ids + "01-and-more", "cc" + ids + "f5-"}) {
        INFO(sent);
        const auto made = source.continue_trace(sent);
        CHECK(made.view() == "00" + ids + "01");
        CHECK(made.continued);
    }
    CHECK(source.continue_trace("01" + ids + "ff").view() == "00" + ids + "03");
    CHECK_FALSE(source.continue_trace("01" + ids + "01x").continued);
    CHECK_FALSE(source.continue_trace("").continued);
}

TEST_CASE("whether a trace is recorded is its last flag's lowest bit") {
    identifier_source source;
    const std::string ids = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";
    for (const char digit : std::string_view(hexadecimal)) {
        INFO(digit);
        const bool odd = std::string_view("13579bdf").find(digit) != std::string_view::npos;
        CHECK(source.continue_trace(ids + digit).sampled() == odd);
    }
    CHECK_FALSE(trace_parent().sampled());
    CHECK_FALSE(source.continue_trace("").sampled());
}

TEST_CASE("who records puts a span of its own between, and asks those after it to record") {
    identifier_source source;
    auto trace = source.continue_trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02");
    const auto own = source.make_span_id();
    CHECK(own.view().size() == 16);
    CHECK(is_hexadecimal(own.view()));
    CHECK(own.view() != source.make_span_id().view());
    CHECK(trace.span() == "00f067aa0ba902b7");
    trace.record_below(own);
    CHECK(trace.trace() == "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK(trace.span() == own.view());
    CHECK(trace.view().substr(52) == "-03");
    CHECK(trace.sampled());
}

TEST_CASE("a client's id is cleaned") {
    CHECK(clean_client_id("").view().empty());
    CHECK(clean_client_id("Az-09_z").view() == "Az-09_z");
    CHECK(clean_client_id(" a b\t\"c\"<d>\xc3\xa9{e}.,:;/\\'@`[^").view() == "abcde");
    CHECK(clean_client_id(std::string(40, 'x')).view() == std::string(40, 'x'));
    CHECK(clean_client_id(std::string(41, 'x') + "y").view() == std::string(40, 'x'));
    CHECK(clean_client_id(std::string(100, '.') + std::string(50, 'y')).view() == std::string(40, 'y'));
}
