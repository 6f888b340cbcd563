// The clock of the generator: CLOCK_MONOTONIC, as the model stub stamps its events with.
#pragma once

#include <chrono>

namespace load {

using clock = std::chrono::steady_clock;
using moment = clock::time_point;
constexpr moment never = moment::max();

} // namespace load
