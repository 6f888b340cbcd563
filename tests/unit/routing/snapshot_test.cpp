#include "routing/snapshot.hpp"
#include "support/results.hpp"

#include <string>
#include <vector>

using namespace scoregate;
using namespace scoregate::routing;
using base::fault;

namespace {

struct named_service {
    std::string name;
    std::vector<std::string> hosts;
};

snapshot make_snapshot(const std::vector<named_service>& wanted) {
    config::settings settings;
    std::vector<service> services;
    for (const auto& each : wanted) {
        config::service written;
        written.name = each.name;
        written.hosts = each.hosts;
        written.live.name = "blue";
        settings.services.push_back(written);
        service made;
        made.name = each.name;
        made.deployment_name = "blue";
        made.replicas = std::make_shared<deployment>();
        services.push_back(std::move(made));
    }
    settings.limits.max_header_bytes = 1234;
    settings.limits.max_headers = 56;
    return snapshot(std::move(settings), std::move(services));
}

const snapshot& ordinary() {
    static const snapshot made = make_snapshot(
        {{"digits", {}}, {"iris", {"iris.contoso.com", "2001:db8::1", "10.0.0.7"}}, {"iris2", {"other.contoso.com"}}});
    return made;
}

http::request_head request(std::string_view path, std::string_view host = "www.contoso.com",
                           http::method verb = http::method::post) {
    http::request_head head;
    head.verb = verb;
    head.path = path;
    head.host = host;
    return head;
}

// "service path" or the fault's token.
std::string routed(const http::request_head& head, const snapshot& where = ordinary()) {
    const auto to = where.route(head);
    if (!to) return std::string(base::token(to.error().kind));
    return to->to->name + " " + std::string(to->replica_path);
}

} // namespace

TEST_CASE("routes by path") {
    struct row {
        std::string path, to;
    };
    const std::vector<row> rows{
        {"/api/v1/service/iris/score", "iris /score"},
        {"/api/v1/service/iris/swagger.json", "iris /swagger.json"},
        {"/api/v1/endpoint/iris/score", "iris /score"},
        {"/api/v1/endpoint/digits/swagger.json", "digits /swagger.json"},
        {"/api/v1/service/iris2/score", "iris2 /score"},
        {"/api/v1/service/iris", "no_route"},
        {"/api/v1/service/iris/", "no_route"},
        {"/api/v1/service/iris//score", "no_route"},
        {"/api/v1/service/iris/score/", "no_route"},
        {"/api/v1/service/iris/scores", "no_route"},
        {"/api/v1/service/iris/Score", "no_route"},
        {"/api/v1/service/iris/%73core", "no_route"},
        {"/api/v1/service/iris/../iris/score", "no_route"},
        {"/api/v1/service/Iris/score", "no_route"}, // names are case-sensitive
        {"/api/v1/service/iri/score", "no_route"},
        {"/api/v1/service/irisx/score", "no_route"},
        {"/api/v1/service//score", "no_route"},
        {"/api/v1/service/", "no_route"},
        {"/api/v1/services/iris/score", "no_route"},
        {"/API/v1/service/iris/score", "no_route"},
        {"//api/v1/service/iris/score", "no_route"},
        {"/score", "no_route"},
        {"/", "no_route"},
        {"*", "no_route"},
        {"", "no_route"},
    };
    for (const auto& row : rows) {
        INFO(row.path);
        CHECK(routed(request(row.path)) == row.to);
    }
}

TEST_CASE("routes by host: port and case do not matter") {
    struct row {
        std::string host, path, to;
    };
    const std::vector<row> rows{
        {"iris.contoso.com", "/score", "iris /score"},
        {"iris.contoso.com", "/swagger.json", "iris /swagger.json"},
        {"IRIS.Contoso.COM", "/score", "iris /score"},
        {"iris.contoso.com:8443", "/score", "iris /score"},
        {"iris.contoso.com:", "/score", "iris /score"},
        {"other.contoso.com", "/score", "iris2 /score"},
        {"10.0.0.7:443", "/score", "iris /score"},
        {"[2001:db8::1]", "/score", "iris /score"},
        {"[2001:DB8::1]:8443", "/score", "iris /score"},
        {"iris.contoso.com", "/", "no_route"},
        {"iris.contoso.com", "/score/", "no_route"},
        {"xiris.contoso.com", "/score", "no_route"},
        {"iris.contoso.com.evil.example", "/score", "no_route"},
        {"iris.contoso.co", "/score", "no_route"},
        {"iris.contoso.com.", "/score", "no_route"},
        {"contoso.com", "/score", "no_route"},
        {"[2001:db8::2]", "/score", "no_route"},
        {"", "/score", "no_route"},
        {std::string(300, 'a'), "/score", "no_route"},
        {"iris.contoso.com", "/api/v1/service/digits/score", "digits /score"}, // a prefix is a prefix on any host
        {"iris.contoso.com", "/api/v1/service/unknown/score", "no_route"},
    };
    for (const auto& row : rows) {
        INFO(row.host << row.path);
        CHECK(routed(request(row.path, row.host)) == row.to);
    }
}

TEST_CASE("methods: GET, HEAD and POST, and only where there is a route") {
    const std::string_view score = "/api/v1/service/iris/score";
    CHECK(routed(request(score, "a", http::method::get)) == "iris /score");
    CHECK(routed(request(score, "a", http::method::head)) == "iris /score");
    CHECK(routed(request(score, "a", http::method::other)) == "method_not_allowed");
    CHECK(routed(request("/api/v1/service/iris/x", "a", http::method::other)) == "no_route");
}

TEST_CASE("a forced deployment must be there") {
    auto head = request("/api/v1/service/iris/score");
    head.forced_deployment = "blue";
    CHECK(routed(head) == "iris /score");
    for (const std::string_view unknown : {"green", "Blue", "blu", "blue2"}) {
        head.forced_deployment = unknown;
        CHECK(routed(head) == "no_deployment");
    }
}

TEST_CASE("whose a request is, even where its route is unknown") {
    const auto name = [](const http::request_head& head) {
        const auto* const found = ordinary().named_by(head);
        return found == nullptr ? std::string("-") : found->name;
    };
    CHECK(name(request("/api/v1/service/iris/nothing")) == "iris");
    CHECK(name(request("/api/v1/service/iris")) == "iris");
    CHECK(name(request("/nothing", "iris.contoso.com:1")) == "iris");
    CHECK(name(request("/nothing")) == "-");
    CHECK(name(request("/api/v1/service/unknown/score", "iris.contoso.com")) == "-");
}

TEST_CASE("a snapshot carries the limits of its settings, and may have no service") {
    CHECK(ordinary().head_limits().bytes == 1234);
    CHECK(ordinary().head_limits().fields == 56);
    CHECK(ordinary().services().size() == 3);
    const auto none = make_snapshot({});
    CHECK(routed(request("/api/v1/service/iris/score"), none) == "no_route");
    CHECK(routed(request("/score", "iris.contoso.com"), none) == "no_route");
}
