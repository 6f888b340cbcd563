// Identifiers of a request: a random GUID of ours (RFC 9562 version 4), the client's own cleaned, and the trace context
// of the W3C. One generator per core.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string_view>

namespace scoregate::http {

// Text of fixed size without allocation.
template <std::size_t N>
struct fixed_text {
    std::array<char, N> bytes{};
    std::size_t size = 0;
    std::string_view view() const { return {bytes.data(), size}; }
};

using guid = fixed_text<36>;
using client_id = fixed_text<40>;
using span_id = fixed_text<16>;

// A `traceparent` (https://www.w3.org/TR/trace-context/): 00-TRACE-SPAN-FLAGS.
struct trace_parent : fixed_text<55> {
    bool continued = false; // the client's trace, not one that was begun here

    std::string_view trace() const { return view().substr(3, 32); }
    std::string_view span() const { return view().substr(36, 16); }
    bool sampled() const;
    // Whoever comes next hangs beneath the span `id`, and records too.
    void record_below(const span_id& id);
};

class identifier_source {
public:
    identifier_source(); // seeded by the operating system

    guid make_guid();
    // A valid `traceparent` is kept: of version 00 as it is, of a later one what version 00 knows of it (section
    // 2.2.1). Otherwise one is begun, unsampled.
    trace_parent continue_trace(std::string_view from_client);
    span_id make_span_id();
    std::uint64_t draw() { return random_(); }

private:
    std::mt19937_64 random_;
};

// x-ms-client-request-id as Azure ML cleans it: letters, digits, '-' and '_' of it, the first 40.
client_id clean_client_id(std::string_view from_client);

} // namespace scoregate::http
