#include "proxy/proxy_header.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace scoregate::proxy {

namespace {

using state = proxy_header::state;

constexpr std::string_view first_word = "PROXY ";
constexpr std::size_t longest_line = 107; // section 2.1, its CRLF counted
constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t fixed_size = 16; // of version 2

bool begins_as(std::string_view bytes, std::string_view what) {
    const auto size = std::min(bytes.size(), what.size());
    return bytes.substr(0, size) == what.substr(0, size);
}

std::string_view take_word(std::string_view& text) {
    const auto space = text.find(' ');
    const auto word = text.substr(0, space);
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
    return word;
}

bool is_port(std::string_view text) {
    unsigned port = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool padded = text.size() > 1 && text.front() == '0';
    return !text.empty() && !padded && ec == std::errc{} && end == text.data() + text.size() && port <= 65535;
}

// "TCP4 192.0.2.1 192.0.2.2 56324 443", "UNKNOWN" with anything behind it.
proxy_header parse_line(std::string_view line, std::size_t size) {
    const auto family = take_word(line);
    if (family == "UNKNOWN") return {state::whole, size, {}};
    if (family != "TCP4" && family != "TCP6") return {state::refused, 0, {}};
    const auto written_as_told = [colons = family == "TCP6"](std::string_view text) {
        return (text.find(':') != std::string_view::npos) == colons;
    };
    const auto from = take_word(line), to = take_word(line), from_port = take_word(line);
    const auto source = base::parse_ip(from);
    const bool valid = source && base::parse_ip(to) && written_as_told(from) && written_as_told(to) &&
                       is_port(from_port) && is_port(line);
    if (!valid) return {state::refused, 0, {}};
    return {state::whole, size, source};
}

proxy_header parse_version_1(std::string_view bytes) {
    const auto end = bytes.substr(0, longest_line).find("\r\n");
    if (end != std::string_view::npos)
        return parse_line(bytes.substr(first_word.size(), end - first_word.size()), end + 2);
    return {bytes.size() >= longest_line ? state::refused : state::incomplete, 0, {}};
}

template <class Address>
base::ip_address address_at(std::string_view bytes) {
    typename Address::bytes_type raw;
    std::memcpy(raw.data(), bytes.data(), raw.size());
    return base::unmapped(Address(raw));
}

proxy_header parse_version_2(std::string_view bytes) {
    const proxy_header refused{state::refused, 0, {}};
    if (bytes.size() < fixed_size) return {};
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned version = at(12) >> 4, command = at(12) & 0xf, family = at(13);
    const std::size_t length = at(14) * 256U + at(15), size = fixed_size + length;
    if (version != 2 || command > 1 || size > longest_proxy_header) return refused;
    // Addresses and ports of both ends; of another length than that there are.
    enum : unsigned { unspecified = 0x00, tcp_over_ip4 = 0x11, tcp_over_ip6 = 0x21, unix_stream = 0x31 };
    const bool local = command == 0;
    if (!local) {
        switch (family) {
        case unspecified: break;
        case tcp_over_ip4:
            if (length < 12) return refused;
            break;
        case tcp_over_ip6:
            if (length < 36) return refused;
            break;
        case unix_stream:
            if (length < 216) return refused;
            break;
        default: return refused; // datagrams do not come here, the rest means nothing yet
        }
    }
    if (bytes.size() < size) return {};
    proxy_header found{state::whole, size, {}};
    const auto addresses = bytes.substr(fixed_size);
    if (!local && family == tcp_over_ip4) found.source = address_at<base::asio::ip::address_v4>(addresses);
    if (!local && family == tcp_over_ip6) found.source = address_at<base::asio::ip::address_v6>(addresses);
    return found;
}

} // namespace

proxy_header parse_proxy_header(std::string_view bytes) {
    if (begins_as(bytes, first_word)) return bytes.size() < first_word.size() ? proxy_header{} : parse_version_1(bytes);
    if (begins_as(bytes, signature)) return parse_version_2(bytes);
    return {state::refused, 0, {}};
}

} // namespace scoregate::proxy
