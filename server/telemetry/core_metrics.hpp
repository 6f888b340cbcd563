// What is counted per core before a request has a service: connections and TLS handshakes. Owned and written by
// app::core on its thread; the control thread reads.
#pragma once

#include "telemetry/counter.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace scoregate::telemetry {

// Why a TLS handshake did not finish. Closed: it is a metric label.
enum class handshake_failure : std::uint8_t {
    unsupported_protocol,    // the client cannot speak TLS 1.2
    no_shared_cipher,        // no cipher suite, curve or signature algorithm in common
    no_application_protocol, // ALPN without http/1.1
    plain_http,              // a request in clear on the TLS port
    certificate_missing,     // client_ca requires one of clients, and this one showed none
    certificate_refused,     // the client's leads to no authority of client_ca, has expired, or is not its own
    client_alert,            // the client refused us: unknown CA, wrong name, expired certificate
    timeout,
    closed,  // the client went away in the middle
    evicted, // the slowest of too many
    other,
};
inline constexpr std::size_t handshake_failure_count = static_cast<std::size_t>(handshake_failure::other) + 1;

constexpr std::string_view to_string(handshake_failure reason) {
    constexpr std::array<std::string_view, handshake_failure_count> words{"unsupported_protocol",
                                                                          "no_shared_cipher",
                                                                          "no_application_protocol",
                                                                          "plain_http",
                                                                          "certificate_missing",
                                                                          "certificate_refused",
                                                                          "client_alert",
                                                                          "timeout",
                                                                          "closed",
                                                                          "evicted",
                                                                          "other"};
    return words[static_cast<std::size_t>(reason)];
}

// Why a new connection was closed at once.
enum class refusal : std::uint8_t {
    max_connections, // and none was idle
    per_ip,
    descriptors,
    memory,
    proxy_protocol, // no valid header, or from somebody who is not trusted
    max_handshakes, // and none was slow
};
inline constexpr std::array<std::string_view, 6> refusals{"max_connections", "per_ip",         "descriptors",
                                                          "memory",          "proxy_protocol", "max_handshakes"};

// Why a connection that waited for its client had to make way.
enum class eviction : std::uint8_t {
    max_connections, // it was idle for the longest time
    max_handshakes,  // its handshake was the slowest
    memory,
    descriptors, // it was idle for the longest time
};
inline constexpr std::array<std::string_view, 4> evictions{"max_connections", "max_handshakes", "memory",
                                                           "descriptors"};

struct alignas(64) core_metrics {
    gauge connections;            // client connections open now
    counter connections_accepted; // since the start
    counter handshakes_full;
    counter handshakes_resumed;
    std::array<counter, handshake_failure_count> handshake_failures;
    counter accept_errors;
    std::array<counter, refusals.size()> refused;
    std::array<counter, evictions.size()> evicted;

    counter& of(refusal why) { return refused[static_cast<std::size_t>(why)]; }
    counter& of(eviction why) { return evicted[static_cast<std::size_t>(why)]; }

    void handshake_failed(handshake_failure reason) noexcept {
        handshake_failures[static_cast<std::size_t>(reason)].add();
    }
};

} // namespace scoregate::telemetry
