#include "control/assembly.hpp"
#include "support/results.hpp"
#include "unit/control/configurations.hpp"

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

struct fixture {
    asio::io_context io{1};
    discovery names{io.get_executor()};
    assembly build{2};

    base::task<bool> learned(config::settings settings) {
        co_await names.learn(settings);
        co_return true;
    }
    std::shared_ptr<const routing::snapshot> of(const config::settings& settings) {
        return build.build(settings, names, [](const std::string&) { return auth::credentials{}; }, {});
    }
};

const auto local = replica_at("127.0.0.1", 5001);

// The one deployment of the one service.
const routing::target& only(const std::shared_ptr<const routing::snapshot>& snapshot) {
    REQUIRE(snapshot->services().size() == 1);
    REQUIRE(snapshot->services().front().targets.size() == 1);
    return snapshot->services().front().targets.front();
}

base::result<routing::slot> reserve(const routing::target& from) { return from.replicas->reserve_now({}); }

} // namespace

TEST_CASE("a snapshot has what the settings say") {
    fixture at;
    auto wanted = service_named("iris", {local, replica_at("::1", 5002), replica_at("replica.invalid", 5003)});
    wanted.require_tls = false;
    wanted.deployments[0].settings.request_timeout = 1234ms;
    wanted.deployments[0].settings.max_concurrent_requests = 2;
    wanted.deployments[0].host_header = "model";
    wanted.error_mapping = base::error_mapping::managed;
    wanted.cors_origins = {"*"};
    wanted.forward_authorization = true;
    const auto snapshot = at.of(settings_of({wanted}));
    const auto& made = only(snapshot);
    const auto& service = snapshot->services().front();
    CHECK(service.name == "iris");
    CHECK_FALSE(service.require_tls);
    CHECK(service.open);
    CHECK_FALSE(service.allowed);
    CHECK(service.forward_authorization);
    CHECK(service.error_mapping == base::error_mapping::managed);
    CHECK(service.cors_origins == wanted.cors_origins);
    CHECK(service.routes.size() == 2);
    CHECK(service.metrics->service() == "iris");
    CHECK(service.metrics->deployment().empty());
    CHECK(made.name == "blue");
    CHECK(made.settings.request_timeout == 1234ms);
    CHECK(made.host_header == "model");
    CHECK(made.metrics->service() == "iris");
    CHECK(made.metrics->deployment() == "blue");
    CHECK(made.metrics->cores().size() == 2);
    CHECK(snapshot->settings().services.size() == 1);

    const auto one = reserve(made), other = reserve(made);
    REQUIRE(one.has_value());
    REQUIRE(other.has_value());
    using boost::asio::ip::make_address;
    CHECK(one->where().addresses == std::vector{base::tcp::endpoint(make_address("127.0.0.1"), 5001)});
    CHECK(other->where().addresses == std::vector{base::tcp::endpoint(make_address("::1"), 5002)});
    const auto state = at.build.state_of("iris", "blue");
    CHECK(state.slots == 4); // of those that can be reached
    const auto& states = state.replicas;
    REQUIRE(states.size() == 3);
    CHECK(states[0].url == "http://127.0.0.1:5001");
    CHECK(states[0].in_flight == 1);
    CHECK(states[1].resolved);
    CHECK_FALSE(states[2].resolved);
}

TEST_CASE("one server that is found in several ways is one replica") {
    fixture at;
    const auto same = config::replica{"http://127.0.0.1", "127.0.0.1", 80};
    const config::replica by_name{"dns://localhost:80", "localhost", 80, false, config::replica_source::dns};
    const config::replica socket{"http+unix:///run/m.sock", "/run/m.sock", 80, false,
                                 config::replica_source::unix_socket};
    run(at.io, at.learned(settings_of({service_named("iris", {by_name})})));
    at.of(settings_of({service_named("iris", {same, by_name, by_name, socket})}));
    std::vector<std::string> urls;
    for (const auto& each : at.build.state_of("iris", "blue").replicas) {
        CHECK(each.resolved);
        if (each.url != "http://[::1]:80") urls.push_back(each.url); // the hosts file may have it
    }
    CHECK(urls == std::vector<std::string>{"http://127.0.0.1", "http+unix:///run/m.sock"});
}

TEST_CASE("a build forgets nothing that is in flight, and no count") {
    fixture at;
    const auto first = at.of(settings_of({service_named("iris", {local})}));
    const auto held = reserve(only(first));
    REQUIRE(held.has_value());
    only(first).metrics->at(1).bytes_in.add(7);

    auto changed = service_named("iris", {local, replica_at("127.0.0.1", 5002)});
    changed.deployments[0].settings.request_timeout = 1ms;
    const auto second = at.of(settings_of({changed}));
    CHECK(only(second).replicas == only(first).replicas);
    CHECK(only(second).metrics == only(first).metrics);
    CHECK(only(first).settings.request_timeout !=
          only(second).settings.request_timeout); // what is in flight keeps its own
    CHECK(at.build.state_of("iris", "blue").replicas.at(0).in_flight == 1);
    REQUIRE(at.build.counts().size() == 2); // of the service as a whole, and of its deployment
    CHECK(at.build.counts().back().metrics->cores().at(1).bytes_in.value() == 7);
}

TEST_CASE("replicas that are assumed to be ready are used before a probe, later ones are not") {
    fixture at;
    auto wanted = service_named("iris", {local});
    wanted.deployments[0].readiness_probe.emplace();
    at.build.assume_ready(true);
    at.of(settings_of({wanted}));
    at.build.assume_ready(false);
    wanted.deployments[0].replicas.push_back(replica_at("127.0.0.1", 5002));
    at.of(settings_of({wanted}));
    const auto replicas = at.build.state_of("iris", "blue").replicas;
    REQUIRE(replicas.size() == 2);
    CHECK(replicas[0].standing == routing::standing::ready);
    CHECK(replicas[1].standing == routing::standing::starting);
}

TEST_CASE("what callers have used of a rate limit outlives a build, also of one with other numbers") {
    fixture at;
    auto wanted = service_named("iris", {local});
    const auto limiter = [&] { return at.of(settings_of({wanted}))->services().at(0).limiter; };
    CHECK_FALSE(limiter());
    wanted.rate_limit = config::rate_limit{0.001, 2, config::rate_limit::caller::address};
    const auto now = std::chrono::steady_clock::now();
    const auto first = limiter();
    REQUIRE(first);
    CHECK(first->rate() == routing::request_rate{0.001, 2});
    CHECK(at.of(settings_of({wanted}))->services().at(0).limited_by_address);
    CHECK(first->admit(1, now) == 0ns);
    CHECK(limiter() == first);

    wanted.rate_limit = config::rate_limit{1.5, {}, config::rate_limit::caller::key};
    const auto second = limiter();
    CHECK(second->rate() == routing::request_rate{1.5, 2}); // rounded up
    CHECK_FALSE(at.of(settings_of({wanted}))->services().at(0).limited_by_address);
    const auto then = std::chrono::steady_clock::now();
    CHECK(second->admit(1, then) == 0ns);
    CHECK(second->admit(1, then) > 0ns); // the first of two had been used before
    wanted.rate_limit.reset();
    CHECK_FALSE(limiter());
    wanted.rate_limit = config::rate_limit{};
    CHECK(limiter()->rate() == routing::request_rate{1, 1});
}

TEST_CASE("a service that is gone is gone from what is shown, and lives for who still uses it") {
    fixture at;
    const auto iris = service_named("iris", {local}), digits = service_named("digits", {local});
    const auto first = at.of(settings_of({digits, iris}));
    CHECK(at.build.counts().size() == 4);
    const auto& old = first->services().at(1).targets.front();
    const auto held = reserve(old);
    REQUIRE(held.has_value());
    const auto second = at.of(settings_of({digits}));
    CHECK(at.build.counts().size() == 2);
    CHECK(at.build.state_of("iris", "blue").replicas.empty());
    CHECK(at.build.state_of("digits", "blue").replicas.size() == 1);
    CHECK(held->where().url == "http://127.0.0.1:5001");

    const auto third = at.of(settings_of({iris})); // come back while it is in use, it is still itself
    CHECK(only(third).replicas == old.replicas);
    CHECK(only(third).metrics == old.metrics);
    CHECK(at.build.state_of("iris", "blue").replicas.at(0).in_flight == 1);
}

TEST_CASE("a service that comes back after its last request begins anew") {
    fixture at;
    const auto iris = service_named("iris", {local}), digits = service_named("digits", {local});
    std::weak_ptr<routing::deployment> old = at.of(settings_of({iris}))->services().at(0).targets.front().replicas;
    at.of(settings_of({digits}));
    CHECK(old.expired());
    CHECK(only(at.of(settings_of({iris}))).replicas != nullptr);
}

TEST_CASE("another deployment of the same service is another") {
    fixture at;
    auto settings = settings_of({service_named("iris", {local})});
    const auto first = at.of(settings);
    settings.services[0].deployments[0].name = "green";
    const auto second = at.of(settings);
    CHECK(only(second).name == "green");
    CHECK(only(second).replicas != only(first).replicas);
    CHECK(only(second).metrics != only(first).metrics);
}

TEST_CASE("a replica that is given twice is one; with TLS, or on another port, it is another") {
    fixture at;
    auto bare = replica_at("127.0.0.1", 80), secure = bare;
    bare.url = "http://127.0.0.1";
    secure.url = "https://127.0.0.1:80";
    secure.tls = true;
    const auto named = replica_at("127.0.0.1", 80), other = replica_at("127.0.0.1", 81);
    const auto made = at.of(settings_of({service_named("iris", {bare, named, secure, other, bare, other})}));
    std::vector<std::string> urls;
    for (const auto& each : only(made).replicas->look().replicas) urls.push_back(each.url);
    CHECK(urls == std::vector{bare.url, secure.url, other.url});
}
