#include "http/forwarded_for.hpp"

#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::fuzz {

namespace {

using strings = std::vector<std::string>;

strings split(std::string_view text, char at) {
    strings parts{""};
    for (const char c : text) {
        if (c == at)
            parts.emplace_back();
        else
            parts.back() += c;
    }
    return parts;
}

std::string stripped(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// An element as the second reader sees it: the address as inet_ntop(3) writes it, empty if it is none.
std::string read_element(std::string text) {
    const auto ends_in_port = [&text](std::size_t colon) {
        const auto port = text.substr(colon + 1);
        return !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
    };
    bool v6 = std::count(text.begin(), text.end(), ':') > 1;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == std::string::npos) return "";
        if (close + 1 != text.size() && (text[close + 1] != ':' || !ends_in_port(close + 1))) return "";
        text = text.substr(1, close - 1);
        v6 = true;
    } else if (!v6 && text.find(':') != std::string::npos) {
        if (!ends_in_port(text.find(':'))) return "";
        text = text.substr(0, text.find(':'));
    }
    unsigned char raw[sizeof(in6_addr)];
    char made[INET6_ADDRSTRLEN];
    const int family = v6 ? AF_INET6 : AF_INET;
    if (text.find('\0') != std::string::npos || ::inet_pton(family, text.c_str(), raw) != 1) return "";
    if (v6 && IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(raw)))
        ::inet_ntop(AF_INET, raw + 12, made, sizeof made);
    else
        ::inet_ntop(family, raw, made, sizeof made);
    return made;
}

// 10.0.0.0/8 and 2001:db8::/32, as text.
bool is_trusted(const std::string& address) {
    in6_addr raw{};
    if (address.find(':') == std::string::npos) return address.starts_with("10.");
    ::inet_pton(AF_INET6, address.c_str(), &raw);
    return raw.s6_addr[0] == 0x20 && raw.s6_addr[1] == 0x01 && raw.s6_addr[2] == 0x0d && raw.s6_addr[3] == 0xb8;
}

} // namespace

void forwarded_for(input bytes) {
    static const std::vector<base::network> trusted{{base::asio::ip::make_address("10.0.0.0"), 8},
                                                    {base::asio::ip::make_address("2001:db8::"), 32}};
    if (bytes.empty()) return;
    const std::string peer = (bytes.front() & 1) != 0 ? "10.0.0.1" : "192.0.2.1";
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 1, bytes.size() - 1);
    // Each line of the input is one field, as the parser of heads leaves it; others stand between.
    const auto lines = split(text, '\n');
    std::vector<http::field> fields;
    for (const auto& line : lines) {
        fields.push_back({"Accept", "10.9.9.9", http::field_id::other});
        fields.push_back({"X-Forwarded-For", line, http::field_id::forwarded_for});
    }
    std::string chain = "left over";
    const auto client =
        http::read_forwarded_for(fields, base::asio::ip::make_address(peer), trusted, chain).to_string();

    // The second reader: one list, every element, from the end.
    strings elements, expected{peer};
    for (const auto& line : lines)
        for (const auto& each : split(line, ','))
            if (const auto one = stripped(each); !one.empty()) elements.push_back(one);
    for (auto each = elements.rbegin(); each != elements.rend() && is_trusted(expected.back()); ++each) {
        const auto address = read_element(*each);
        if (address.empty() || expected.size() == 32) break;
        expected.push_back(address);
    }
    must(client == expected.back(), "the client is the first that is not trusted, from the end");
    std::string joined;
    for (auto each = expected.rbegin(); each != expected.rend(); ++each) joined += (joined.empty() ? "" : ", ") + *each;
    must(chain == joined, "what is passed on is what is believed, and nothing more");
}

} // namespace scoregate::fuzz
