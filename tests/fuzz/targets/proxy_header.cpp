#include "proxy/proxy_header.hpp"

#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::fuzz {

namespace {

using state = proxy::proxy_header::state;

// The second reader: a whole header, and the address in it as inet_ntop(3) writes it, empty if there is none.
struct strict_proxy_header {
    std::string source{};
};

// As the system writes an address of this family, IPv4 in the form of IPv6 as IPv4.
std::string written(int family, const void* raw) {
    char text[INET6_ADDRSTRLEN];
    must(::inet_ntop(family, raw, text, sizeof text) != nullptr, "an address can be written");
    const std::string_view mapped = "::ffff:";
    const std::string_view made = text;
    return std::string(made.starts_with(mapped) && made.find('.') != std::string_view::npos ? made.substr(mapped.size())
                                                                                            : made);
}

std::optional<std::string> read_address(int family, const std::string& text) {
    unsigned char raw[sizeof(in6_addr)];
    if (::inet_pton(family, text.c_str(), raw) != 1) return std::nullopt;
    return written(family, raw);
}

bool read_port(const std::string& text) {
    if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string::npos) return false;
    return std::to_string(std::stoul(text)) == text && std::stoul(text) < 65536;
}

std::optional<strict_proxy_header> read_line(std::string_view header) {
    if (header.size() > 107 || !header.ends_with("\r\n")) return std::nullopt;
    header.remove_suffix(2);
    if (header.find("\r\n") != std::string_view::npos) return std::nullopt;
    std::vector<std::string> words{""};
    for (const char c : header) {
        if (c == ' ')
            words.emplace_back();
        else
            words.back() += c;
    }
    if (words.size() < 2 || words[0] != "PROXY") return std::nullopt;
    if (words[1] == "UNKNOWN") return strict_proxy_header{};
    if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6")) return std::nullopt;
    const int family = words[1] == "TCP4" ? AF_INET : AF_INET6;
    const auto from = read_address(family, words[2]), to = read_address(family, words[3]);
    if (!from || !to || !read_port(words[4]) || !read_port(words[5])) return std::nullopt;
    return strict_proxy_header{*from};
}

std::optional<strict_proxy_header> read_binary(std::string_view header) {
    const auto at = [header](std::size_t i) { return static_cast<unsigned char>(header[i]); };
    if (header.size() < 16 || !header.starts_with(std::string_view("\r\n\r\n\0\r\nQUIT\n", 12))) return std::nullopt;
    if (header.size() != 16U + at(14) * 256U + at(15)) return std::nullopt;
    if (at(12) == 0x20) return strict_proxy_header{}; // LOCAL, whatever follows
    if (at(12) != 0x21) return std::nullopt;
    switch (at(13)) {
    case 0x00: return strict_proxy_header{};
    case 0x11:
        if (header.size() < 16 + 12) return std::nullopt;
        return strict_proxy_header{written(AF_INET, header.data() + 16)};
    case 0x21:
        if (header.size() < 16 + 36) return std::nullopt;
        return strict_proxy_header{written(AF_INET6, header.data() + 16)};
    case 0x31: return header.size() < 16 + 216 ? std::nullopt : std::optional(strict_proxy_header{});
    default: return std::nullopt;
    }
}

} // namespace

void proxy_header(input bytes) {
    const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto whole = proxy::parse_proxy_header(all);
    must(whole.found != state::incomplete || all.size() < proxy::longest_proxy_header, "a header comes to an end");

    // Byte by byte the same, and once decided it stays so.
    auto before = proxy::proxy_header{};
    for (std::size_t size = 0; size <= std::min(all.size(), proxy::longest_proxy_header + 1); ++size) {
        const auto now = proxy::parse_proxy_header(all.substr(0, size));
        if (before.found != state::incomplete)
            must(now.found == before.found && now.size == before.size && now.source == before.source,
                 "what follows a header changes nothing");
        if (now.found == state::whole && before.found == state::incomplete)
            must(now.size == size, "it is whole with its last byte");
        before = now;
    }
    if (whole.found != state::whole) return;
    must(whole.size <= all.size() && whole.size <= proxy::longest_proxy_header, "its size is within bounds");

    const auto header = all.substr(0, whole.size);
    const auto again = header.starts_with("PROXY ") ? read_line(header) : read_binary(header);
    must(again.has_value(), "the second reader takes it too");
    must((whole.source ? whole.source->to_string() : "") == again->source, "and finds the same address");
}

} // namespace scoregate::fuzz
