// One line of the access log: what is known of a request when it has ended, and how it is written. docs/metrics.md
// lists the fields. Views into the exchange that records it; nothing is kept. Never holds a key, a token or a body.
#pragma once

#include "base/fault.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace scoregate::telemetry {

// In the order of the line. An empty text, an absent optional and a zero `status` or `model_status` mean "not known"
// and are left out of the line; so are fault and side when there was no fault.
struct access_record {
    using span = std::optional<std::chrono::nanoseconds>;

    std::chrono::system_clock::time_point ts{}; // first byte of the request
    std::string_view request_id{};
    std::string_view client_request_id{}; // x-ms-client-request-id
    std::string_view trace_id{};
    std::string_view client_ip{};
    std::string_view method{};
    std::string_view path{}; // what follows a '?' is not written
    std::string_view protocol{};
    std::string_view service{};
    std::string_view deployment{};
    std::string_view replica{};           // as written in the configuration
    std::uint16_t status = 0;             // what the client got, 499 where it had gone
    base::fault fault{};                  // side is its row's
    std::uint16_t model_status = 0;       // what the replica answered
    std::uint64_t bytes_in = 0;           // always written
    std::uint64_t bytes_out = 0;          // always written
    std::chrono::nanoseconds duration{0}; // always written, as duration_ms; the next four likewise
    span read{};
    span queue{};
    span connect{};
    span first_byte{};
    std::uint32_t attempts = 0; // always written; 0: never sent to a replica
    std::string_view tls_cipher{};
    std::string_view sni{};
    std::optional<bool> resumed{};
    std::string_view user_agent{};
    std::string_view auth{}; // how the caller was recognised, never the credential
};

// Appends one JSON object and a newline. The line is valid JSON whatever bytes the client sent: control characters are
// escaped, what ends or turns a line for a viewer of text too, bytes that are not UTF-8 become U+FFFD. Times are
// milliseconds with three decimals; ts is RFC 3339, UTC. Any thread; the text of the current second is cached per
// thread.
void append_json(std::string& out, const access_record&);

// Appends a line for eyes: nginx's "combined", `auth` as its user and "-" as its referrer, and then name=value for the
// rest of what is known. Times and escapes as above, with quotes and backslashes of a client's never bare; its time is
// UTC in whole seconds. What may hold a space stands in quotes.
void append_text(std::string& out, const access_record&);

// `2026-01-31T12:00:00.000Z`
void append_timestamp(std::string& out, std::chrono::system_clock::time_point);

// Whether all went well: no fault, and a status below 400.
inline bool succeeded(const access_record& of) {
    return of.fault == base::fault::none && of.status != 0 && of.status < 400;
}

// Whether it failed, and not by the client's doing.
inline bool let_down(const access_record& of) {
    return of.status >= 500 || (of.fault != base::fault::none && base::row(of.fault).blame != base::side::client);
}

} // namespace scoregate::telemetry
