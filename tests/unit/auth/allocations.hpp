// How often this thread has allocated, by operator new or in OpenSSL (keys_test.cpp counts).
#pragma once

#include <cstdint>

std::uint64_t allocations();
