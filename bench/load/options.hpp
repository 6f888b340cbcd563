// What the command line asks for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace load {

enum class mode_name { open, connect, stream, idle };
enum class handshakes { full, resumed };

struct options {
    mode_name mode = mode_name::open;
    std::string url;
    std::string key;             // sent as a bearer token; empty: none
    std::string cipher;          // as OpenSSL calls it
    std::size_t body = 1800;     // bytes of each request's body
    std::size_t reply = 115;     // bytes that each reply's body must have
    std::size_t connections = 1; // also the streams
    std::uint64_t seed = 1;
    std::chrono::duration<double> warm_up{0}, seconds{0};
    double rate = 0;                     // requests/s, mode open
    std::chrono::milliseconds window{0}; // of the usual percentiles, mode open; 0: none
    handshakes kind = handshakes::full;
    std::uint64_t events = 0; // of each stream
    std::chrono::milliseconds interval{0};
};

// The command line cannot be used; the message says why.
struct bad_usage : std::runtime_error {
    using runtime_error::runtime_error;
};

// Nothing where help was asked for, and printed. Throws bad_usage.
std::optional<options> parse_options(int argc, char** argv);

} // namespace load
