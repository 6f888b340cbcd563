// How much of what a TCP socket was given its peer has not acknowledged: what nobody has read stays there, for as long
// as the peer has room for nothing more.
#pragma once

#include <cstdint>
#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace scoregate::base {

// Bytes in the socket's send queue, sent or not; 0 if it is closed.
inline std::uint64_t unacknowledged(int socket) {
    int queued = 0;
    return ::ioctl(socket, SIOCOUTQ, &queued) == 0 ? static_cast<std::uint64_t>(queued) : 0;
}

} // namespace scoregate::base
