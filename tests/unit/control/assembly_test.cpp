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

    std::shared_ptr<const routing::snapshot> of(const config::settings& settings) {
        return build.build(settings, names);
    }
};

const auto local = replica_at("127.0.0.1", 5001);

const routing::service& only(const std::shared_ptr<const routing::snapshot>& snapshot) {
    REQUIRE(snapshot->services().size() == 1);
    return snapshot->services().front();
}

} // namespace

TEST_CASE("a snapshot has what the settings say") {
    fixture at;
    auto wanted = service_named("iris", {local, replica_at("::1", 5002), replica_at("replica.invalid", 5003)});
    wanted.require_tls = false;
    wanted.live.settings.request_timeout = 1234ms;
    const auto without_total = at.of(settings_of({wanted}));
    CHECK(only(without_total).total_timeout == 0ms);
    wanted.live.settings.total_timeout = 9876ms;
    const auto snapshot = at.of(settings_of({wanted}));
    const auto& made = only(snapshot);
    CHECK(made.name == "iris");
    CHECK(made.deployment_name == "blue");
    CHECK_FALSE(made.require_tls);
    CHECK(made.request_timeout == 1234ms);
    CHECK(made.total_timeout == 9876ms);
    CHECK(made.metrics->service() == "iris");
    CHECK(made.metrics->deployment() == "blue");
    CHECK(made.metrics->cores().size() == 2);
    CHECK(snapshot->settings().services.size() == 1);

    const auto one = made.replicas->reserve(), other = made.replicas->reserve();
    REQUIRE(one);
    REQUIRE(other);
    using boost::asio::ip::make_address;
    CHECK(one->where().addresses == std::vector{base::tcp::endpoint(make_address("127.0.0.1"), 5001)});
    CHECK(other->where().addresses == std::vector{base::tcp::endpoint(make_address("::1"), 5002)});
    const auto states = at.build.replicas(wanted);
    REQUIRE(states.size() == 3);
    CHECK(states[0].url == "http://127.0.0.1:5001");
    CHECK(states[0].in_flight == 1);
    CHECK(states[1].resolved);
    CHECK_FALSE(states[2].resolved);
}

TEST_CASE("a build forgets nothing that is in flight, and no count") {
    fixture at;
    const auto first = at.of(settings_of({service_named("iris", {local})}));
    const auto held = only(first).replicas->reserve();
    REQUIRE(held);
    only(first).metrics->at(1).bytes_in.add(7);

    auto changed = service_named("iris", {local, replica_at("127.0.0.1", 5002)});
    changed.live.settings.request_timeout = 1ms;
    const auto second = at.of(settings_of({changed}));
    CHECK(only(second).replicas == only(first).replicas);
    CHECK(only(second).metrics == only(first).metrics);
    CHECK(only(first).request_timeout != only(second).request_timeout); // what is in flight keeps its own
    CHECK(at.build.replicas(changed).at(0).in_flight == 1);
    REQUIRE(at.build.metrics().size() == 1);
    CHECK(at.build.metrics().front()->cores().at(1).bytes_in.value() == 7);
}

TEST_CASE("a service that is gone is gone from what is shown, and lives for who still uses it") {
    fixture at;
    const auto iris = service_named("iris", {local}), digits = service_named("digits", {local});
    const auto first = at.of(settings_of({digits, iris}));
    CHECK(at.build.metrics().size() == 2);
    const auto held = first->services().at(1).replicas->reserve();
    REQUIRE(held);
    const auto second = at.of(settings_of({digits}));
    CHECK(at.build.metrics().size() == 1);
    CHECK(at.build.replicas(iris).empty());
    CHECK(at.build.replicas(digits).size() == 1);
    CHECK(held->where().url == "http://127.0.0.1:5001");

    const auto third = at.of(settings_of({iris})); // come back, it begins anew
    CHECK(only(third).replicas != first->services().at(1).replicas);
    CHECK(at.build.replicas(iris).at(0).in_flight == 0);
}

TEST_CASE("another deployment of the same service is another") {
    fixture at;
    auto settings = settings_of({service_named("iris", {local})});
    const auto first = at.of(settings);
    settings.services[0].live.name = "green";
    const auto second = at.of(settings);
    CHECK(only(second).deployment_name == "green");
    CHECK(only(second).replicas != only(first).replicas);
    CHECK(only(second).metrics != only(first).metrics);
}
