#include "fuzz/heads.hpp"
#include "fuzz/properties.hpp"
#include "http/path.hpp"
#include "routing/snapshot.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::fuzz {

namespace {

struct named_service {
    std::string name;
    std::vector<std::string> hosts;
    std::vector<config::route> routes;
};

config::route exact(std::string path, std::string at_replica) {
    return {std::move(path), std::move(at_replica), false, {"GET", "HEAD", "POST"}, false};
}
config::route beneath(std::string path, std::string at_replica) {
    return {std::move(path), std::move(at_replica), true, {"GET", "HEAD", "POST", "DELETE"}, false};
}

// Exact routes before subtrees, longer subtrees before shorter, as the configuration has them. No route has a
// semicolon: who takes parameters off would be told another path by the configuration itself.
const std::vector<named_service>& services() {
    static const std::vector<named_service> all{
        {"iris",
         {"iris.contoso.com", "10.0.0.7"},
         {exact("/score", "/score"), exact("/swagger.json", "/swagger.json")}},
        {"vision",
         {"vision.contoso.com"},
         {exact("/v1/health", "/ready"), exact("/v1/models/iris:predict", "/guarded"),
          exact("/v1/models/admin", "/guarded"), beneath("/v1/models/own:er", "/own"), beneath("/v2/models", "/open"),
          beneath("/v1/models", "/v1/models")}},
        {"secret", {}, {beneath("/admin", "/admin"), exact("/score", "/admin/score")}}};
    return all;
}

const routing::snapshot& world() {
    static const auto made = [] {
        config::settings settings;
        std::vector<routing::service> some;
        for (const auto& each : services()) {
            config::service written;
            written.name = each.name;
            written.hosts = each.hosts;
            settings.services.push_back(written);
            routing::service one;
            one.name = each.name;
            for (const auto& route : each.routes) one.routes.emplace_back(route);
            some.push_back(std::move(one));
        }
        settings.default_service = "iris";
        return std::make_unique<const routing::snapshot>(std::move(settings), std::move(some));
    }();
    return *made;
}

// How a server in the field may read a path before it looks anything up.
struct habits {
    unsigned decodes = 0;     // times; twice is a known flaw
    bool backslashes = false; // are slashes
    bool parameters = false;  // of a segment are taken off, behind a semicolon
    bool ends_at_nul = false;
    bool ends_at_query = false; // or at a fragment, though decoded
};

std::string decoded(std::string_view path) {
    std::string made;
    for (std::size_t at = 0; at < path.size(); ++at) {
        const auto value = [](char c) -> int {
            if (c >= '0' && c <= '9') return c - '0';
            const char l = static_cast<char>(c | 0x20);
            return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
        };
        if (path[at] == '%' && at + 2 < path.size() && value(path[at + 1]) >= 0 && value(path[at + 2]) >= 0) {
            made += static_cast<char>(value(path[at + 1]) * 16 + value(path[at + 2]));
            at += 2;
        } else {
            made += path[at];
        }
    }
    return made;
}

// Without empty and dot segments; a slash at the end stays.
std::string read_as(std::string path, const habits& of) {
    for (unsigned n = 0; n < of.decodes; ++n) path = decoded(path);
    if (of.ends_at_nul) path = path.substr(0, path.find('\0'));
    if (of.ends_at_query) path = path.substr(0, path.find_first_of("?#"));
    if (of.backslashes) std::replace(path.begin(), path.end(), '\\', '/');
    std::vector<std::string> kept;
    bool open = false; // ends with a slash
    std::string_view rest = path;
    while (!rest.empty()) {
        auto segment = rest.substr(0, rest.find('/'));
        open = segment.size() < rest.size();
        rest.remove_prefix(std::min(segment.size() + 1, rest.size()));
        if (of.parameters) segment = segment.substr(0, segment.find(';'));
        if (segment == "..") {
            if (!kept.empty()) kept.pop_back();
            open = true;
        } else if (segment.empty() || segment == ".") {
            open = true;
        } else {
            kept.emplace_back(segment);
        }
    }
    std::string made;
    for (const auto& each : kept) made += '/' + each;
    return open || made.empty() ? made + '/' : made;
}

std::string lower(std::string_view text) {
    std::string made(text);
    for (char& c : made)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return made;
}

struct place {
    std::string service;
    std::size_t route = 0;
    std::string at_replica; // the path
};

// Where a path leads by the documentation: prefix and name, or the host, or the default service.
std::optional<place> look_up(std::string_view path, std::string_view host) {
    const named_service* found = nullptr;
    std::string_view rest = path;
    for (const std::string_view prefix : {"/api/v1/service/", "/api/v1/endpoint/"}) {
        if (!path.starts_with(prefix)) continue;
        const auto name = path.substr(prefix.size(), path.find('/', prefix.size()) - prefix.size());
        rest = path.substr(prefix.size() + name.size());
        for (const auto& each : services())
            if (each.name == name) found = &each;
        if (found == nullptr) return std::nullopt;
    }
    if (found == nullptr)
        for (const auto& each : services())
            for (const auto& own : each.hosts)
                if (own == lower(host.substr(0, host.find(':')))) found = &each;
    if (found == nullptr) found = &services().front();
    for (std::size_t n = 0; n < found->routes.size(); ++n) {
        const auto& route = found->routes[n];
        if (!rest.starts_with(route.path)) continue;
        const auto behind = rest.substr(route.path.size());
        if (behind.empty() ? !route.subtree : route.subtree && behind.starts_with('/'))
            return place{found->name, n, route.replica_path + std::string(behind)};
    }
    return std::nullopt;
}

// The path of the request line as it was sent, whatever the parser has made of it.
std::string path_of(std::string_view head) {
    auto target = head.substr(head.find(' ') + 1);
    target = target.substr(0, target.find(' '));
    target = target.substr(0, target.find('?'));
    if (const auto scheme = target.find("://"); !target.starts_with('/') && scheme != std::string_view::npos) {
        const auto slash = target.find('/', scheme + 3);
        target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
    return std::string(target);
}

// What http/path says of itself.
void check_normalised(std::string_view path, std::size_t sent) {
    must(path.size() <= sent, "a normalised path is no longer than what was sent");
    std::string room;
    const auto again = http::normalise_path(path, room);
    must(again && *again == path, "normalising it once more changes nothing");
    const auto closed = std::string(path) + '/';
    for (const std::string_view segment : {"//", "/./", "/../"})
        must(path.find(segment) == std::string_view::npos && (segment == "//" || !closed.ends_with(segment)),
             "it has no empty segment and no dot segment");
}

} // namespace

void routing(input bytes) {
    const std::string_view given(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto found = find(given);
    http::request_head head;
    if (!found || !head.parse(*found, limits)) return;
    if (head.path.starts_with('/')) check_normalised(head.path, path_of(*found).size());
    const auto to = world().find(head);
    if (!to) return;

    const auto route = static_cast<std::size_t>(to->by - to->to->routes.data());
    const auto sent = to->by->replica_path + std::string(to->rest);
    must(route < to->to->routes.size(), "a route of the service");
    must(sent.find_first_of(" \r\n\t?#") == std::string::npos && sent.starts_with('/'), "what is sent is a path");
    for (const habits& each :
         {habits{}, habits{.decodes = 1}, habits{.decodes = 2, .backslashes = true}, habits{.backslashes = true},
          habits{.decodes = 1, .backslashes = true}, habits{.decodes = 1, .parameters = true},
          habits{.parameters = true}, habits{.decodes = 1, .ends_at_nul = true},
          habits{.decodes = 1, .ends_at_query = true}}) {
        // Who does not decode takes an escape for what it is: another path, with a route or none.
        if (each.decodes == 0 && path_of(*found).find('%') != std::string::npos) continue;
        const auto meant = look_up(read_as(path_of(*found), each), head.host);
        must(meant.has_value(), "whoever tidies the path finds a route");
        must(meant->service == to->to->name, "of the same service");
        must(meant->route == route, "and the same one");
        must(read_as(sent, each) == meant->at_replica, "and the replica is asked for what was meant");
    }
}

} // namespace scoregate::fuzz
