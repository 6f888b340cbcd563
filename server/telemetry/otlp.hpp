// Traces as OTLP has them: the JSON encoding of an ExportTraceServiceRequest
// (https://opentelemetry.io/docs/specs/otlp/, "JSON Protobuf Encoding"): ids in hexadecimal, 64-bit integers as text,
// enumerations as numbers. Attributes follow the semantic conventions for HTTP spans; what they do not know is named
// scoregate.*. Pure; the exporter's thread.
#pragma once

#include "telemetry/trace_log.hpp"

#include <string>
#include <string_view>

namespace scoregate::telemetry {

// Who the traces are of.
struct trace_source {
    std::string service_name; // service.name
    std::string version;      // of scoregate
    std::string instance;     // service.instance.id: one for each run of a process
};

// Never throws for what a client has sent: bytes that are not UTF-8 become U+FFFD.
std::string otlp_json(const trace_log::traces&, const trace_source&);

} // namespace scoregate::telemetry
