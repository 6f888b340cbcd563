#include "app/found_sockets.hpp"

#include "app/bind.hpp"
#include "config/forms.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

namespace scoregate::app {

namespace {

constexpr int first_passed = 3;       // SD_LISTEN_FDS_START
constexpr unsigned most_passed = 250; // more than a configuration names

std::optional<unsigned> number_in(std::string_view text) {
    unsigned number = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

bool serves_in_its_place(const config::endpoint& bound, const config::endpoint& wanted) {
    return bound.port == wanted.port && wanted.host == "::" && bound.host == "0.0.0.0";
}

} // namespace

const char* to_text(purpose what) {
    switch (what) {
    case purpose::https: return "https";
    case purpose::http: return "http";
    default: return "admin";
    }
}

std::vector<std::optional<std::size_t>> match_sockets(const std::vector<found_socket>& found,
                                                      const std::vector<request_to_listen>& wanted) {
    std::vector<std::optional<std::size_t>> places(wanted.size());
    std::vector<bool> used(found.size());
    const auto match = [&](auto fits) {
        for (std::size_t i = 0; i < wanted.size(); ++i)
            for (std::size_t place = 0; place < found.size() && !places[i]; ++place) {
                if (used[place] || !fits(found[place], wanted[i])) continue;
                places[i] = place;
                used[place] = true;
            }
    };
    // By address first: what was port 0 may be named by its number now, which another port 0 must not take away.
    match([](const found_socket& each, const request_to_listen& by) { return each.bound == by.configured; });
    match([](const found_socket& each, const request_to_listen& by) { return each.asked == by; });
    match([](const found_socket& each, const request_to_listen& by) {
        return serves_in_its_place(each.bound, by.configured);
    });
    return places;
}

boost::system::result<unsigned, std::string> passed_count(const char* listen_pid, const char* listen_fds, int self) {
    if (listen_pid == nullptr || listen_fds == nullptr) return 0U;
    const auto pid = number_in(listen_pid);
    if (!pid) return std::string("LISTEN_PID is not a number: ") + listen_pid;
    if (*pid != static_cast<unsigned>(self)) return 0U; // meant for another process
    const auto count = number_in(listen_fds);
    if (!count || *count > most_passed)
        return std::string("LISTEN_FDS is not a number of sockets up to ") + std::to_string(most_passed) + ": " +
               listen_fds;
    return *count;
}

boost::system::result<found_socket, std::string> adopt_passed(int number) {
    const auto refused = [number](const std::string& why) {
        return "LISTEN_FDS passes descriptor " + std::to_string(number) + ", " + why;
    };
    const int flags = ::fcntl(number, F_GETFL);
    if (flags < 0) return refused("which is not open");
    descriptor socket(number);
    auto bound = address_of(number);
    if (!bound) return refused("which is not a TCP socket: ListenStream= of an address is needed");
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(number, reinterpret_cast<sockaddr*>(&peer), &size) == 0)
        return refused("which is a connection: the socket unit needs Accept=no");
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(number, F_SETFL, flags | O_NONBLOCK) != 0)
        return refused(std::string("which cannot be used: ") + std::strerror(errno));
    return found_socket{std::move(socket), std::move(*bound)};
}

boost::system::result<std::vector<found_socket>, std::string> passed_sockets() {
    const auto count = passed_count(std::getenv("LISTEN_PID"), std::getenv("LISTEN_FDS"), ::getpid());
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
    if (!count) return count.error();
    std::vector<found_socket> all;
    for (unsigned i = 0; i < *count; ++i) {
        auto one = adopt_passed(first_passed + static_cast<int>(i));
        if (!one) return one.error();
        all.push_back(std::move(*one));
    }
    return all;
}

} // namespace scoregate::app
