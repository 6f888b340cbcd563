// The headers that take longest to compile, compiled once. Only third-party and standard ones; includes stay explicit.
#pragma once

#include <boost/asio.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
