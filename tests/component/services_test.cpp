// Keys, deployments, routes, error mapping and CORS, through the whole proxy.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

namespace {

const std::string primary(40, 'p'), secondary(40, 's');

std::string with_key(const std::string& key) { return "Authorization: Bearer " + key + "\r\n"; }

} // namespace

TEST_CASE("a service with keys lets nobody else in, and says no more than that") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&replica})});
    settings.services[0].auth = config::auth_mode::key;
    settings.services[0].keys = config::key_files{"primary", "secondary"};
    checked_proxy proxy(what, settings);
    proxy.keys["iris"] = std::make_shared<auth::service_keys>(primary, secondary);
    proxy.reload(settings);
    test_client client(proxy.port(), proxy.terms());
    struct row {
        std::string fields, token;
    };
    const std::vector<row> rows{
        {"", "auth_missing"},
        {"Authorization: \r\n", "auth_missing"},
        {"Authorization: Basic dTpw\r\n", "auth_malformed"},
        {"Authorization: Bearer\r\n", "auth_malformed"},
        {"Authorization: Bearer a b\r\n", "auth_malformed"},
        {with_key(primary) + with_key(primary), "auth_malformed"},
        {with_key(primary.substr(1)), "auth_wrong"},
        {with_key(primary + "p"), "auth_wrong"},
        {with_key(secondary.substr(0, 39) + "S"), "auth_wrong"},
    };
    for (const auto& row : rows) {
        INFO(row.fields);
        const auto reply = client.ask(post("{}", row.fields));
        check_fault(reply, 401, row.token, "client");
        CHECK(reply.field("www-authenticate") == "Bearer");
        CHECK(reply.body.find(primary.substr(0, 20)) == std::string::npos);
        CHECK_FALSE(proxy.next_record().contains("auth"));
    }
    check_fault(client.ask(get("/api/v1/service/iris/swagger.json")), 401, "auth_missing", "client");
    CHECK(replica.requests() == 0);
    for (const auto* scheme : {"Bearer", "bearer", "BEARER"})
        CHECK(client.ask(post("{}", std::string("Authorization: ") + scheme + " " + primary + "\r\n")).status() == 200);
    CHECK(client.ask(post("{}", with_key(secondary))).status() == 200);
    CHECK(client.ask(get("/api/v1/service/iris/swagger.json", with_key(primary))).status() == 200);
    CHECK(replica.request(0).field("authorization").empty());
    CHECK(proxy.record(10).value("auth", "") == "key_primary");
    CHECK(proxy.record(13).value("auth", "") == "key_secondary");

    settings.services[0].forward_authorization = true;
    proxy.keys["iris"] = std::make_shared<auth::service_keys>(std::string(40, 'n'), secondary);
    proxy.reload(settings);
    check_fault(client.ask(post("{}", with_key(primary))), 401, "auth_wrong", "client");
    CHECK(client.ask(post("{}", with_key(secondary))).status() == 200);
    CHECK(replica.request(5).field("authorization") == "Bearer " + secondary);
}

TEST_CASE("traffic is divided by percent, a header forces one, and the reply names it") {
    scripted_replica blue(always(ok("blue"))), green(always(ok("green")));
    auto settings = settings_of({service_of("iris", {&blue})});
    auto& deployments = settings.services[0].deployments;
    deployments[0].traffic = 90;
    deployments.push_back(deployment_of("green", {&green}));
    deployments[1].traffic = 10;
    deployments[1].settings.max_concurrent_requests.reset();
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    std::map<std::string, int> counts;
    for (int i = 0; i < 300; ++i) {
        const auto reply = client.ask(post("{}"));
        CHECK(reply.field("azureml-model-deployment") == reply.body);
        ++counts[reply.body];
    }
    CHECK(counts == std::map<std::string, int>{{"blue", 270}, {"green", 30}});
    CHECK(proxy.record(0).value("deployment", "") == client.ask(post("{}", "azureml-model-deployment: blue\r\n")).body);

    deployments[0].traffic = 0;
    deployments[1].traffic = 0;
    proxy.reload(settings);
    const auto none = client.ask(post("{}"));
    check_fault(none, 404, "no_deployment", "client");
    CHECK_THAT(none.body, Catch::Contains("at least one deployment with positive weight"));
    CHECK(client.ask(post("{}", "azureml-model-deployment: green\r\n")).body == "green");
    check_fault(client.ask(post("{}", "azureml-model-deployment: grey\r\n")), 404, "no_deployment", "client");
}

TEST_CASE("what a model answers, in the three mappings") {
    const auto how = GENERATE(base::error_mapping::aks, base::error_mapping::managed, base::error_mapping::passthrough);
    scripted_replica replica([](conversation& with) {
        for (;;) {
            const auto asked = with.read_request();
            const auto status = asked.field("x-wanted");
            with.send("HTTP/1.1 " + status + " Some\r\nContent-Type: text/x-model\r\n" +
                      (status == "304" ? "\r\n" : "Content-Length: 3\r\n\r\nyes"));
        }
    });
    auto settings = settings_of({service_of("iris", {&replica})});
    settings.services[0].error_mapping = how;
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    for (const unsigned status : {200U, 201U, 304U, 400U, 404U, 418U, 500U, 503U}) {
        INFO(status);
        const auto reply = client.ask(post("{}", "X-Wanted: " + std::to_string(status) + "\r\n"));
        const bool managed = how == base::error_mapping::managed && status >= 400;
        const bool aks = how == base::error_mapping::aks && status == 500;
        CHECK(reply.status() == (managed ? 424 : aks ? 502 : status));
        CHECK(reply.field("x-scoregate-fault") == (managed || aks ? "model_error" : ""));
        CHECK(reply.field("ms-azureml-model-error-statuscode") == (managed ? std::to_string(status) : ""));
        CHECK(reply.field("ms-azureml-model-error-reason") == (managed ? "model_error" : ""));
        CHECK(reply.body == (status == 304 ? "" : "yes"));
        CHECK(reply.field("content-type") == "text/x-model");
        CHECK(proxy.next_record().value("model_status", 0U) == status);
    }
}

TEST_CASE("routes: subtrees keep the rest of the path, methods are the route's, host_header replaces Host") {
    scripted_replica replica(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&replica})});
    settings.services[0].hosts = {"iris.contoso.com"};
    settings.services[0].routes = {{"/score", "/predict", false, {"POST"}, true},
                                   {"/v1", "/api/v1", true, {"GET", "POST", "DELETE"}, false}};
    settings.services[0].deployments[0].host_header = "model.internal:8080";
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    auto at_replica = [&, number = std::size_t{0}](const std::string& asked) mutable {
        CHECK(client.ask(asked).status() == 200);
        const auto head = replica.request(number++).head;
        CHECK_THAT(head, Catch::Contains("\r\nHost: model.internal:8080\r\n"));
        return head.substr(0, head.find(" HTTP/"));
    };
    CHECK(at_replica(post("{}")) == "POST /predict");
    CHECK(at_replica(request("POST", "/api/v1/service/iris/v1/chat/completions?x=1", "", "{}")) ==
          "POST /api/v1/chat/completions?x=1");
    CHECK(at_replica(request("DELETE", "/api/v1/endpoint/iris/v1/files/7")) == "DELETE /api/v1/files/7");
    CHECK(at_replica("GET /v1/models HTTP/1.1\r\nHost: iris.contoso.com\r\n\r\n") == "GET /api/v1/models");
    const auto refused = client.ask(get(score));
    check_fault(refused, 405, "method_not_allowed", "client");
    CHECK(refused.field("allow") == "POST");
    CHECK(at_replica(get("/api/v1/service/iris/v1/a;b=1/c/")) == "GET /api/v1/a;b=1/c/");
    check_fault(client.ask(get("/api/v1/service/iris/swagger.json")), 404, "no_route", "client");
}

TEST_CASE("CORS: preflights are answered without a key, and pages may read replies and errors") {
    scripted_replica replica(
        always("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://theirs\r\nContent-Length: 0\r\n\r\n"));
    auto settings = settings_of({service_of("iris", {&replica}), service_of("rose", {&replica})});
    settings.services[0].cors_origins = {"https://app.contoso.com"};
    settings.services[0].auth = config::auth_mode::key;
    settings.services[0].keys = config::key_files{"primary", {}};
    checked_proxy proxy(over::plain, settings);
    proxy.keys["iris"] = std::make_shared<auth::service_keys>(primary);
    proxy.reload(settings);
    test_client client(proxy.port(), proxy.terms());
    const std::string page = "Origin: https://app.contoso.com\r\n";
    const auto preflight = client.ask(request("OPTIONS", score,
                                              page + "Access-Control-Request-Method: POST\r\n"
                                                     "Access-Control-Request-Headers: authorization\r\n"));
    CHECK(preflight.status() == 204);
    CHECK(preflight.field("access-control-allow-origin") == "https://app.contoso.com");
    CHECK(preflight.field("access-control-allow-methods") == "GET, HEAD, POST");
    CHECK(preflight.field("access-control-allow-headers") == "authorization");
    CHECK(replica.requests() == 0);
    const auto unkeyed = client.ask(post("{}", page));
    check_fault(unkeyed, 401, "auth_missing", "client");
    CHECK(unkeyed.field("access-control-allow-origin") == "https://app.contoso.com");
    const auto scored = client.ask(post("{}", page + with_key(primary)));
    CHECK(scored.status() == 200);
    CHECK(scored.field("access-control-allow-origin") == "https://app.contoso.com");
    CHECK(scored.field("vary") == "Origin");
    CHECK(scored.count("access-control-allow-origin") == 1); // not the replica's
    const auto asked_by_none = client.ask(post("{}", with_key(primary)));
    CHECK(asked_by_none.field("vary") == "Origin"); // a cache must not give it to a page
    CHECK_FALSE(asked_by_none.has("access-control-allow-origin"));
    const auto other = client.ask(post("{}", "Origin: https://evil.example\r\n" + with_key(primary)));
    CHECK(other.status() == 200);
    CHECK(other.field("vary") == "Origin");
    CHECK_FALSE(other.has("access-control-allow-origin")); // whatever the replica says
    CHECK(client.ask(request("POST", "/api/v1/service/rose/score", page, "{}")).field("access-control-allow-origin") ==
          "https://theirs"); // no CORS of ours

    check_fault(client.ask(request("OPTIONS", score,
                                   "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n")),
                403, "forbidden", "client");
    check_fault(client.ask(request("OPTIONS", score, page)), 400, "bad_request", "client");
    const auto closed =
        client.ask(request("OPTIONS", "/api/v1/service/rose/score", page + "Access-Control-Request-Method: POST\r\n"));
    check_fault(closed, 405, "method_not_allowed", "client");
}
