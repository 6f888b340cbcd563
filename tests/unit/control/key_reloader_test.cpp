#include "control/key_reloader.hpp"
#include "support/tokens.hpp"
#include "unit/control/configurations.hpp"

#include <catch2/catch.hpp>

#include <filesystem>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

using tests::key_kind;
using tests::signing_key;

const signing_key& one() {
    static const signing_key made(key_kind::ec_p256, "one");
    return made;
}
const signing_key& two() {
    static const signing_key made(key_kind::ec_p256, "two");
    return made;
}

constexpr std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};

base::task<int> reload(key_reloader& which) {
    co_await which.reload();
    co_return 0;
}

struct fixture {
    fixture() {
        publish({&one()});
        settings = settings_of({service_named("iris", {})});
        settings.file = "scoregate.json";
        settings.services[0].auth = config::auth_mode::aml_token;
        settings.services[0].token = tests::token_terms((folder.path() / "jwks.json").string());
        start();
    }
    void start() {
        auto found = read_keys(settings.services, settings.admin.token_file, settings.file);
        REQUIRE(found.problems.empty());
        keys.adopt(std::move(found), settings);
    }
    void publish(std::initializer_list<const signing_key*> set) const {
        folder.write("jwks.json", tests::key_set_of(set).dump());
    }
    bool takes(const signing_key& by, const std::string& service = "iris") const {
        const auto tokens = keys.of(service).tokens;
        auto claims = tests::claims_at(now);
        claims["service"] = service;
        return tokens && tokens->verify(by.sign(claims), now).has_value();
    }
    // As another configuration is put in force.
    config::problems change(const config::settings& next) {
        auto found = run(io, keys.prepare(next));
        auto problems = found.problems;
        if (problems.empty()) keys.adopt(std::move(found), settings = next);
        return problems;
    }
    const key_reloader::service_unit& unit(const std::string& service = "iris") const {
        return *keys.units().at(service);
    }

    tests::pem_directory folder;
    config::settings settings;
    asio::io_context io{1};
    int changed = 0;
    key_reloader keys{io.get_executor(), background, [this] { ++changed; }};
    base::background background; // ends first
};

} // namespace

TEST_CASE("the keys of an issuer are exchanged without refusing a token of one that stays") {
    fixture at;
    CHECK(at.unit().unit.name() == "jwks:iris");
    CHECK(at.takes(one()));
    CHECK_FALSE(at.takes(two()));
    const auto before = at.keys.of("iris").tokens->version();

    at.publish({&one(), &two()});
    run(at.io, reload(at.keys));
    CHECK(at.changed == 1);
    CHECK(at.takes(one()));
    CHECK(at.takes(two()));
    CHECK(at.keys.of("iris").tokens->version() != before);
    CHECK(at.unit().unit.past().succeeded == 1);

    run(at.io, reload(at.keys)); // nothing has changed
    CHECK(at.changed == 1);

    at.publish({&two()});
    run(at.io, reload(at.keys));
    CHECK(at.changed == 2);
    CHECK_FALSE(at.takes(one()));
    CHECK(at.takes(two()));
}

TEST_CASE("a file of keys that is no good leaves the keys as they are, and says so") {
    fixture at;
    for (const std::string held : {"", "{\"keys\": [", R"({"keys":[{"kty":"oct","k":"c2VjcmV0"}]})", "gone"}) {
        CAPTURE(held);
        at.folder.write("jwks.json", held);
        if (held == "gone") std::filesystem::remove(at.folder.path() / "jwks.json");
        run(at.io, reload(at.keys));
        CHECK(at.takes(one()));
        CHECK(at.changed == 0);
        CHECK_FALSE(at.unit().unit.past().last_succeeded);
        REQUIRE(at.keys.problems().size() == 1);
        CHECK(at.keys.problems()[0].pointer == "/services/iris/token/jwks_file");
    }
    at.publish({&one()});
    run(at.io, reload(at.keys));
    CHECK(at.keys.problems().empty());
    CHECK(at.unit().unit.past().last_succeeded);
}

TEST_CASE("the token of the admin port is a unit of its own") {
    fixture at;
    const std::string old_token(32, 'o'), new_token(32, 'n');
    at.settings.admin.token_file = at.folder.write("token", old_token + "\n");
    at.start();
    REQUIRE(at.keys.units().size() == 2);
    const auto& unit = at.keys.units().at("")->unit;
    CHECK(unit.name() == "admin_token");
    CHECK(at.keys.admin_token()->match(old_token) == auth::key_name::primary);

    at.folder.write("token", "short");
    run(at.io, reload(at.keys));
    CHECK(unit.past().failed == 1);
    REQUIRE(at.keys.problems().size() == 1);
    CHECK(at.keys.problems()[0].pointer == "/admin/token_file");
    CHECK(at.keys.admin_token()->match(old_token) == auth::key_name::primary);

    at.folder.write("token", new_token);
    run(at.io, reload(at.keys));
    CHECK(unit.past().succeeded == 1);
    CHECK(at.keys.admin_token()->match(new_token) == auth::key_name::primary);
    CHECK(at.keys.admin_token()->match(old_token) == auth::key_name::none);
}

TEST_CASE("a changed file of keys is noticed") {
    fixture at;
    base::gate following;
    base::spawn(at.io.get_executor(), following, at.keys.follow());
    at.publish({&two()});
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (at.changed == 0 && std::chrono::steady_clock::now() < end) at.io.run_one_for(1s);
    CHECK(at.takes(two()));
    CHECK_FALSE(at.takes(one()));
}

TEST_CASE("a configuration changes whose tokens are taken, or keeps what has not changed") {
    fixture at;
    const auto kept = at.keys.of("iris").tokens;
    at.publish({&two()}); // not looked at yet
    auto next = at.settings;
    auto wine = next.services[0];
    wine.name = "wine";
    next.services.push_back(wine);
    CHECK(at.change(next).empty());
    CHECK(at.keys.of("iris").tokens == kept);
    CHECK(at.takes(one()));
    CHECK(at.takes(two(), "wine"));

    next.services[0].token->audience = "another";
    CHECK(at.change(next).empty());
    CHECK(at.keys.of("iris").tokens != kept);
    CHECK_FALSE(at.takes(one()));

    const std::string key(40, 'k');
    next.services[0].token.reset();
    next.services[0].auth = config::auth_mode::key;
    next.services[0].keys = config::key_files{at.folder.write("primary", key), {}, "/services/iris/keys"};
    CHECK(at.change(next).empty());
    CHECK(at.unit().unit.name() == "keys:iris");
    CHECK_FALSE(at.keys.of("iris").tokens);
    REQUIRE(at.keys.of("iris").keys);
    CHECK(at.keys.of("iris").keys->match(key) == auth::key_name::primary);

    next.services[1].token->jwks_file += ".gone";
    const auto problems = at.change(next);
    REQUIRE(problems.size() == 1);
    CHECK(at.takes(two(), "wine"));

    next.services.resize(1);
    next.services[0].auth = config::auth_mode::none;
    next.services[0].keys.reset();
    CHECK(at.change(next).empty());
    CHECK_FALSE(at.keys.of("iris"));
    CHECK_FALSE(at.keys.of("wine"));
    CHECK(at.keys.units().empty());
}
