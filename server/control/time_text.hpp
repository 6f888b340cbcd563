// Times as the admin port's answers write them. Any thread.
#pragma once

#include <chrono>
#include <string>

namespace scoregate::control {

// RFC 3339, UTC, seconds.
std::string to_text(std::chrono::system_clock::time_point when);

} // namespace scoregate::control
