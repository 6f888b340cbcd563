#include "control/admin_client.hpp"

#include "app/bind.hpp"
#include "control/admin_server.hpp"

#include <catch2/catch.hpp>

#include <thread>
#include <unistd.h>

using namespace scoregate;
using namespace scoregate::control;

namespace {

base::task<config::problems> refuse() {
    config::problems found;
    found.push_back({"scoregate.json", "/services", "is missing"});
    co_return found;
}

} // namespace

TEST_CASE("the admin port of a running scoregate is asked") {
    const auto bound = app::listen_on({"127.0.0.1", 0});
    REQUIRE(bound.has_value());
    base::asio::io_context loop{1};
    admin_server server(loop.get_executor(), bound->descriptor, {},
                        {[] { return true; }, [] { return ""; }, [] { return "{}"; }, refuse, [] {}});
    server.start();
    std::thread serving([&] { loop.run(); });
    const auto url = "http://" + bound->address;
    const auto status = ask_admin(url, "GET", "/status"), reload = ask_admin(url + "/", "POST", "/reload");
    // Which may be ::1 first, where nobody listens.
    const auto named =
        ask_admin("http://localhost" + bound->address.substr(bound->address.rfind(':')), "GET", "/status");
    loop.stop();
    serving.join();
    REQUIRE(status.has_value());
    CHECK(status->status == 200);
    CHECK(status->body == "{}");
    REQUIRE(named.has_value());
    CHECK(named->status == 200);
    REQUIRE(reload.has_value());
    CHECK(reload->status == 422);
    CHECK_THAT(reload->body, Catch::Contains("/services"));
}

TEST_CASE("where no scoregate answers, or the URL is none, it is said") {
    const auto bound = app::listen_on({"127.0.0.1", 0}); // its port is free again once it is closed
    REQUIRE(bound.has_value());
    ::close(bound->descriptor);
    const auto none = ask_admin("http://" + bound->address, "GET", "/status");
    REQUIRE_FALSE(none.has_value());
    CHECK_THAT(none.error(), Catch::Contains(bound->address) && Catch::Contains("--admin"));
    for (const std::string url : {"127.0.0.1:9001", "https://127.0.0.1:9001", "http://127.0.0.1", "http://:9001",
                                  "http://127.0.0.1:9001/status", "http://127.0.0.1:99999", "http://127.0.0.1:9001x",
                                  "http://127.0.0.1:0", ""}) {
        INFO(url);
        const auto reply = ask_admin(url, "GET", "/status");
        REQUIRE_FALSE(reply.has_value());
        CHECK_THAT(reply.error(), Catch::Contains("http://127.0.0.1:9001"));
    }
}

TEST_CASE("where the admin port of a configuration is reached") {
    CHECK(admin_url({"127.0.0.1", 9001}) == "http://127.0.0.1:9001");
    CHECK(admin_url({"0.0.0.0", 9002}) == "http://localhost:9002");
    CHECK(admin_url({"::", 9002}) == "http://localhost:9002");
    CHECK(admin_url({"::1", 9001}) == "http://[::1]:9001");
}
