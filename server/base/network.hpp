// IP networks as operators write them (10.0.0.0/8, 2001:db8::/32, or one address), and addresses held against them. An
// IPv4 address in the form of IPv6 (::ffff:192.0.2.1, RFC 4291 2.5.5.2) is IPv4 everywhere. Plain values; any thread.
#pragma once

#include "base/executor.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::base {

using ip_address = asio::ip::address;

// The IPv4 address that an IPv6 one stands for, else itself.
ip_address unmapped(const ip_address&);
// "192.0.2.1", "2001:db8::1": no zone, no brackets, no port. Unmapped. Allocates nothing.
std::optional<ip_address> parse_ip(std::string_view text);
void append_ip(std::string& to, const ip_address&);

class network {
public:
    // What `address` has beyond its first `length` bits is dropped.
    network(const ip_address& address, unsigned length);

    bool contains(const ip_address&) const; // unmapped
    // That the address is the network's first: nothing was dropped.
    bool begins_at(const ip_address& address) const { return address.is_v4() == v4_ && bits_of(address) == value_; }
    std::string to_string() const;

    friend bool operator==(const network&, const network&) = default;

private:
    struct bits {
        std::uint64_t high = 0, low = 0;
        friend bool operator==(const bits&, const bits&) = default;
    };
    static bits bits_of(const ip_address&);

    bits value_, mask_;
    bool v4_;
    std::uint8_t length_;
};

bool contains(const std::vector<network>&, const ip_address&);

} // namespace scoregate::base
