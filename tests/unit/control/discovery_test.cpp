#include "control/discovery.hpp"
#include "unit/control/configurations.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace scoregate;
using namespace scoregate::control;
namespace asio = boost::asio;

namespace {

base::tcp::endpoint endpoint_of(const std::string& address, std::uint16_t port) {
    return {asio::ip::make_address(address), port};
}

// No name under "invalid" ever resolves (RFC 2606 2).
const auto unknown = replica_at("replica.invalid", 5001);

} // namespace

TEST_CASE("a literal is its own address and is never asked for") {
    asio::io_context io{1};
    discovery names(io.get_executor());
    const auto v4 = replica_at("127.0.0.1", 5001), v6 = replica_at("2001:db8::1", 5002);
    const auto settings = settings_of({service_named("iris", {v4, v6})});
    CHECK_FALSE(discovery::has_names(settings));
    CHECK_FALSE(run(io, names.resolve(settings)));
    CHECK(names.addresses(v4) == std::vector{endpoint_of("127.0.0.1", 5001)});
    CHECK(names.addresses(v6) == std::vector{endpoint_of("2001:db8::1", 5002)});
}

TEST_CASE("a name has the addresses that it resolves to, at each replica's own port") {
    asio::io_context io{1};
    discovery names(io.get_executor());
    const auto one = replica_at("localhost", 5001), other = replica_at("localhost", 5002);
    const auto settings = settings_of({service_named("iris", {one}), service_named("digits", {other})});
    CHECK(discovery::has_names(settings));
    CHECK(names.addresses(one).empty());
    CHECK(run(io, names.resolve(settings)));
    const auto found = names.addresses(one);
    REQUIRE_FALSE(found.empty());
    for (const auto& each : found) {
        CHECK(each.address().is_loopback());
        CHECK(each.port() == 5001);
    }
    const auto there = names.addresses(other);
    REQUIRE(there.size() == found.size());
    CHECK(there.front() == base::tcp::endpoint(found.front().address(), 5002));
    CHECK_FALSE(run(io, names.resolve(settings))); // the same answer is no news
}

TEST_CASE("a name that does not resolve has no address, and hinders no other") {
    asio::io_context io{1};
    discovery names(io.get_executor());
    const auto known = replica_at("localhost", 5001);
    const auto settings = settings_of({service_named("iris", {unknown, known})});
    CHECK(run(io, names.resolve(settings)));
    CHECK(names.addresses(unknown).empty());
    CHECK_FALSE(names.addresses(known).empty());
    CHECK_FALSE(run(io, names.resolve(settings_of({service_named("iris", {unknown})}))));
    CHECK_FALSE(names.addresses(known).empty()); // what was known is kept, asked for or not
}
