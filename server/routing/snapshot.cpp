#include "routing/snapshot.hpp"

#include "http/path.hpp"
#include "http/write.hpp"

#include <algorithm>
#include <array>

namespace scoregate::routing {

namespace {

using base::fail;
using base::fault;

constexpr unsigned bit(http::method verb) { return 1U << static_cast<unsigned>(verb); }

constexpr auto no_traffic =
    "the endpoint has at least one deployment with positive weight values or use a deployment specific header to "
    "route."; // Azure's words

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

bool leads(const route& by, std::string_view path) {
    return by.subtree ? path.starts_with(by.path) && path.substr(by.path.size()).starts_with('/') : path == by.path;
}

// Whether a replica may read a path beneath the subtree `by` as one of a route that counts before it.
bool evades(std::string_view path, const std::vector<route>& routes, const route& by) {
    if (!by.subtree || path.find_first_of("%;") == std::string_view::npos) return false;
    return std::any_of(routes.data(), &by,
                       [&](const route& each) { return http::may_be_read_as(path, each.path, each.subtree); });
}

} // namespace

snapshot::snapshot(config::settings settings, std::vector<service> services)
    : settings_(std::move(settings)),
      head_limits_{settings_.limits.max_header_bytes, settings_.limits.max_headers},
      services_(std::move(services)) {
    for (std::size_t i = 0; i < services_.size(); ++i) {
        by_name_.emplace(services_[i].name, &services_[i]);
        for (const auto& host : settings_.services[i].hosts) by_host_.emplace(host, &services_[i]);
    }
    if (const auto& told = settings_.strict_transport_security)
        transport_security_ = http::transport_security_line(told->max_age, told->include_subdomains, told->preload);
    if (const auto& name = settings_.default_service) default_ = by_name_.at(*name);
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
    if (!by_host_.empty()) {
        const auto found = by_host_.find(lower_host(without_port(head.host)).view());
        if (found != by_host_.end()) return {found->second, head.path};
    }
    return {default_, head.path};
}

const service* snapshot::named_by(const http::request_head& head) const { return locate(head).to; }

base::result<destination> snapshot::find(const http::request_head& head) const {
    const auto [to, path] = locate(head);
    if (to == nullptr) return fail(fault::no_route, "no such service");
    for (const auto& each : to->routes) {
        if (!leads(each, path)) continue;
        if (evades(path, to->routes, each))
            return fail(
                fault::bad_request,
                "A path that servers may read as another route's: its escapes or parameters hide it (RFC 3986 2.2)");
        const bool preflight = head.verb == http::method::options && !to->cors_origins.empty();
        if ((each.methods & bit(head.verb)) == 0 && !preflight)
            return fail(fault::method_not_allowed, each.allow.c_str());
        return destination{to, &each, path.substr(each.path.size())};
    }
    return fail(fault::no_route, "the service has no such route");
}

route::route(const config::route& written)
    : path(written.path), replica_path(written.replica_path), subtree(written.subtree), idempotent(written.idempotent) {
    for (const auto& each : written.methods) {
        methods |= bit(http::method_of(each));
        allow.append(allow.empty() ? "" : ", ").append(each);
    }
}

base::result<const target*> service::choose(std::string_view forced, unsigned core) const {
    if (forced.empty()) {
        const auto turn = split.next(places->at(core).turn);
        if (!turn) return fail(fault::no_deployment, no_traffic);
        return &targets[*turn];
    }
    const auto found =
        std::find_if(targets.begin(), targets.end(), [&](const auto& each) { return each.name == forced; });
    if (found == targets.end())
        return fail(fault::no_deployment, "azureml-model-deployment names one that the service has");
    return &*found;
}

const target* service::choose_mirror(unsigned core) const {
    if (mirror == nullptr) return nullptr;
    return mirror_split.next(places->at(core).copies) == 0 ? mirror : nullptr;
}

std::string_view service::allowed_origin(std::string_view origin) const {
    for (const auto& each : cors_origins)
        if (each == "*" || each == origin) return each;
    return {};
}

} // namespace scoregate::routing
