// One traced request: its spans, as they are known when it has ended. Made by the exchange that is traced, filled on
// its core, then handed to telemetry::trace_log and not changed any more. Few requests are sampled, so it may allocate.
// Never holds a key, a token, a body or a query.
#pragma once

#include "base/fault.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::telemetry {

using span_id = std::array<char, 16>;  // lower-case hexadecimal, not all zero
using trace_id = std::array<char, 32>; // the same

// What a request does beneath its own span, one after the other.
enum class stage : std::uint8_t {
    queue,   // waits for a slot
    connect, // to a replica
    model,   // one try: request and reply, from the first byte written to the last one read; its id is what the replica
             // gets in `traceparent`
};

struct stage_span {
    using time_point = std::chrono::steady_clock::time_point;

    stage what = stage::queue;
    span_id id{};
    time_point begin{}, end{};
    base::fault why = base::fault::none; // it came to nothing
    std::string replica{};               // as in the access log; not of a queue
    // Of the model alone:
    unsigned tries_before = 0;
    unsigned status = 0;                              // what it answered
    std::optional<time_point> request_sent{}, head{}; // the request's last byte written, the reply's head read
};

struct trace {
    std::chrono::system_clock::time_point began_at{};
    std::chrono::steady_clock::time_point began{}, ended{};
    trace_id id{};
    span_id own{};                   // of the span that has all others beneath it
    std::optional<span_id> parent{}; // the client's
    std::vector<stage_span> stages{};
    // As in the access log, and empty, zero or none in the same way.
    std::string request_id{}, client_request_id{}, client_ip{}, method{}, path{}, protocol{}, service{}, deployment{},
        user_agent{};
    std::string scheme{};       // towards the client: "http" or "https"
    std::string route{};        // behind the service's name: "/score", "/v1/*"
    std::string replica_path{}; // what it is at the replica
    bool known_method = true;   // one of those of RFC 9110
    std::uint16_t status = 0;   // what the client got
    base::fault fault = base::fault::none;
    std::uint64_t bytes_in = 0, bytes_out = 0;
    unsigned attempts = 0;
};

// Whether a trace that begins here is recorded.
class trace_sampler {
public:
    explicit trace_sampler(double ratio) : ratio_(ratio) {} // 0: none, 1: all
    // `drawn` is any of all 64-bit numbers, each as likely as the others.
    bool takes(std::uint64_t drawn) const { return static_cast<double>(drawn >> 11) * 0x1.0p-53 < ratio_; }

private:
    double ratio_;
};

} // namespace scoregate::telemetry
