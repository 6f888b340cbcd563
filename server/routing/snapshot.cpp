#include "routing/snapshot.hpp"

#include <algorithm>
#include <array>

namespace scoregate::routing {

namespace {

using base::fail;
using base::fault;

// Every service has these routes; the path is the same at the replica (Azure's inference server).
constexpr std::array<std::string_view, 2> known_routes{"/score", "/swagger.json"};

// The host of a Host field without its port (RFC 9110 7.2), brackets of an IPv6 literal taken off.
std::string_view without_port(std::string_view host) {
    if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
    return host.substr(0, host.find(':'));
}

// A host name in lower case, without allocation. No name is longer than 253 characters (RFC 1035 2.3.4).
class lower_host {
public:
    explicit lower_host(std::string_view host) : size_(std::min(host.size(), bytes_.size())) {
        std::transform(host.begin(), host.begin() + static_cast<std::ptrdiff_t>(size_), bytes_.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    }
    std::string_view view() const { return {bytes_.data(), size_}; }

private:
    std::array<char, 256> bytes_{};
    std::size_t size_;
};

} // namespace

snapshot::snapshot(config::settings settings, std::vector<service> services)
    : settings_(std::move(settings)),
      head_limits_{settings_.limits.max_header_bytes, settings_.limits.max_headers},
      services_(std::move(services)) {
    for (std::size_t i = 0; i < services_.size(); ++i) {
        by_name_.emplace(services_[i].name, &services_[i]);
        for (const auto& host : settings_.services[i].hosts) by_host_.emplace(host, &services_[i]);
    }
}

snapshot::located snapshot::locate(const http::request_head& head) const {
    for (const std::string_view prefix : {"/api/v1/service/", "/api/v1/endpoint/"}) {
        if (!head.path.starts_with(prefix)) continue;
        const auto rest = head.path.substr(prefix.size());
        const auto name = rest.substr(0, rest.find('/'));
        const auto found = by_name_.find(name);
        if (found == by_name_.end()) return {};
        return {found->second, rest.substr(name.size())};
    }
    if (by_host_.empty()) return {};
    const auto found = by_host_.find(lower_host(without_port(head.host)).view());
    return found == by_host_.end() ? located{} : located{found->second, head.path};
}

const service* snapshot::named_by(const http::request_head& head) const { return locate(head).to; }

base::result<destination> snapshot::route(const http::request_head& head) const {
    const auto [to, route] = locate(head);
    if (to == nullptr) return fail(fault::no_route, "no such service");
    const auto* const known = std::find(known_routes.begin(), known_routes.end(), route);
    if (known == known_routes.end()) return fail(fault::no_route, "the service has no such route");
    if (head.verb == http::method::other) return fail(fault::method_not_allowed);
    if (!head.forced_deployment.empty() && head.forced_deployment != to->deployment_name)
        return fail(fault::no_deployment);
    return destination{to, *known};
}

} // namespace scoregate::routing
