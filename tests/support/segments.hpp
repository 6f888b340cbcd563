// What the kernel made of our writes.
#pragma once

#include <cstdint>

namespace scoregate::tests {

// Segments with data that a TCP socket has sent so far (TCP_INFO). Throws std::system_error if the kernel does not say.
std::uint32_t data_segments_sent(int socket);

} // namespace scoregate::tests
