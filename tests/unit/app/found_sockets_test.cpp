#include "app/found_sockets.hpp"

#include "app/bind.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

using namespace scoregate;
using namespace scoregate::app;

namespace {

// A socket that nobody reads: what is matched are addresses.
found_socket found(config::endpoint bound, std::optional<request_to_listen> asked = {}) {
    return {descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), std::move(bound), std::move(asked)};
}

using places = std::vector<std::optional<std::size_t>>;

} // namespace

TEST_CASE("a found socket serves who asks for its address, or asked for it before") {
    const config::endpoint any_port{"127.0.0.1", 0}, a{"127.0.0.1", 4001}, b{"127.0.0.1", 4002};
    const request_to_listen https{purpose::https, any_port}, http{purpose::http, any_port};
    std::vector<found_socket> all;
    all.push_back(found(a, https));
    all.push_back(found(b, http));
    CHECK(match_sockets(all, {http, https}) == places{1, 0});
    CHECK(match_sockets(all, {{purpose::admin, any_port}}) == places{std::nullopt});
    CHECK(match_sockets(all, {https, https}) == places{0, std::nullopt}); // none serves two
    CHECK(match_sockets(all, {{purpose::admin, a}}) == places{0});        // by address, for whatever purpose
    CHECK(match_sockets(all, {https, {purpose::https, a}}) == places{std::nullopt, 0});
    CHECK(match_sockets(all, {{purpose::https, {"127.0.0.2", 4001}}, {purpose::https, {"127.0.0.1", 4003}}}) ==
          places{std::nullopt, std::nullopt});
    CHECK(match_sockets({}, {https}) == places{std::nullopt});
}

TEST_CASE("wildcards: 0.0.0.0 serves for [::], where nothing better does, and not the other way round") {
    const config::endpoint six{"::", 8443}, four{"0.0.0.0", 8443};
    std::vector<found_socket> all;
    all.push_back(found(four));
    CHECK(match_sockets(all, {{purpose::https, six}}) == places{0});
    CHECK(match_sockets(all, {{purpose::https, {"::", 8444}}}) == places{std::nullopt});
    all.push_back(found(six));
    CHECK(match_sockets(all, {{purpose::https, six}, {purpose::http, four}}) == places{1, 0});
    std::vector<found_socket> wide;
    wide.push_back(found(six));
    CHECK(match_sockets(wide, {{purpose::https, four}}) == places{std::nullopt});
}

TEST_CASE("LISTEN_FDS counts only for the process that LISTEN_PID names") {
    CHECK(*passed_count("42", "3", 42) == 3);
    CHECK(*passed_count("42", "0", 42) == 0);
    CHECK(*passed_count("41", "3", 42) == 0);
    CHECK(*passed_count("41", "rubbish", 42) == 0);
    CHECK(*passed_count(nullptr, "3", 42) == 0);
    CHECK(*passed_count("42", nullptr, 42) == 0);
    for (const char* wrong : {"", "-1", "3 ", "251", "99999999999999999999", "x"})
        CHECK_THAT(passed_count("42", wrong, 42).error(), Catch::Contains("LISTEN_FDS"));
    for (const char* wrong : {"", "-42", "42x"})
        CHECK_THAT(passed_count(wrong, "3", 42).error(), Catch::Contains("LISTEN_PID"));
}

TEST_CASE("the variables are gone afterwards, whatever they said") {
    for (const char* pid : {"1", "rubbish"}) {
        ::setenv("LISTEN_PID", pid, 1);
        ::setenv("LISTEN_FDS", "1", 1);
        ::setenv("LISTEN_FDNAMES", "https", 1);
        CHECK(passed_sockets().has_error() == (std::string(pid) == "rubbish"));
        for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) CHECK(std::getenv(name) == nullptr);
    }
}

TEST_CASE("a passed socket is taken with its address, non-blocking and closed by exec") {
    auto bound = listen_on({"127.0.0.1", 0});
    REQUIRE(bound.has_value());
    const int number = bound->descriptor;
    ::fcntl(number, F_SETFL, 0); // as systemd passes it
    ::fcntl(number, F_SETFD, 0);
    const auto passed = adopt_passed(number);
    REQUIRE(passed.has_value());
    CHECK(passed->bound == address_of(number));
    CHECK("127.0.0.1:" + std::to_string(passed->bound.port) == bound->address);
    CHECK(passed->bound.port != 0);
    CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("what cannot be listened on is refused by its number") {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    const descriptor other(pair[1]);
    CHECK_THAT(adopt_passed(pair[0]).error(), Catch::Contains("is not a TCP socket"));
    CHECK_THAT(adopt_passed(100000).error(), Catch::Contains("descriptor 100000, which is not open"));

    auto bound = listen_on({"127.0.0.1", 0});
    REQUIRE(bound.has_value());
    const descriptor listens(bound->descriptor);
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::getsockname(listens.number(), raw, &size) == 0);
    const int connected = ::socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(::connect(connected, raw, size) == 0);
    CHECK_THAT(adopt_passed(connected).error(), Catch::Contains("Accept=no"));
}
