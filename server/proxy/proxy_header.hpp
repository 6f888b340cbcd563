// The header by which a load balancer tells whose connection it passes on: PROXY protocol, versions 1 (a line) and 2
// (binary), https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt. Pure; whom to believe is not decided here.
#pragma once

#include "base/network.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace scoregate::proxy {

struct proxy_header {
    enum class state : std::uint8_t {
        incomplete, // all of the bytes belong to it, and more are needed
        whole,
        refused,
    } found = state::incomplete;
    std::size_t size = 0;                   // once it is whole; what follows is the client's
    std::optional<base::ip_address> source; // unmapped; empty: the connection is the balancer's own (LOCAL, UNKNOWN)
};

// The longest: what version 2 may carry beside the addresses is bounded here, not there.
inline constexpr std::size_t longest_proxy_header = 16 + 4096;

// `bytes` is what the connection has brought so far.
proxy_header parse_proxy_header(std::string_view bytes);

} // namespace scoregate::proxy
