#include "routing/snapshot.hpp"
#include "support/results.hpp"

#include <map>
#include <string>
#include <vector>

using namespace scoregate;
using namespace scoregate::routing;
using base::fault;

namespace {

struct named_service {
    std::string name;
    std::vector<std::string> hosts;
    std::vector<config::route> routes = config::service{}.routes;
    std::vector<std::string> origins = {};
};

snapshot make_snapshot(const std::vector<named_service>& wanted, std::optional<std::string> by_default = {}) {
    config::settings settings;
    settings.default_service = std::move(by_default);
    std::vector<service> services;
    for (const auto& each : wanted) {
        config::service written;
        written.name = each.name;
        written.hosts = each.hosts;
        settings.services.push_back(written);
        service made;
        made.name = each.name;
        for (const auto& route : each.routes) made.routes.emplace_back(route);
        made.cors_origins = each.origins;
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
    const auto to = where.find(head);
    if (!to) return std::string(base::token(to.error().kind));
    return to->to->name + " " + to->by->replica_path + std::string(to->rest);
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

TEST_CASE("the default service gets what names no other") {
    const auto where =
        make_snapshot({{"digits", {}}, {"iris", {"iris.contoso.com"}}, {"rose", {"rose.contoso.com"}}}, "rose");
    struct row {
        std::string host, path, to;
    };
    const std::vector<row> rows{
        {"www.contoso.com", "/score", "rose /score"},
        {"10.0.0.1:8443", "/score", "rose /score"},
        {"", "/score", "rose /score"}, // HTTP/1.0
        {"rose.contoso.com", "/swagger.json", "rose /swagger.json"},
        {"iris.contoso.com", "/score", "iris /score"},
        {"www.contoso.com", "/", "no_route"},
        {"www.contoso.com", "/nothing", "no_route"},
        {"www.contoso.com", "*", "no_route"},
        {"www.contoso.com", "/api/v1/service/digits/score", "digits /score"},
        {"www.contoso.com", "/api/v1/service/unknown/score", "no_route"},
        {"www.contoso.com", "/api/v1/endpoint/unknown/score", "no_route"},
        {"iris.contoso.com", "/nothing", "no_route"}, // not handed on
    };
    for (const auto& row : rows) {
        INFO(row.host << row.path);
        CHECK(routed(request(row.path, row.host), where) == row.to);
    }
    CHECK(where.named_by(request("/nothing", "www.contoso.com"))->name == "rose");
    CHECK(where.named_by(request("/api/v1/service/unknown/score")) == nullptr);
    const auto without_hosts = make_snapshot({{"iris", {}}}, "iris");
    CHECK(routed(request("/score"), without_hosts) == "iris /score");
}

TEST_CASE("methods: GET, HEAD and POST, and only where there is a route") {
    const std::string_view score = "/api/v1/service/iris/score";
    CHECK(routed(request(score, "a", http::method::get)) == "iris /score");
    CHECK(routed(request(score, "a", http::method::head)) == "iris /score");
    CHECK(routed(request(score, "a", http::method::other)) == "method_not_allowed");
    CHECK(routed(request("/api/v1/service/iris/x", "a", http::method::other)) == "no_route");
}

TEST_CASE("a forced deployment must be there, the others take turns") {
    service iris;
    for (const auto* name : {"blue", "green", "grey"}) iris.targets.push_back({name, {}, {}, {}, {}});
    const std::vector<unsigned> percents{90, 10, 0};
    iris.split = traffic(percents);
    iris.places = std::make_shared<traffic_places>(2);
    std::map<std::string, int> counts;
    for (int i = 0; i < 1000; ++i) ++counts[(*iris.choose("", 1))->name];
    CHECK(counts == std::map<std::string, int>{{"blue", 900}, {"green", 100}});
    CHECK((*iris.choose("grey", 0))->name == "grey"); // at 0 percent too
    for (const auto* unknown : {"Blue", "blu", "blue2"})
        CHECK(iris.choose(unknown, 0).error().kind == fault::no_deployment);

    const std::vector<unsigned> none{0, 0, 0};
    iris.split = traffic(none);
    CHECK(iris.choose("", 0).error().kind == fault::no_deployment);
    CHECK(iris.choose("blue", 0).has_value());
}

TEST_CASE("routes are what the service says, subtrees with the rest of the path") {
    const auto where = make_snapshot({{"iris",
                                       {"iris.contoso.com"},
                                       {{"/v1/models/iris", "/m", false, {"GET"}, false},
                                        {"/v1/models", "/v1/m", true, {"POST", "DELETE"}, false},
                                        {"/v1", "/all", true, {"POST"}, false}}}});
    struct row {
        std::string path, to;
    };
    const std::vector<row> rows{
        {"/v1/models/iris", "method_not_allowed"}, // the exact path goes first
        {"/v1/models/rose", "iris /v1/m/rose"},
        {"/v1/models/a/b:predict", "iris /v1/m/a/b:predict"},
        {"/v1/models/", "iris /v1/m/"},
        {"/v1/models", "iris /all/models"}, // not beneath itself
        {"/v1/modelsx", "iris /all/modelsx"},
        {"/v1", "no_route"},
        {"/v2/models", "no_route"},
        {"/v1/a%20b", "iris /all/a%20b"},
        {"/v1/a..b", "iris /all/a..b"},
        {"/score", "no_route"},
    };
    for (const auto& row : rows) {
        INFO(row.path);
        CHECK(routed(request(row.path, "iris.contoso.com"), where) == row.to);
        CHECK(routed(request("/api/v1/service/iris" + row.path), where) == row.to);
    }
    CHECK(routed(request("/v1/models/rose", "iris.contoso.com", http::method::remove), where) == "iris /v1/m/rose");
    const auto refused = where.find(request("/v1/models/rose", "iris.contoso.com", http::method::get));
    CHECK(refused.error().detail == std::string("POST, DELETE"));
}

TEST_CASE("no escape or parameter leads around a route within a subtree") {
    const auto where = make_snapshot({{"iris",
                                       {"iris.contoso.com"},
                                       {{"/v1/models/iris:predict", "/p", false, {"POST"}, false},
                                        {"/v1/a;b/c", "/abc", false, {"POST"}, false},
                                        {"/v1/admin", "/admin", false, {"POST"}, false},
                                        {"/v1/own:er", "/own", true, {"POST"}, false},
                                        {"/v1", "/all", true, {"GET"}, false}}}});
    struct row {
        std::string path, to;
    };
    const std::vector<row> rows{
        {"/v1/models/iris%3Apredict", "bad_request"},
        {"/v1/models/iris%3Apredict;x", "bad_request"},
        {"/v1/models;y/iris:predict", "bad_request"},
        {"/v1/models%3By;z/iris%3Apredict%3Bx", "bad_request"},
        {"/v1/models/iris:predict%3Fx", "bad_request"},
        {"/v1/models/iris:predict%23", "bad_request"},
        {"/v1/models/iris:predict;x%3Fy", "bad_request"},
        {"/v1/admin;x", "bad_request"},
        {"/v1/admin;", "bad_request"},
        {"/v1/admin%3Bx=y", "bad_request"},
        {"/v1/a%3Bb/c", "bad_request"},
        {"/v1/a%3Bb;x/c%3B", "bad_request"},
        {"/v1/own%3Aer/x", "bad_request"},
        {"/v1/own:er;x/y", "bad_request"},
        {"/v1/own%3Aer%3Bx/", "bad_request"},
        {"/v1/own%3Aer", "iris /all/own%3Aer"}, // not beneath it
        {"/v1/models/iris%3Apredicts", "iris /all/models/iris%3Apredicts"},
        {"/v1/models/rose%3Apredict", "iris /all/models/rose%3Apredict"},
        {"/v1/models/iris;predict", "iris /all/models/iris;predict"},
        {"/v1/admins;x", "iris /all/admins;x"},
        {"/v1/admi%20n", "iris /all/admi%20n"},
        {"/v1/%C3%A9;a", "iris /all/%C3%A9;a"},
        {"/v1/x;/admin", "iris /all/x;/admin"},
        {"/v1/own:er/a%3Ab;c", "method_not_allowed"}, // it is the route's own
        {"/v1/a;b/c", "method_not_allowed"},
        {"/v2/admin;x", "no_route"},
    };
    for (const auto& row : rows) {
        INFO(row.path);
        CHECK(routed(request(row.path, "iris.contoso.com", http::method::get), where) == row.to);
        CHECK(routed(request("/api/v1/service/iris" + row.path, "a", http::method::get), where) == row.to);
    }
}

TEST_CASE("OPTIONS is for services with CORS, and origins are compared whole") {
    const auto where = make_snapshot(
        {{"closed", {}}, {"open", {}, config::service{}.routes, {"https://a.example", "https://b.example:8443"}}});
    CHECK(routed(request("/api/v1/service/closed/score", "h", http::method::options), where) == "method_not_allowed");
    CHECK(routed(request("/api/v1/service/open/score", "h", http::method::options), where) == "open /score");
    CHECK(routed(request("/api/v1/service/open/x", "h", http::method::options), where) == "no_route");
    const auto& open = where.services()[1];
    CHECK(open.allowed_origin("https://a.example") == "https://a.example");
    CHECK(open.allowed_origin("https://b.example:8443") == "https://b.example:8443");
    for (const auto* other : {"", "https://a.example:443", "http://a.example", "https://a.example.evil", "null", "*"})
        CHECK(open.allowed_origin(other).empty());
    service every;
    every.cors_origins = {"*"};
    CHECK(every.allowed_origin("https://any.example") == "*");
    CHECK(every.allowed_origin("") == "*"); // what a cache keeps is good for every page
    CHECK(where.services()[0].allowed_origin("https://a.example").empty());
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
