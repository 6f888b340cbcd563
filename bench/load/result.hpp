// What one measurement found, and the line of JSON that says so.
#pragma once

#include "connection.hpp"
#include "histogram.hpp"
#include "windows.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace load {

struct result {
    const char* mode = "";
    double seconds = 0;         // measured
    std::uint64_t requests = 0; // answered, rightly or wrongly
    std::uint64_t wrong = 0;    // replies, events or handshakes that were not as they must be
    std::uint64_t connects = 0; // connections made in that time
    std::uint64_t connect_errors = 0, read_errors = 0, write_errors = 0, timeouts = 0;
    histogram times;

    std::optional<histogram> late;                // mode open: how late a request was sent that could have been sent
    std::optional<windows> usual;                 // mode open, where asked for
    std::optional<std::uint64_t> resumed, full;   // mode connect: handshakes
    std::optional<std::uint64_t> events, streams; // mode stream

    void count(fault why);
    std::string line() const;
};

} // namespace load
