// The access log as syslog messages, against a daemon's socket that the test reads.
#include "telemetry/access_log.hpp"
#include "telemetry/syslog.hpp"

#include "support/temporary_folder.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

using folder = scoregate::tests::temporary_folder;

// What a syslog daemon listens with.
class daemon_socket {
public:
    explicit daemon_socket(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        ::unlink(path.c_str());
        bind_to(&address, sizeof address);
    }
    // UDP on a free port of 127.0.0.1.
    daemon_socket() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        bind_to(&address, sizeof address);
        socklen_t size = sizeof address;
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    ~daemon_socket() { ::close(fd_); }
    daemon_socket(const daemon_socket&) = delete;
    daemon_socket& operator=(const daemon_socket&) = delete;

    unsigned port() const { return port_; }

    // The next message; empty when none comes within 10 s.
    std::string receive() const {
        std::string text(65536, '\0');
        const auto got = ::recv(fd_, text.data(), text.size(), 0);
        text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
        return text;
    }

    // The same of what `from` still holds: a flush hands nothing over while the writer has a block, as on a core's
    // tick.
    std::string receive(access_log::channel& from) const {
        constexpr int tick_ms = 10, most_ticks = 1000;
        pollfd come{fd_, POLLIN, 0};
        for (int tick = 0; tick < most_ticks; ++tick) {
            from.flush();
            if (::poll(&come, 1, tick_ms) == 1) break;
        }
        return receive();
    }

private:
    void bind_to(const void* address, socklen_t size) const {
        const timeval patience{10, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (::bind(fd_, static_cast<const sockaddr*>(address), size) != 0) throw std::runtime_error("bind");
    }

    int fd_;
    unsigned port_ = 0;
};

std::unique_ptr<access_log> opened(access_log::options options) {
    auto log = access_log::open(std::move(options));
    if (!log) FAIL(log.error());
    return std::move(*log);
}

access_record numbered(std::uint64_t number) {
    return {.ts = std::chrono::system_clock::time_point{1769860800123ms}, .status = 200, .bytes_in = number};
}

// The parts of a message of RFC 5424 without structured data: priority, time, host, process and what it says.
std::vector<std::string> parts_of(const std::string& message) {
    const std::regex form{R"(<(\d{1,3})>1 (\S+) (\S{1,255}) scoregate (\d{1,128}) access - (.*))"};
    std::smatch match;
    if (!std::regex_match(message, match, form)) return {};
    return std::vector<std::string>(match.begin() + 1, match.end());
}

std::uint64_t number_in(const std::string& message) {
    const auto parts = parts_of(message);
    return parts.empty() ? 0 : nlohmann::json::parse(parts[4])["bytes_in"].get<std::uint64_t>();
}

} // namespace

TEST_CASE("each line is a message of RFC 5424, in a datagram of its own") {
    folder in;
    const daemon_socket server(in / "log");
    const auto log = opened({.path = "syslog:" + in / "log"});
    auto& core = log->at(0);
    core.write(numbered(1));
    core.write({.ts = std::chrono::system_clock::time_point{1769860800123ms},
                .status = 502,
                .fault = base::fault::connect_failed});
    core.flush();
    const auto first = parts_of(server.receive()), second = parts_of(server.receive());
    REQUIRE(first.size() == 5);
    CHECK(first[0] == "134"); // local0, informational
    CHECK(first[1] == "2026-01-31T12:00:00.123Z");
    CHECK(first[3] == std::to_string(::getpid()));
    CHECK(nlohmann::json::parse(first[4])["bytes_in"] == 1);
    REQUIRE(second.size() == 5);
    CHECK(second[0] == "132"); // warning
    CHECK(nlohmann::json::parse(second[4])["fault"] == "connect_failed");
    log->stop();
    CHECK(log->dropped() == 0);
}

TEST_CASE("the daemon of this machine gets what syslog(3) would send") {
    const syslog_header header("syslog", config::log_facility::local7);
    std::string text;
    header.append(text, {}, false);
    CHECK(text == "<190>scoregate[" + std::to_string(::getpid()) + "]: ");
    text.clear();
    header.append(text, {}, true);
    CHECK(text.starts_with("<188>scoregate["));
}

TEST_CASE("facility and format are those that were asked for") {
    folder in;
    const daemon_socket server(in / "log");
    const auto log = opened(
        {.path = "syslog:" + in / "log", .format = config::log_format::text, .facility = config::log_facility::daemon});
    log->at(0).write(numbered(1));
    log->stop();
    const auto parts = parts_of(server.receive());
    REQUIRE(parts.size() == 5);
    CHECK(parts[0] == "30"); // 3 x 8 + 6
    CHECK(parts[4].starts_with("- - - [31/Jan/2026:12:00:00 +0000] "));
}

TEST_CASE("whatever a client sends is one message") {
    folder in;
    const daemon_socket server(in / "log");
    const auto log = opened({.path = "syslog:" + in / "log"});
    const std::string forged = "a\r\n<8>1 2026-01-31T12:00:00Z x scoregate 1 access - {\"status\":200}\n";
    log->at(0).write({.path = forged, .status = 404, .user_agent = forged});
    log->at(0).write(numbered(2));
    log->stop();
    const auto parts = parts_of(server.receive());
    REQUIRE(parts.size() == 5);
    CHECK(nlohmann::json::parse(parts[4])["user_agent"] == forged);
    CHECK(number_in(server.receive()) == 2);
}

TEST_CASE("messages go by UDP to an address") {
    const daemon_socket server;
    const auto log = opened({.path = "syslog:127.0.0.1:" + std::to_string(server.port())});
    log->at(0).write(numbered(7));
    log->at(0).flush();
    CHECK(number_in(server.receive()) == 7);
    log->stop();
}

TEST_CASE("a daemon that is started anew gets the next message") {
    folder in;
    auto server = std::make_unique<daemon_socket>(in / "log");
    const auto log = opened({.path = "syslog:" + in / "log"});
    log->at(0).write(numbered(1));
    log->at(0).flush();
    CHECK(number_in(server->receive()) == 1);
    server.reset();
    server = std::make_unique<daemon_socket>(in / "log");
    log->at(0).write(numbered(2));
    CHECK(number_in(server->receive(log->at(0))) == 2);
    log->stop();
    CHECK(log->dropped() == 0);
    CHECK(log->write_errors() == 1); // of the socket that was gone
}

TEST_CASE("while there is no daemon messages are lost and counted") {
    folder in;
    auto server = std::make_unique<daemon_socket>(in / "log");
    const auto log = opened({.path = "syslog:" + in / "log"});
    server.reset();
    fs::remove(in / "log");
    for (std::uint64_t i = 0; i < 100; ++i) log->at(0).write(numbered(i));
    log->stop();
    CHECK(log->dropped() == 100);
    CHECK(log->write_errors() == 100);
}

TEST_CASE("a daemon that does not read holds nobody up") {
    constexpr std::uint64_t count = 20000;
    folder in;
    const daemon_socket server(in / "log");
    const auto log = opened({.path = "syslog:" + in / "log", .max_pending = 128 << 10});
    for (std::uint64_t i = 0; i < count; ++i) log->at(0).write(numbered(i));
    CHECK(log->dropped() > 0);
    log->stop(0ms);
    CHECK(log->dropped() < count); // the socket holds some
}

TEST_CASE("reopen finds the daemon that has the name now") {
    folder in;
    const daemon_socket before(in / "log");
    const auto log = opened({.path = "syslog:" + in / "log"});
    const daemon_socket now(in / "log"); // the old one is still open
    log->reopen();
    log->at(0).write(numbered(3));
    log->at(0).flush();
    CHECK(number_in(now.receive()) == 3);
    log->stop();
}

TEST_CASE("a daemon that is not there is told at once") {
    folder in;
    const auto missing = access_log::open({.path = "syslog:" + in / "log"});
    REQUIRE_FALSE(missing);
    CHECK(missing.error() == "cannot open the access log syslog:" + in / "log" + ": No such file or directory");
    CHECK(open_syslog("syslog:/" + std::string(200, 'x')) == -1);
    CHECK(errno == ENAMETOOLONG);
    CHECK(open_syslog("syslog:nonsense") == -1);
    CHECK(errno == EINVAL);
}
