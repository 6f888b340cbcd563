// Apart from all that includes Asio: the C library's <netinet/tcp.h> lacks the figure, and clashes with the kernel's.
#include "support/segments.hpp"

#include <cerrno>
#include <cstddef>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <system_error>

namespace scoregate::tests {

std::uint32_t data_segments_sent(int socket) {
    ::tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        throw std::system_error(errno, std::generic_category(), "TCP_INFO");
    if (size < offsetof(::tcp_info, tcpi_data_segs_out) + sizeof info.tcpi_data_segs_out)
        throw std::system_error(ENOTSUP, std::generic_category(), "TCP_INFO");
    return info.tcpi_data_segs_out;
}

} // namespace scoregate::tests
