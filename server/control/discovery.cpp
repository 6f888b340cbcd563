#include "control/discovery.hpp"

#include "telemetry/log.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <set>

namespace scoregate::control {

namespace asio = boost::asio;

namespace {

bool is_literal(const std::string& host) {
    base::error_code ec;
    asio::ip::make_address(host, ec);
    return !ec;
}

} // namespace

base::task<bool> discovery::resolve(const config::settings& settings) {
    bool changed = false;
    std::set<std::string_view> asked;
    for (const auto& service : settings.services)
        for (const auto& deployment : service.deployments)
            for (const auto& replica : deployment.replicas) {
                if (is_literal(replica.host) || !asked.insert(replica.host).second) continue;
                const bool differs = co_await resolve(replica);
                changed = changed || differs;
            }
    co_return changed;
}

base::task<bool> discovery::resolve(const config::replica& replica) {
    const auto [ec, answers] =
        co_await resolver_.async_resolve(replica.host, std::to_string(replica.port), base::awaited);
    std::vector<asio::ip::address> addresses;
    for (const auto& each : answers) addresses.push_back(each.endpoint().address());
    const auto known = known_.find(replica.host);
    if (ec || addresses.empty()) {
        if (known == known_.end())
            telemetry::log().warn("replica {}: its name does not resolve ({}); it gets no requests until it does",
                                  replica.url, ec.message());
        co_return false;
    }
    if (known != known_.end() &&
        std::is_permutation(addresses.begin(), addresses.end(), known->second.begin(), known->second.end()))
        co_return false; // the same answer in another order is no news
    known_[replica.host] = std::move(addresses);
    co_return true;
}

std::vector<base::tcp::endpoint> discovery::addresses(const config::replica& replica) const {
    base::error_code ec;
    const auto literal = asio::ip::make_address(replica.host, ec);
    if (!ec) return {{literal, replica.port}};
    std::vector<base::tcp::endpoint> found;
    if (const auto known = known_.find(replica.host); known != known_.end())
        for (const auto& address : known->second) found.emplace_back(address, replica.port);
    return found;
}

bool discovery::has_names(const config::settings& settings) {
    for (const auto& service : settings.services)
        for (const auto& deployment : service.deployments)
            for (const auto& replica : deployment.replicas)
                if (!is_literal(replica.host)) return true;
    return false;
}

} // namespace scoregate::control
