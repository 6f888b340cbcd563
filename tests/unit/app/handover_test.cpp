#include "app/handover.hpp"

#include "app/bind.hpp"
#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <fstream>
#include <future>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace scoregate;
using namespace scoregate::app;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

const std::vector<offered_socket> three{
    {{purpose::https, {"::", 8443}}, {"0.0.0.0", 8443}},
    {{purpose::http, {"127.0.0.1", 0}}, {"127.0.0.1", 43211}},
    {{purpose::admin, {"::1", 9001}}, {"::1", 9001}},
};

// Somebody who listens at a path and is no scoregate's.
class other_side {
public:
    explicit other_side(const std::string& path, int type = SOCK_SEQPACKET)
        : socket_(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        REQUIRE(::bind(socket_.number(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::listen(socket_.number(), 4) == 0);
    }
    descriptor accept() const { return descriptor(::accept4(socket_.number(), nullptr, nullptr, SOCK_CLOEXEC)); }

private:
    descriptor socket_;
};

auto ask(const std::string& path, std::chrono::milliseconds patience = 10s) {
    return std::async(std::launch::async, [=] { return predecessor::ask(path, patience); });
}

} // namespace

TEST_CASE("an offer is read as it was written") {
    const auto text = to_offer(three);
    CHECK(text == "scoregate-handover 1\nhttps [::]:8443 0.0.0.0:8443\nhttp 127.0.0.1:0 127.0.0.1:43211\n"
                  "admin [::1]:9001 [::1]:9001\n");
    CHECK(*parse_offer(text) == three);
    CHECK(parse_offer(to_offer({}))->empty());
}

TEST_CASE("an offer in any other form is refused") {
    const std::string first = "scoregate-handover 1\n", socket = "https 127.0.0.1:1 127.0.0.1:1\n";
    for (const std::string& text :
         {std::string{}, std::string("scoregate-handover 1"), "scoregate-handover 2\n" + socket, socket})
        CHECK_THAT(parse_offer(text).error(), Contains("another version"));
    for (const char* line :
         {"\n", "https\n", "https 127.0.0.1:1\n", "ftp 127.0.0.1:1 127.0.0.1:1\n", "https 127.0.0.1:1 127.0.0.1:1",
          "https 127.0.0.1:1 127.0.0.1:1 \n", "https  127.0.0.1:1 127.0.0.1:1\n", "https localhost:1 127.0.0.1:1\n",
          "https 127.0.0.1:1 127.0.0.1:65536\n"})
        CHECK_THAT(parse_offer(first + socket + line).error(), Contains("no form that is known"));
    std::string many = first;
    for (std::size_t i = 0; i < most_offered; ++i) many += socket;
    CHECK(parse_offer(many)->size() == most_offered);
    CHECK(many.size() < longest_message);
    CHECK(parse_offer(many + socket).has_error());
    CHECK_THAT(parse_offer(to_busy(123)).error(), Contains("process 123 is taking over"));
}

TEST_CASE("a confirmation names sockets that were offered, each once") {
    CHECK(to_confirmation({0, 2}) == "serving\n0\n2\n");
    CHECK(parse_confirmation("serving\n0\n2\n", 3) == std::vector<std::size_t>{0, 2});
    CHECK(parse_confirmation("serving\n", 3) == std::vector<std::size_t>{});
    for (const char* wrong : {"", "serving", "serving\n3\n", "serving\n0\n0\n", "serving\n-1\n", "serving\n0",
                              "serves\n", "serving\n\n", "serving\n0 1\n"})
        CHECK(parse_confirmation(wrong, 3) == std::nullopt);
}

TEST_CASE("sockets arrive with their message, and the answer goes back") {
    tests::pem_directory folder;
    const auto path = (folder.path() / "takeover").string();
    const other_side old(path);
    auto asked = ask(path);
    const auto connection = old.accept();
    auto listens = listen_on({"127.0.0.1", 0});
    REQUIRE(listens.has_value());
    const descriptor held(listens->descriptor);
    const auto bound = address_of(held.number()).value();
    const request_to_listen request{purpose::http, {"127.0.0.1", 0}};
    REQUIRE(send_message(connection.number(), to_offer({{request, bound}}), {held.number()}));
    auto found = asked.get();
    REQUIRE(found.has_value());
    REQUIRE(found->has_value());
    auto& before = **found;
    CHECK(before.process() == ::getpid());
    REQUIRE(before.sockets().size() == 1);
    CHECK(before.sockets()[0].bound == bound);
    CHECK(before.sockets()[0].asked == request);
    CHECK(before.sockets()[0].socket.number() != held.number());
    CHECK(address_of(before.sockets()[0].socket.number()) == bound);
    CHECK(before.confirm({0}));
    CHECK(receive_message(connection.number()).value().text == "serving\n0\n");
}

TEST_CASE("where nobody listens there is no predecessor") {
    tests::pem_directory folder;
    const auto path = (folder.path() / "takeover").string();
    CHECK(!*predecessor::ask(path, 1s)); // no file
    { const other_side gone(path); }
    CHECK(!*predecessor::ask(path, 1s)); // a stale one
}

TEST_CASE("a predecessor that does not do its part is an error that says so") {
    tests::pem_directory folder;
    const auto path = (folder.path() / "takeover").string();
    const other_side old(path);
    SECTION("it says nothing") { CHECK_THAT(ask(path, 1ms).get().error(), Contains("does not answer within 1 ms")); }
    SECTION("it hangs up") {
        auto asked = ask(path);
        old.accept();
        CHECK_THAT(asked.get().error(), Contains("hands nothing over"));
    }
    const auto answered = [&](const std::string& text, const std::vector<int>& sockets) {
        auto asked = ask(path);
        const auto connection = old.accept();
        REQUIRE(send_message(connection.number(), text, sockets));
        return asked.get().error();
    };
    auto listens = listen_on({"127.0.0.1", 0});
    REQUIRE(listens.has_value());
    const descriptor held(listens->descriptor);
    SECTION("it says something else") { CHECK_THAT(answered("hello\n", {}), Contains("another version")); }
    SECTION("it names more than it sends") {
        CHECK_THAT(answered(to_offer(three), {held.number()}), Contains("fewer sockets than it names"));
    }
    SECTION("it sends another socket than it names") {
        CHECK_THAT(answered(to_offer({three[2]}), {held.number()}), Contains("is another"));
    }
    SECTION("it says more than can be said") {
        CHECK_THAT(answered(std::string(longest_message + 1, '\n'), {}), Contains("cannot be read"));
    }
}

TEST_CASE("a path that is somebody else's is refused and left as it is") {
    tests::pem_directory folder;
    const auto path = (folder.path() / "takeover").string();
    SECTION("a file") {
        std::ofstream(path) << "precious";
        CHECK_THAT(predecessor::ask(path, 1s).error(), Contains("is not a socket"));
    }
    SECTION("a socket of another kind") {
        const other_side stream(path, SOCK_STREAM);
        CHECK_THAT(predecessor::ask(path, 1s).error(), Contains("no scoregate"));
    }
    CHECK_THAT(predecessor::ask("/" + std::string(100, 'x'), 1s).error(), Contains("longer than"));
    CHECK_THAT(predecessor::ask("", 1s).error(), Contains("is needed"));
}
