#include "app/handover.hpp"

#include "app/bind.hpp"
#include "config/forms.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace scoregate::app {

namespace {

constexpr std::string_view greeting = "scoregate-handover 1";
constexpr std::string_view busy = "busy ";
constexpr std::string_view serving = "serving";

// The next line without its end, taken off `rest`; every line has to have one.
std::optional<std::string_view> next_line(std::string_view& rest) {
    const auto end = rest.find('\n');
    if (end == rest.npos) return std::nullopt;
    const auto line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return line;
}

std::optional<std::size_t> number_in(std::string_view text) {
    std::size_t number = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<purpose> purpose_in(std::string_view text) {
    for (const auto each : {purpose::https, purpose::http, purpose::admin})
        if (text == to_text(each)) return each;
    return std::nullopt;
}

std::optional<offered_socket> offered_in(std::string_view line) {
    const auto first = line.find(' '), second = line.rfind(' ');
    if (first == line.npos || first == second) return std::nullopt;
    const auto what = purpose_in(line.substr(0, first));
    std::string ignored;
    const auto configured = config::address_form.parse(line.substr(first + 1, second - first - 1), ignored);
    const auto bound = config::address_form.parse(line.substr(second + 1), ignored);
    if (!what || !configured || !bound) return std::nullopt;
    return offered_socket{{*what, *configured}, *bound};
}

bool readable_within(int socket, std::chrono::milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
        pollfd waited{socket, POLLIN, 0};
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
        const int ready = ::poll(&waited, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
        if (ready >= 0 || errno != EINTR) return ready > 0;
    }
}

} // namespace

std::string to_offer(const std::vector<offered_socket>& sockets) {
    std::string text(greeting);
    text += '\n';
    for (const auto& each : sockets)
        text += std::string(to_text(each.asked.serves)) + ' ' + config::to_text(each.asked.configured) + ' ' +
                config::to_text(each.bound) + '\n';
    return text;
}

std::string to_busy(pid_t who) { return std::string(greeting) + '\n' + std::string(busy) + std::to_string(who) + '\n'; }

boost::system::result<std::vector<offered_socket>, std::string> parse_offer(std::string_view text) {
    const auto first = next_line(text);
    if (first != greeting)
        return std::string("its first line is not \"") + std::string(greeting) + "\": it is another version";
    std::vector<offered_socket> all;
    while (!text.empty()) {
        const auto line = next_line(text);
        if (line && line->starts_with(busy)) {
            const auto who = number_in(line->substr(busy.size()));
            return "process " + (who ? std::to_string(*who) : "?") + " is taking over from it already";
        }
        const auto socket = line ? offered_in(*line) : std::nullopt;
        if (!socket || all.size() == most_offered) return std::string("it names a socket in no form that is known");
        all.push_back(*socket);
    }
    return all;
}

std::string to_confirmation(const std::vector<std::size_t>& taken) {
    std::string text(serving);
    text += '\n';
    for (const auto each : taken) text += std::to_string(each) + '\n';
    return text;
}

std::optional<std::vector<std::size_t>> parse_confirmation(std::string_view text, std::size_t offered) {
    if (next_line(text) != serving) return std::nullopt;
    std::vector<std::size_t> taken;
    while (!text.empty()) {
        const auto line = next_line(text);
        const auto place = line ? number_in(*line) : std::nullopt;
        if (!place || *place >= offered || std::find(taken.begin(), taken.end(), *place) != taken.end())
            return std::nullopt;
        taken.push_back(*place);
    }
    return taken;
}

bool send_message(int to, std::string_view text, const std::vector<int>& descriptors) {
    iovec bytes{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    const auto size = descriptors.size() * sizeof(int);
    std::vector<char> control(CMSG_SPACE(size));
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        auto* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(header), descriptors.data(), size);
    }
    return ::sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::optional<received> receive_message(int from) {
    std::string text(longest_message, '\0');
    std::vector<char> control(CMSG_SPACE(most_offered * sizeof(int)));
    iovec bytes{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto n = ::recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) return std::nullopt;
    received got;
    for (auto* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        std::vector<int> numbers((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        std::memcpy(numbers.data(), CMSG_DATA(header), numbers.size() * sizeof(int));
        for (const int each : numbers) got.descriptors.emplace_back(each);
    }
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return std::nullopt; // what came is closed
    text.resize(static_cast<std::size_t>(n));
    got.text = std::move(text);
    return got;
}

peer peer_of(int socket, std::optional<uid_t> also) {
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return {};
    return {who.pid, who.uid == ::geteuid() || who.uid == 0 || who.uid == also};
}

descriptor unix_socket() { return descriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

std::optional<std::string> wrong_with_socket_path(const std::string& path) {
    constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1 - 12; // ".", a process id, and one to spare
    if (path.empty() || path.find('\0') != path.npos) return "--takeover: the path of a Unix socket is needed";
    if (path.size() > longest)
        return "--takeover: " + path + " is longer than the " + std::to_string(longest) +
               " bytes that the path of a Unix socket may have";
    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0 && !S_ISSOCK(found.st_mode))
        return "--takeover: " + path + " is there and is not a socket";
    return std::nullopt;
}

boost::system::result<std::optional<predecessor>, std::string>
predecessor::ask(const std::string& path, std::chrono::milliseconds patience, std::optional<uid_t> becoming) {
    using outcome = boost::system::result<std::optional<predecessor>, std::string>;
    const auto failed = [&path](const std::string& why) {
        return outcome(boost::system::in_place_error, "cannot take over from who listens at " + path + ": " + why);
    };
    if (auto wrong = wrong_with_socket_path(path)) return outcome(boost::system::in_place_error, std::move(*wrong));
    predecessor found;
    found.connection_ = unix_socket();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const int socket = found.connection_.number();
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED) return std::optional<predecessor>();
        if (errno == EAGAIN) return failed("it does not take our connection");
        if (errno == EPROTOTYPE) return failed("it is no scoregate");
        return failed(std::strerror(errno));
    }
    const auto who = peer_of(socket, becoming);
    if (!who.trusted) return failed("it runs as another user");
    found.process_ = who.process;
    const auto process = "process " + std::to_string(who.process);
    if (!readable_within(socket, patience))
        return failed(process + " does not answer within " + std::to_string(patience.count()) + " ms");
    auto got = receive_message(socket);
    if (!got) return failed("the answer of " + process + " cannot be read");
    if (got->text.empty()) return failed(process + " hands nothing over: it is ending, or does not trust this user");
    auto offer = parse_offer(got->text);
    if (!offer) return failed(process + ": " + offer.error());
    if (offer->size() != got->descriptors.size()) return failed(process + " sent fewer sockets than it names");
    for (std::size_t i = 0; i < offer->size(); ++i) {
        const auto& each = (*offer)[i];
        if (address_of(got->descriptors[i].number()) != each.bound)
            return failed("the socket for " + config::to_text(each.bound) + " is another");
        found.sockets_.push_back({std::move(got->descriptors[i]), each.bound, each.asked});
    }
    return std::optional<predecessor>(std::move(found));
}

bool predecessor::confirm(const std::vector<std::size_t>& taken) const {
    return send_message(connection_.number(), to_confirmation(taken), {});
}

} // namespace scoregate::app
