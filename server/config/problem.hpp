// One thing that is wrong with what the operator wrote, and what to do about it. Collected, never thrown: a
// configuration is refused with every problem it has. Plain values; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace scoregate::config {

struct problem {
    std::string file;    // as the operator named it; for an overridden value its origin, such as "--set listen.https"
    std::string pointer; // JSON pointer (RFC 6901) into the configuration, "" for the whole of it
    std::string message; // what is wrong and what to do, one sentence each

    friend bool operator==(const problem&, const problem&) = default;
};

using problems = std::vector<problem>;

// `FILE: /json/pointer: message`, the form `scoregate check` prints. Parts that are empty are left out.
std::string to_string(const problem&);

// Appends one level to a JSON pointer, with ~ and / escaped (RFC 6901, section 3).
std::string child_pointer(std::string_view parent, std::string_view key);

} // namespace scoregate::config
