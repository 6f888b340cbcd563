#include "http/forwarded_for.hpp"

#include <catch2/catch.hpp>

using namespace scoregate;
using namespace scoregate::http;

namespace {

base::ip_address ip(std::string_view text) { return *base::parse_ip(text); }

const std::vector<base::network> trusted{{ip("10.0.0.0"), 8}, {ip("2001:db8:1::"), 48}};

} // namespace

TEST_CASE("the client is the first from the right that is not trusted; what stands before is not believed") {
    struct row {
        std::vector<std::string> lines;
        std::string client, chain;
    };
    const auto one = GENERATE(values<row>({
        {{}, "10.0.0.1", "10.0.0.1"},
        {{""}, "10.0.0.1", "10.0.0.1"},
        {{" , ,"}, "10.0.0.1", "10.0.0.1"},
        {{"203.0.113.9"}, "203.0.113.9", "203.0.113.9, 10.0.0.1"},
        {{"203.0.113.9, 10.0.0.2"}, "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1"},
        {{"127.0.0.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1"},
        {{"10.0.0.9, 203.0.113.9"}, "203.0.113.9", "203.0.113.9, 10.0.0.1"},
        {{"203.0.113.9", "10.0.0.2"}, "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1"}, // lines are one list
        {{"198.51.100.1", "203.0.113.9"}, "203.0.113.9", "203.0.113.9, 10.0.0.1"},
        {{"10.0.0.3", "", " 10.0.0.2 ,,"}, "10.0.0.3", "10.0.0.3, 10.0.0.2, 10.0.0.1"}, // all trusted: the first
        {{"\t203.0.113.9 "}, "203.0.113.9", "203.0.113.9, 10.0.0.1"},
        {{"2001:db8::7, 2001:db8:1::1"}, "2001:db8::7", "2001:db8::7, 2001:db8:1::1, 10.0.0.1"},
        {{"::ffff:203.0.113.9"}, "203.0.113.9", "203.0.113.9, 10.0.0.1"},
        {{"203.0.113.9:56324"}, "203.0.113.9", "203.0.113.9, 10.0.0.1"}, // Azure's Application Gateway
        {{"[2001:db8::7]"}, "2001:db8::7", "2001:db8::7, 10.0.0.1"},
        {{"[2001:db8::7]:56324"}, "2001:db8::7", "2001:db8::7, 10.0.0.1"},
        // Not an address: the walk ends at who wrote it.
        {{"203.0.113.9, unknown, 10.0.0.2"}, "10.0.0.2", "10.0.0.2, 10.0.0.1"},
        {{"unknown"}, "10.0.0.1", "10.0.0.1"},
        {{"203.0.113.9:"}, "10.0.0.1", "10.0.0.1"},
        {{"203.0.113.9:http"}, "10.0.0.1", "10.0.0.1"},
        {{"[203.0.113.9]"}, "10.0.0.1", "10.0.0.1"},
        {{"[2001:db8::7"}, "10.0.0.1", "10.0.0.1"},
        {{"[2001:db8::7]x"}, "10.0.0.1", "10.0.0.1"},
        {{"203.0.113.9 10.0.0.2"}, "10.0.0.1", "10.0.0.1"},
        {{"\"203.0.113.9\""}, "10.0.0.1", "10.0.0.1"},
    }));
    std::vector<field> fields{{"Host", "a", field_id::host}};
    for (const auto& line : one.lines) {
        CAPTURE(line);
        fields.push_back({"X-Forwarded-For", line, field_id::forwarded_for});
        fields.push_back({"X-Real-IP", "192.0.2.66", field_id::forwarding});
    }
    std::string chain = "what was there", client;
    base::append_ip(client, read_forwarded_for(fields, ip("10.0.0.1"), trusted, chain));
    CAPTURE(one.lines);
    CHECK(client == one.client);
    CHECK(chain == one.chain);
}

TEST_CASE("nobody is believed whom nobody trusts") {
    const std::vector<field> fields{{"X-Forwarded-For", "203.0.113.9", field_id::forwarded_for}};
    std::string chain;
    CHECK(read_forwarded_for(fields, ip("198.51.100.7"), trusted, chain) == ip("198.51.100.7"));
    CHECK(chain == "198.51.100.7");
}

TEST_CASE("a list without end costs a bounded walk") {
    std::string line = "203.0.113.9";
    for (int i = 0; i < 5000; ++i) line += ",10.0.0.2";
    const std::vector<field> fields{{"X-Forwarded-For", line, field_id::forwarded_for}};
    std::string chain;
    CHECK(read_forwarded_for(fields, ip("10.0.0.1"), trusted, chain) == ip("10.0.0.2"));
    CHECK(chain.size() < 32 * 48);
}
