#include "telemetry/syslog.hpp"

#include "config/forms.hpp"
#include "telemetry/access_record.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace scoregate::telemetry {
namespace {

constexpr std::string_view own_daemon = "/dev/log";

int connected(int family, const void* address, socklen_t size) {
    const int fd = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || ::connect(fd, static_cast<const sockaddr*>(address), size) == 0) return fd;
    const int why = errno;
    ::close(fd);
    errno = why;
    return -1;
}

int connect_local(std::string_view path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    path.copy(address.sun_path, path.size());
    return connected(AF_UNIX, &address, sizeof address);
}

int connect_udp(const config::endpoint& to) {
    sockaddr_in v4{};
    if (::inet_pton(AF_INET, to.host.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(to.port);
        return connected(AF_INET, &v4, sizeof v4);
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(to.port);
    if (::inet_pton(AF_INET6, to.host.c_str(), &v6.sin6_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    return connected(AF_INET6, &v6, sizeof v6);
}

// HOSTNAME of RFC 5424, 6.2.4; "-" if this machine's has bytes that it may not have.
std::string host_name() {
    std::array<char, 256> name{}; // the last stays 0
    if (::gethostname(name.data(), name.size() - 1) != 0) return "-";
    std::string found(name.data());
    const bool fits = std::all_of(found.begin(), found.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    return fits && !found.empty() ? found : "-";
}

// PRI (RFC 5424, 6.2.1).
std::string priority(config::log_facility facility, unsigned severity) {
    return "<" + std::to_string(static_cast<unsigned>(facility) * 8 + severity) + ">";
}

bool is_local(std::string_view place) { return !place.starts_with(config::syslog_prefix); }

} // namespace

int open_syslog(std::string_view place) {
    if (is_local(place)) return connect_local(own_daemon);
    place.remove_prefix(config::syslog_prefix.size());
    if (place.starts_with('/')) return connect_local(place);
    std::string wrong;
    if (const auto address = config::address_form.parse(place, wrong)) return connect_udp(*address);
    errno = EINVAL;
    return -1;
}

// MSGID is "access", and there is no structured data.
syslog_header::syslog_header(std::string_view place, config::log_facility facility)
    : local_(is_local(place)), informational_(priority(facility, 6)), warning_(priority(facility, 4)) {
    const auto process = std::to_string(::getpid());
    if (local_) {
        whose_ = "scoregate[" + process + "]: ";
        return;
    }
    for (auto* each : {&informational_, &warning_}) *each += "1 "; // VERSION
    whose_ = " " + host_name() + " scoregate " + process + " access - ";
}

void syslog_header::append(std::string& out, std::chrono::system_clock::time_point when, bool warning) const {
    out += warning ? warning_ : informational_;
    if (!local_) append_timestamp(out, when);
    out += whose_;
}

} // namespace scoregate::telemetry
