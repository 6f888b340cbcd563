#include "proxy/proxy_header.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace scoregate;
using namespace scoregate::proxy;
using state = proxy_header::state;

namespace {

const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);

// Version 2: command and version, family, and what follows.
std::string binary(unsigned char command, unsigned char family, std::string_view rest, int length = -1) {
    const auto size = length < 0 ? rest.size() : static_cast<std::size_t>(length);
    std::string made = signature;
    for (const auto each : {std::size_t{command}, std::size_t{family}, size >> 8, size & 0xff})
        made.push_back(static_cast<char>(each));
    return made.append(rest);
}

const std::string four("\xcb\x00\x71\x09\xc0\x00\x02\x01\x1f\x90\x01\xbb", 12); // 203.0.113.9:8080 to 192.0.2.1:443
const std::string six = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x07" +
                        std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x01" +
                        std::string("\x1f\x90\x01\xbb", 4);
const std::string mapped = std::string(10, '\0') + "\xff\xff" + four.substr(0, 4) + std::string(10, '\0') + "\xff\xff" +
                           four.substr(4, 4) + four.substr(8);

std::string source_of(const proxy_header& header) {
    std::string text;
    if (header.source) base::append_ip(text, *header.source);
    return text;
}

} // namespace

TEST_CASE("headers that are whole: whose connection it is, and where they end") {
    struct row {
        std::string bytes, source;
    };
    const auto one = GENERATE(values<row>({
        {"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n", "203.0.113.9"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", "255.255.255.255"},
        {"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "2001:db8::7"},
        {"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n", "203.0.113.9"},
        {"PROXY UNKNOWN\r\n", ""},
        // Section 2.1: the longest line there is
        {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
         "65535\r\n",
         ""},
        {binary(0x21, 0x11, four), "203.0.113.9"},
        {binary(0x21, 0x21, six), "2001:db8::7"},
        {binary(0x21, 0x21, mapped), "203.0.113.9"},
        {binary(0x21, 0x11, four + std::string("\x03\x00\x04\0\0\0\0", 7)), "203.0.113.9"}, // TLVs
        {binary(0x21, 0x11, four + std::string(4096 - 12, 'x')), "203.0.113.9"},
        {binary(0x21, 0x00, ""), ""},
        {binary(0x21, 0x00, "whatever"), ""},
        {binary(0x21, 0x31, std::string(216, 'u')), ""},
        {binary(0x20, 0x00, ""), ""}, // LOCAL
        {binary(0x20, 0x11, four), ""},
        {binary(0x20, 0xff, "no matter"), ""},
    }));
    CAPTURE(one.bytes);
    const auto header = parse_proxy_header(one.bytes + "GET / HTTP/1.1\r\n");
    REQUIRE(header.found == state::whole);
    CHECK(header.size == one.bytes.size());
    CHECK(source_of(header) == one.source);
    // However it is cut, it is not taken for anything before it is whole, nor refused.
    for (std::size_t size = 0; size < one.bytes.size(); ++size)
        if (parse_proxy_header(std::string_view(one.bytes).substr(0, size)).found != state::incomplete) FAIL(size);
}

TEST_CASE("what is no header of either version is refused, and as early as it can be told") {
    struct row {
        std::string bytes;
        std::size_t told_after; // bytes
    };
    const auto one = GENERATE(values<row>({
        {"GET / HTTP/1.1\r\n", 1},
        {"\x16\x03\x01\x02\x05", 1}, // a ClientHello
        {"PROXZ TCP4", 5},
        {"proxy TCP4", 1},
        {" PROXY", 1},
        {std::string("\r\n\r\n\0\r\nQUIT\r", 12), 12},
        {"PROXY TCP4 203.0.113.9 192.0.2.1 56324\r\n", 40},
        {"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443 5\r\n", 46},
        {"PROXY TCP4 203.0.113.9 192.0.2.1  56324 443\r\n", 45},
        {"PROXY TCP4  203.0.113.9 192.0.2.1 56324 443\r\n", 45},
        {"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443 \r\n", 45},
        {"PROXY TCP4 203.0.113.09 192.0.2.1 56324 443\r\n", 45},
        {"PROXY TCP4 203.0.113.9 192.0.2.1 056324 443\r\n", 45},
        {"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n", 44},
        {"PROXY TCP4 203.0.113.9 192.0.2.1 -1 443\r\n", 41},
        {"PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n", 46},
        {"PROXY TCP6 203.0.113.9 192.0.2.1 56324 443\r\n", 44},
        {"PROXY TCP6 2001:db8::7%eth0 2001:db8::1 56324 443\r\n", 51},
        {"PROXY UDP4 203.0.113.9 192.0.2.1 56324 443\r\n", 44},
        {"PROXY \r\n", 8},
        {"PROXY UNKNOWN " + std::string(200, 'x'), 107},
        {"PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", 107},
        {binary(0x11, 0x11, four), 16}, // version 1, in binary
        {binary(0x22, 0x11, four), 16}, // no such command
        {binary(0x21, 0x12, four), 16}, // datagrams
        {binary(0x21, 0x13, four), 16},
        {binary(0x21, 0x11, four.substr(0, 11)), 16},
        {binary(0x21, 0x21, four), 16},
        {binary(0x21, 0x31, four), 16},
        {binary(0x21, 0x11, four, 4097), 16},
        {binary(0x20, 0x00, "", 65535), 16},
    }));
    CAPTURE(one.bytes);
    const std::string_view bytes(one.bytes);
    CHECK(parse_proxy_header(bytes.substr(0, one.told_after)).found == state::refused);
    CHECK(parse_proxy_header(bytes.substr(0, one.told_after - 1)).found == state::incomplete);
    CHECK(parse_proxy_header(bytes).found == state::refused);
}

TEST_CASE("no header is longer than what a reader makes room for") {
    CHECK(binary(0x21, 0x11, four + std::string(4096 - 12, 'x')).size() == longest_proxy_header);
}
