#include "base/network.hpp"

#include <catch2/catch.hpp>

using namespace scoregate::base;

namespace {

ip_address ip(std::string_view text) {
    const auto parsed = parse_ip(text);
    INFO(text);
    REQUIRE(parsed);
    return *parsed;
}

std::string text_of(const ip_address& address) {
    std::string text;
    append_ip(text, address);
    return text;
}

} // namespace

TEST_CASE("addresses are read strictly, and IPv4 in the form of IPv6 is IPv4") {
    struct row {
        const char* written;
        const char* read; // null: refused
    };
    const auto one = GENERATE(values<row>({
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::", "::"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:C000:201", "192.0.2.1"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"}, // NAT64 is not a mapped address
        {"", nullptr},
        {"192.0.2", nullptr},
        {"192.0.2.01", nullptr},
        {"192.0.2.256", nullptr},
        {" 192.0.2.1", nullptr},
        {"192.0.2.1 ", nullptr},
        {"192.0.2.1:80", nullptr},
        {"[::1]", nullptr},
        {"fe80::1%eth0", nullptr},
        {"1::2::3", nullptr},
        {"unknown", nullptr},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", nullptr},
    }));
    CAPTURE(one.written);
    const auto parsed = parse_ip(one.written);
    REQUIRE(parsed.has_value() == (one.read != nullptr));
    if (parsed) CHECK(text_of(*parsed) == one.read);
    CHECK_FALSE(parse_ip(std::string_view("192.0.2.1\0", 10)));
}

TEST_CASE("a network has the addresses that begin as it does") {
    struct row {
        const char* address;
        unsigned length;
        std::vector<std::string_view> inside, outside;
    };
    const auto one = GENERATE(values<row>({
        {"10.0.0.0", 8, {"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"}, {"9.255.255.255", "11.0.0.0", "::a00:1"}},
        {"192.0.2.128", 25, {"192.0.2.128", "192.0.2.255"}, {"192.0.2.127", "192.0.3.128"}},
        {"192.0.2.7", 32, {"192.0.2.7"}, {"192.0.2.6", "192.0.2.8"}},
        {"0.0.0.0", 0, {"0.0.0.0", "255.255.255.255"}, {"::", "2001:db8::1"}},
        {"2001:db8::", 32, {"2001:db8::1", "2001:db8:ffff::"}, {"2001:db9::", "32.1.13.184"}},
        {"2001:db8:0:1::", 64, {"2001:db8:0:1:ffff::"}, {"2001:db8:0:2::", "2001:db8::1:0:0:0"}},
        {"2001:db8::80", 121, {"2001:db8::80", "2001:db8::ff"}, {"2001:db8::7f", "2001:db8::1:80"}},
        {"::1", 128, {"::1"}, {"::", "::2", "0.0.0.1"}},
        {"::", 0, {"::", "ffff::"}, {"10.0.0.1", "::ffff:10.0.0.1"}}, // of IPv6 alone
    }));
    const network under_test(ip(one.address), one.length);
    CAPTURE(under_test.to_string());
    CHECK(under_test.to_string() == std::string(one.address) + "/" + std::to_string(one.length));
    for (const auto each : one.inside) {
        CAPTURE(each);
        CHECK(under_test.contains(ip(each)));
    }
    for (const auto each : one.outside) {
        CAPTURE(each);
        CHECK_FALSE(under_test.contains(ip(each)));
    }
}

TEST_CASE("what is beyond a network's length is dropped") {
    CHECK(network(ip("10.1.2.3"), 8).to_string() == "10.0.0.0/8");
    CHECK(network(ip("2001:db8::1:2"), 100).to_string() == "2001:db8::/100");
    CHECK(network(ip("10.1.2.3"), 8) == network(ip("10.9.9.9"), 8));
    CHECK_FALSE(network(ip("10.0.0.0"), 8) == network(ip("10.0.0.0"), 9));
}

TEST_CASE("in a list, any of them will do") {
    const std::vector<network> list{{ip("10.0.0.0"), 8}, {ip("2001:db8::"), 32}};
    CHECK(contains(list, ip("10.0.0.1")));
    CHECK(contains(list, ip("2001:db8::1")));
    CHECK_FALSE(contains(list, ip("11.0.0.1")));
    CHECK_FALSE(contains({}, ip("10.0.0.1")));
}
