#include "control/reloader.hpp"
#include "support/certificates.hpp"
#include "telemetry/log.hpp"
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
        const config::source from{file, {}};
        const auto read = config::read_text(from, false);
        auto loaded = config::load(from, read);
        REQUIRE(loaded.value);
        tls.adopt(read_tls(loaded.certificates, loaded.value->ticket_keys_dir, loaded.value->client_ca, false, file),
                  *loaded.value);
        contexts.clear();
        keys.adopt(read_keys(loaded.value->services, loaded.admin_token_file, file), *loaded.value);
        const auto content = digest_of(read, ca_files_of(loaded.value->services));
        auto trust = read_trust(loaded.value->services, file).loaded;
        reload.emplace(io.get_executor(), background, from, std::move(*loaded.value), content, std::move(trust), tls,
                       keys, build, names, [this](auto next) { published.push_back(std::move(next)); });
    }
    void write(const std::string& text) { file = folder.write("scoregate.json", text); }
    config::problems now() { return run(io, reload->reload()); }
    const reload_history& past() const { return reload->unit().past(); }
    // Until `done`, or the test's own time is up.
    template <class Done>
    void run_until(Done done) {
        io.restart();
        const auto end = std::chrono::steady_clock::now() + 60s;
        while (!done() && std::chrono::steady_clock::now() < end) io.run_one_for(1s);
        REQUIRE(done());
    }

    tests::pem_directory folder;
    std::string file;
    asio::io_context io{1};
    std::vector<std::vector<tls::ssl_ctx_ptr>> contexts;
    tls_reloader tls{io.get_executor(), background, 1,
                     [this](auto next, auto) { contexts.push_back(std::move(next)); }};
    key_reloader keys{io.get_executor(), background, [this] { reload->publish_again(); }};
    discovery names{io.get_executor()};
    assembly build{1};
    std::vector<std::shared_ptr<const routing::snapshot>> published;
    std::optional<reloader> reload;
    base::background background; // ends first
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
        {"/listen/https",
         [](auto& s) {
             s.listen_on.https = {{"127.0.0.1", 1}};
         }},
        {"/listen/http", [](auto& s) { s.listen_on.http.clear(); }},
        {"/admin", [](auto& s) { s.admin.listen.reset(); }},
        {"/admin", [](auto& s) { s.admin.hosts = {"a"}; }},
        {"/workers", [](auto& s) { s.workers = 7; }},
        {"/limits/max_connections", [](auto& s) { s.limits.max_connections = 7; }},
        {"/access_log", [](auto& s) { s.access_log.path.reset(); }},
        {"/access_log", [](auto& s) { s.access_log.sample_successes = 2; }},
        {"/tracing", [](auto& s) { s.tracing.emplace(); }},
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
    next.listen_on.public_https_port = 1;
    next.allow_insecure_connections = true;
    next.services.push_back(service_named("iris", {}));
    CHECK(keep_restart_only(next, running).empty());
    CHECK(next.limits.max_request_bytes == 1);
    CHECK(next.timeouts.header == 1ms);
    CHECK(next.services.size() == 1);
}

TEST_CASE("acme changes by a restart alone, but for TLS as a whole") {
    config::settings next;
    const std::optional<config::acme> none;
    config::acme one;
    one.directory = "https://provider/dir";
    one.domain = "contosoab12cd.models.test";
    CHECK(wrong_with_acme(next, none).empty());
    next.acme = one;
    CHECK(wrong_with_acme(next, one).empty());
    for (const auto& started : {none, std::optional(one)}) {
        next.acme = one;
        next.acme->contact = "ops@contoso.com";
        const auto wrong = wrong_with_acme(next, started);
        REQUIRE(wrong.size() == 1);
        CHECK(wrong.front().pointer == "/acme");
        CHECK_THAT(wrong.front().message, Catch::Contains("has changed") && Catch::Contains("restart"));
    }
    next.acme = one;
    next.acme->domain = "contosoxxxxxx.models.test";
    CHECK_THAT(wrong_with_acme(next, one).front().message, Catch::Contains("names another domain"));
    next.acme.reset();
    CHECK(wrong_with_acme(next, one).size() == 1);
    next.allow_insecure_connections = true;
    CHECK(wrong_with_acme(next, one).empty());
}

TEST_CASE("a good file is put in force whole") {
    fixture at;
    auto text = valid();
    text["services"]["iris"]["deployments"]["blue"]["replicas"] = {"http://127.0.0.1:5001", "http://127.0.0.1:5002"};
    text["limits"]["max_request_bytes"] = 777;
    at.write(text.dump());
    CHECK(at.now().empty());
    REQUIRE(at.published.size() == 1);
    CHECK(at.published[0]->settings().limits.max_request_bytes == 777);
    CHECK(at.published[0]->services().at(0).targets.at(0).replicas->look().replicas.size() == 2);
    CHECK(at.reload->running().limits.max_request_bytes == 777);
    CHECK(at.past().succeeded == 1);
    CHECK(at.past().failed == 0);
    CHECK(at.past().last_succeeded);
    CHECK(at.past().last_at > std::chrono::system_clock::now() - 1min);
}

TEST_CASE("a changed log level is in force at once; one that has not changed leaves what was set at run time") {
    fixture at;
    auto text = valid();
    text["log_level"] = "error";
    at.write(text.dump());
    CHECK(at.now().empty());
    CHECK(telemetry::log_level() == "error");
    telemetry::set_log_level("debug");
    text["limits"]["max_request_bytes"] = 778;
    at.write(text.dump());
    CHECK(at.now().empty());
    CHECK(telemetry::log_level() == "debug");
    text.erase("log_level");
    at.write(text.dump());
    CHECK(at.now().empty());
    CHECK(telemetry::log_level() == "info");
}

TEST_CASE("a bad file changes nothing, and every problem is told") {
    fixture at;
    auto text = valid();
    text["limits"]["max_request_bytes"] = -1;
    text["limits"]["max_header"] = 3;
    text["limits"]["max_headers"] = 7; // good, but all or nothing
    at.write(text.dump());
    CHECK(at.now().size() == 2);
    CHECK(at.published.empty());
    CHECK(at.reload->running().limits.max_headers == 100);
    CHECK(at.past().succeeded == 0);
    CHECK(at.past().failed == 1);
    CHECK_FALSE(at.past().last_succeeded);
    CHECK(at.past().last_problems.size() == 2);

    at.write("{");
    CHECK(at.now().size() == 1);
    std::filesystem::remove(at.file);
    CHECK(at.now().size() == 1);
    CHECK(at.past().failed == 3);

    text = valid();
    text["limits"]["max_headers"] = 55;
    at.write(text.dump());
    CHECK(at.now().empty());
    CHECK(at.published.size() == 1);
    CHECK(at.past().succeeded == 1);
    CHECK(at.past().last_succeeded);
    CHECK(at.past().last_problems.empty());
}

TEST_CASE("a file that changes what only a restart can has its rest applied") {
    fixture at;
    auto text = valid();
    text["workers"] = 7;
    text["limits"]["max_headers"] = 55;
    at.write(text.dump());
    CHECK(at.now().empty());
    CHECK(at.reload->running().workers == 0);
    CHECK(at.published.at(0)->settings().workers == 0);
    CHECK(at.published.at(0)->settings().limits.max_headers == 55);
}

TEST_CASE("what is in flight outlives a reload") {
    fixture at;
    CHECK(at.now().empty());
    const auto held = at.published.at(0)->services().at(0).targets.at(0).replicas->reserve_now({});
    REQUIRE(held.has_value());
    CHECK(at.now().empty());
    CHECK(at.published.at(1)->services().at(0).targets.at(0).replicas->look().replicas.at(0).in_flight == 1);
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
    CHECK(at.published.size() == 4); // for each of them, and because the name has been found
    CHECK(at.past().succeeded == 0); // the file is the same
    CHECK_FALSE(at.published.back()->services().at(0).targets.at(0).replicas->look().replicas.at(0).url.empty());
    CHECK(at.published.back()->services().at(0).targets.at(0).replicas->look().replicas.at(0).resolved);
}

TEST_CASE("a file that is replaced is read by itself, a broken one only after it was waited for") {
    fixture at;
    base::gate inside;
    base::spawn(at.io.get_executor(), inside, at.reload->follow_file());
    auto text = valid();
    text["limits"]["max_headers"] = 55;
    at.write(text.dump());
    at.run_until([&] { return at.published.size() == 1; });
    CHECK(at.reload->running().limits.max_headers == 55);
    CHECK(at.past().succeeded == 1);

    at.write("{");
    at.run_until([&] { return at.past().failed == 1; });
    CHECK(at.reload->running().limits.max_headers == 55);
    at.write(text.dump()); // back to what is in force: nothing to reload, nothing to mend
    at.run_until([&] { return at.past().last_succeeded; });
    CHECK(at.past().succeeded == 1);
    CHECK(at.published.size() == 1);
}

TEST_CASE("certificates that https:// replicas are verified by are followed, and kept while they are no good") {
    const tests::pem_directory folder;
    const auto first = tests::make_hierarchy().root_pem(), second = tests::make_hierarchy().root_pem();
    auto text = valid();
    auto& blue = text["services"]["iris"]["deployments"]["blue"];
    blue["replicas"] = {"https://127.0.0.1:5001"};
    blue["replica_tls"] = {{"ca_file", folder.write("ca.pem", first)}};
    fixture at{text};
    const auto trust = [&] {
        auto& replicas = *at.published.back()->services().at(0).targets.at(0).replicas;
        const auto held = replicas.reserve_now(std::chrono::steady_clock::now());
        REQUIRE(held.has_value());
        return held->where().trust;
    };
    CHECK(at.now().empty());
    const auto before = trust();
    REQUIRE(before);
    CHECK(at.now().empty());
    CHECK(trust() == before); // unchanged: connections stay good

    base::gate inside;
    base::spawn(at.io.get_executor(), inside, at.reload->follow_file());
    const auto count = at.published.size();
    folder.write("ca.pem", second);
    at.run_until([&] { return at.published.size() == count + 1; });
    CHECK_FALSE(trust() == before);
    const auto renewed = trust();
    folder.write("ca.pem", "none");
    at.run_until([&] { return at.past().failed == 1; });
    CHECK(at.past().last_problems.at(0).pointer == "/services/iris/deployments/blue/replica_tls/ca_file");
    CHECK(at.published.size() == count + 1);
    folder.write("ca.pem", first);
    at.run_until([&] { return at.published.size() == count + 2; });
    CHECK_FALSE(trust() == renewed);
}

TEST_CASE("services_dir is followed: files added, changed, removed, half written, and swapped by Kubernetes") {
    namespace fs = std::filesystem;
    fixture at;
    const auto root = at.folder.path() / "services";
    const auto with_replica = [](int port) {
        auto service = valid()["services"]["iris"];
        service["deployments"]["blue"]["replicas"] = {"http://127.0.0.1:" + std::to_string(port)};
        return service.dump();
    };
    const auto shown = [&] { // names and ports
        std::string text;
        for (const auto& each : at.reload->running().services)
            text += each.name + std::to_string(each.deployments.at(0).replicas.at(0).port) + " ";
        return text;
    };
    const auto becomes = [&](const std::string& wanted) {
        at.run_until([&] { return shown() == wanted; });
        CHECK(at.published.back()->services().size() == at.reload->running().services.size());
    };
    fs::create_directory(root);
    base::gate inside;
    base::spawn(at.io.get_executor(), inside, at.reload->follow_file());
    auto text = valid();
    text["services_dir"] = "services";
    text["services"] = nlohmann::json::object();
    at.folder.write("services/rose.json", with_replica(1));
    at.write(text.dump());
    becomes("rose1 ");
    at.folder.write("services/lily.json", with_replica(2)); // the main file has not changed since
    becomes("lily2 rose1 ");
    at.folder.write("services/rose.json", with_replica(3));
    becomes("lily2 rose3 ");
    fs::remove(root / "lily.json");
    becomes("rose3 ");
    CHECK(at.past().failed == 0);

    at.folder.write("services/wine.json", "{");
    at.run_until([&] { return at.reload->unit().waiting(); });
    at.folder.write("services/wine.json", with_replica(4));
    becomes("rose3 wine4 ");
    CHECK(at.past().failed == 0); // it was waited for

    at.folder.write("services/rose.json", with_replica(5)); // all or nothing
    at.folder.write("services/wine.json", "{}");
    at.run_until([&] { return at.past().failed == 1; });
    CHECK(shown() == "rose3 wine4 ");
    CHECK(at.past().last_problems.at(0).file == (root / "wine.json").string());
    fs::remove(root / "wine.json");
    becomes("rose5 ");
    CHECK(at.past().last_succeeded);

    fs::create_directory(root / "..one");
    fs::create_directory(root / "..two");
    at.folder.write("services/..one/lily.json", with_replica(6));
    at.folder.write("services/..two/lily.json", with_replica(7));
    fs::create_symlink("..one", root / "..data");
    fs::create_symlink("..data/lily.json", root / "lily.json");
    becomes("lily6 rose5 ");
    fs::create_symlink("..two", root / "..tmp");
    fs::rename(root / "..tmp", root / "..data");
    becomes("lily7 rose5 ");
    CHECK(at.past().failed == 1);
}

TEST_CASE("TLS is switched on and off by a reload, and only with a pair that a start would take") {
    const auto identity = tests::make_hierarchy();
    fixture at;
    auto secure = valid();
    secure["allowInsecureConnections"] = false;
    secure["sslCertPemFile"] = "cert.pem";
    secure["sslKeyPemFile"] = "key.pem";
    secure["sslCname"] = "www.contoso.com";
    at.write(secure.dump());
    const auto problems = at.now(); // there is no such pair yet
    REQUIRE(problems.size() == 2);
    CHECK(problems[0].pointer == "/sslCertPemFile");
    CHECK(at.reload->running().allow_insecure_connections);
    CHECK(at.contexts.empty());

    at.folder.write_pair(identity.certificate_pem(), identity.key_pem(), "");
    CHECK(at.now().empty());
    CHECK_FALSE(at.reload->running().allow_insecure_connections);
    REQUIRE(at.contexts.size() == 1);
    CHECK(at.contexts[0].at(0) != nullptr);

    // A pair that has gone bad since keeps what is served and holds up nothing.
    at.folder.write("key.pem", "none");
    secure["limits"]["max_headers"] = 55;
    at.write(secure.dump());
    CHECK(at.now().empty());
    CHECK(at.reload->running().limits.max_headers == 55);
    CHECK(at.contexts.size() == 1);

    secure["allowInsecureConnections"] = true; // the settings of TLS are left over
    at.write(secure.dump());
    CHECK(at.now().empty());
    CHECK(at.reload->running().allow_insecure_connections);
    REQUIRE(at.contexts.size() == 2);
    CHECK(at.contexts[1].at(0) == nullptr);
    CHECK(at.tls.pairs().empty());
}

TEST_CASE("a configuration that names a certificate before it is there is taken when it comes") {
    const auto identity = tests::make_hierarchy();
    fixture at;
    base::gate inside;
    base::spawn(at.io.get_executor(), inside, at.reload->follow_file());
    auto secure = valid();
    secure["allowInsecureConnections"] = false;
    secure["sslSecret"] = ".";
    secure["sslCname"] = "www.contoso.com";
    at.write(secure.dump());
    at.run_until([&] { return at.past().failed == 1; });
    at.folder.write_pair(identity.certificate_pem(), identity.key_pem(), "");
    at.run_until([&] { return at.past().last_succeeded; });
    CHECK_FALSE(at.reload->running().allow_insecure_connections);
    CHECK(at.past().failed == 1); // told once, however often it was tried
}

TEST_CASE("an expired certificate does not come in by way of another configuration while a valid one is served") {
    using std::chrono::system_clock;
    tests::identity_terms terms;
    terms.not_before = system_clock::now() - 48h;
    terms.not_after = system_clock::now() - 24h;
    const auto valid_one = tests::make_hierarchy(), expired = tests::make_hierarchy(terms);
    fixture at;
    std::filesystem::create_directory(at.folder.path() / "a");
    std::filesystem::create_directory(at.folder.path() / "b");
    at.folder.write("a/cert.pem", valid_one.certificate_pem());
    at.folder.write("a/key.pem", valid_one.key_pem());
    at.folder.write("b/cert.pem", expired.certificate_pem());
    at.folder.write("b/key.pem", expired.key_pem());
    auto text = valid();
    text["allowInsecureConnections"] = false;
    text["sslSecret"] = "a";
    text["sslCname"] = "www.contoso.com";
    at.write(text.dump());
    CHECK(at.now().empty());
    text["sslSecret"] = "b";
    at.write(text.dump());
    const auto problems = at.now();
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].pointer == "/sslSecret");
    CHECK(at.tls.pairs().at(0)->value->serial() == valid_one.certificate()->serial());
}
