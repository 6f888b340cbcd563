#include "control/reloader.hpp"
#include "support/certificates.hpp"
#include "unit/control/configurations.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

nlohmann::json valid() {
    return nlohmann::json::parse(R"({
        "allowInsecureConnections": true,
        "services": { "iris": { "auth_mode": "none",
                                "deployments": { "blue": { "replicas": ["http://127.0.0.1:5001"] } } } } })");
}

struct fixture {
    explicit fixture(const nlohmann::json& text = valid()) {
        write(text.dump());
        auto loaded = config::load({file, {}});
        REQUIRE(loaded.value);
        reload.emplace(io.get_executor(), config::source{file, {}}, std::move(*loaded.value), build, names,
                       [this](auto next) { published.push_back(std::move(next)); });
    }
    void write(const std::string& text) { file = folder.write("scoregate.json", text); }
    reloader::outcome now() { return run(io, reload->reload()); }

    tests::pem_directory folder;
    std::string file;
    asio::io_context io{1};
    discovery names{io.get_executor()};
    assembly build{1};
    std::vector<std::shared_ptr<const routing::snapshot>> published;
    std::optional<reloader> reload;
};

base::task<> wait_for(reloader& which, int& ended) {
    co_await which.reload();
    ++ended;
}

} // namespace

TEST_CASE("what only a restart changes keeps its running value and is told") {
    const config::settings running;
    struct row {
        std::string pointer;
        void (*change)(config::settings&);
    };
    const std::vector<row> rows{
        {"/allowInsecureConnections", [](auto& s) { s.allow_insecure_connections = true; }},
        {"/sslCertPemFile, /sslKeyPemFile or /sslCname",
         [](auto& s) {
             s.certificate = config::certificate_files{"a", "b", "c"};
         }},
        {"/listen",
         [](auto& s) {
             s.listen_on.https = {{"127.0.0.1", 1}};
         }},
        {"/listen", [](auto& s) { s.listen_on.public_https_port = 1; }},
        {"/admin", [](auto& s) { s.admin.listen.reset(); }},
        {"/admin", [](auto& s) { s.admin.hosts = {"a"}; }},
        {"/workers", [](auto& s) { s.workers = 7; }},
        {"/limits/max_connections", [](auto& s) { s.limits.max_connections = 7; }},
        {"/access_log", [](auto& s) { s.access_log.path.reset(); }},
    };
    for (const auto& row : rows) {
        INFO(row.pointer);
        config::settings next;
        row.change(next);
        CHECK(keep_restart_only(next, running) == std::vector{row.pointer});
        CHECK(keep_restart_only(next, running).empty()); // now it is the running value
    }
    config::settings next;
    next.limits.max_request_bytes = 1;
    next.timeouts.header = 1ms;
    next.services.push_back(service_named("iris", {}));
    CHECK(keep_restart_only(next, running).empty());
    CHECK(next.limits.max_request_bytes == 1);
    CHECK(next.timeouts.header == 1ms);
    CHECK(next.services.size() == 1);
}

TEST_CASE("a good file is put in force whole") {
    fixture at;
    auto text = valid();
    text["services"]["iris"]["deployments"]["blue"]["replicas"] = {"http://127.0.0.1:5001", "http://127.0.0.1:5002"};
    text["limits"]["max_request_bytes"] = 777;
    at.write(text.dump());
    const auto done = at.now();
    CHECK(done.problems.empty());
    CHECK(done.warnings.empty());
    REQUIRE(at.published.size() == 1);
    CHECK(at.published[0]->settings().limits.max_request_bytes == 777);
    CHECK(at.published[0]->services().at(0).replicas->states().size() == 2);
    CHECK(at.reload->running().limits.max_request_bytes == 777);
    CHECK(at.reload->past().succeeded == 1);
    CHECK(at.reload->past().failed == 0);
    CHECK(at.reload->past().last_succeeded);
    CHECK(at.reload->past().last_at > std::chrono::system_clock::now() - 1min);
}

TEST_CASE("a bad file changes nothing, and every problem is told") {
    fixture at;
    auto text = valid();
    text["limits"]["max_request_bytes"] = -1;
    text["limits"]["max_header"] = 3;
    text["limits"]["max_headers"] = 7; // good, but all or nothing
    at.write(text.dump());
    const auto done = at.now();
    CHECK(done.problems.size() == 2);
    CHECK(at.published.empty());
    CHECK(at.reload->running().limits.max_headers == 100);
    CHECK(at.reload->past().succeeded == 0);
    CHECK(at.reload->past().failed == 1);
    CHECK_FALSE(at.reload->past().last_succeeded);
    CHECK(at.reload->past().last_problems.size() == 2);

    at.write("{");
    CHECK(at.now().problems.size() == 1);
    std::filesystem::remove(at.file);
    CHECK(at.now().problems.size() == 1);
    CHECK(at.reload->past().failed == 3);

    at.write(valid().dump());
    CHECK(at.now().problems.empty());
    CHECK(at.published.size() == 1);
    CHECK(at.reload->past().succeeded == 1);
    CHECK(at.reload->past().last_succeeded);
    CHECK(at.reload->past().last_problems.empty());
}

TEST_CASE("a file that changes what only a restart can has its rest applied, with a warning") {
    fixture at;
    auto text = valid();
    text["workers"] = 7;
    text["limits"]["max_headers"] = 55;
    at.write(text.dump());
    const auto done = at.now();
    CHECK(done.problems.empty());
    REQUIRE(done.warnings.size() == 1);
    CHECK_THAT(done.warnings[0], Catch::StartsWith("/workers "));
    CHECK(at.reload->running().workers == 0);
    CHECK(at.published.at(0)->settings().workers == 0);
    CHECK(at.published.at(0)->settings().limits.max_headers == 55);
}

TEST_CASE("what is in flight outlives a reload") {
    fixture at;
    CHECK(at.now().problems.empty());
    const auto held = at.published.at(0)->services().at(0).replicas->reserve();
    REQUIRE(held.has_value());
    CHECK(at.now().problems.empty());
    CHECK(at.published.at(1)->services().at(0).replicas->states().at(0).in_flight == 1);
}

TEST_CASE("reloads that come together are done one after the other, each of them") {
    auto text = valid(); // a name, so that a reload has to wait
    text["services"]["iris"]["deployments"]["blue"]["replicas"] = {"http://localhost:5001"};
    fixture at(text);
    int ended = 0;
    base::gate inside;
    for (int i = 0; i < 3; ++i) base::spawn(at.io.get_executor(), inside, wait_for(*at.reload, ended));
    at.io.restart();
    while (ended < 3 && at.io.run_one() != 0) {
    }
    CHECK(at.published.size() == 3);
    CHECK(at.reload->past().succeeded == 3);
    CHECK_FALSE(at.published.back()->services().at(0).replicas->states().at(0).url.empty());
    CHECK(at.published.back()->services().at(0).replicas->states().at(0).resolved);
}
