#include "base/network.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace scoregate::base {

namespace {

constexpr std::uint64_t first_bits(unsigned count) { // of 64
    return count == 0 ? 0 : count >= 64 ? ~std::uint64_t{0} : ~std::uint64_t{0} << (64 - count);
}

std::uint64_t to_number(const std::uint8_t* bytes) {
    std::uint64_t number = 0;
    for (int i = 0; i < 8; ++i) number = (number << 8) | bytes[i];
    return number;
}

} // namespace

ip_address unmapped(const ip_address& address) {
    if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

std::optional<ip_address> parse_ip(std::string_view text) {
    std::array<char, INET6_ADDRSTRLEN> copy{};
    if (text.size() >= copy.size() || text.find('\0') != std::string_view::npos) return {};
    text.copy(copy.data(), text.size());
    asio::ip::address_v4::bytes_type four{};
    if (::inet_pton(AF_INET, copy.data(), four.data()) == 1) return asio::ip::address_v4(four);
    asio::ip::address_v6::bytes_type sixteen{};
    if (::inet_pton(AF_INET6, copy.data(), sixteen.data()) == 1) return unmapped(asio::ip::address_v6(sixteen));
    return {};
}

void append_ip(std::string& to, const ip_address& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.is_v4()) {
        const auto bytes = address.to_v4().to_bytes();
        ::inet_ntop(AF_INET, bytes.data(), text.data(), text.size());
    } else {
        const auto bytes = address.to_v6().to_bytes();
        ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
    }
    to.append(text.data());
}

network::network(const ip_address& address, unsigned length)
    : mask_(address.is_v4() ? bits{first_bits(length) & first_bits(32), 0}
                            : bits{first_bits(length), first_bits(length > 64 ? length - 64 : 0)}),
      v4_(address.is_v4()),
      length_(static_cast<std::uint8_t>(length)) {
    const auto all = bits_of(address);
    value_ = {all.high & mask_.high, all.low & mask_.low};
}

// IPv4 in the first 32.
network::bits network::bits_of(const ip_address& address) {
    if (address.is_v4()) return {std::uint64_t{address.to_v4().to_uint()} << 32, 0};
    const auto bytes = address.to_v6().to_bytes();
    return {to_number(bytes.data()), to_number(bytes.data() + 8)};
}

bool network::contains(const ip_address& address) const {
    if (address.is_v4() != v4_) return false;
    const auto all = bits_of(address);
    return (all.high & mask_.high) == value_.high && (all.low & mask_.low) == value_.low;
}

std::string network::to_string() const {
    std::string text;
    if (v4_)
        append_ip(text, asio::ip::address_v4(static_cast<std::uint32_t>(value_.high >> 32)));
    else {
        asio::ip::address_v6::bytes_type bytes{};
        for (std::size_t i = 0; i < 16; ++i)
            bytes[i] = static_cast<std::uint8_t>((i < 8 ? value_.high : value_.low) >> (56 - i % 8 * 8));
        append_ip(text, asio::ip::address_v6(bytes));
    }
    return text + "/" + std::to_string(length_);
}

bool contains(const std::vector<network>& networks, const ip_address& address) {
    return std::any_of(networks.begin(), networks.end(), [&](const network& each) { return each.contains(address); });
}

} // namespace scoregate::base
