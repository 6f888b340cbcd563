// Which requests reach a replica, under which path, and what GET / says.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

TEST_CASE("a service is reached by both prefixes and by its own host, with the query kept") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());

    struct expected {
        std::string asked, host, replica_path;
    };
    const std::vector<expected> all{
        {"/api/v1/service/iris/score", "www.contoso.com", "/score"},
        {"/api/v1/endpoint/iris/score", "www.contoso.com", "/score"},
        {"/api/v1/service/iris/swagger.json", "www.contoso.com", "/swagger.json"},
        {"/api/v1/endpoint/iris/swagger.json?version=3", "www.contoso.com", "/swagger.json?version=3"},
        {"/score", "iris.contoso.com", "/score"},
        {"/score?a=1&b=%20?c", "IRIS.Contoso.com:8443", "/score?a=1&b=%20?c"},
        {"/swagger.json", "iris.contoso.com", "/swagger.json"},
        {"https://iris.contoso.com/score?q", "iris.contoso.com", "/score?q"},
        {"/api/v1/service/iris/score?", "www.contoso.com", "/score?"},
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        INFO(all[i].asked);
        const auto reply = client.ask("GET " + all[i].asked + " HTTP/1.1\r\nHost: " + all[i].host + "\r\n\r\n");
        CHECK(reply.status() == 200);
        CHECK(reply.body == "{}");
        const auto seen = world.replica.request(i);
        CHECK(seen.first_line == "GET " + all[i].replica_path + " HTTP/1.1");
        CHECK(seen.field("host") == all[i].host);
        const auto record = world.proxy.next_record();
        CHECK(record["service"] == "iris");
        CHECK(record["path"].get<std::string>().find('?') == std::string::npos);
    }
}

TEST_CASE("what no service has is no_route, whatever it resembles") {
    one_replica world(over::plain, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const std::vector<std::pair<std::string, std::string>> all{
        {"/api/v1/service/other/score", "www.contoso.com"},
        {"/api/v1/service/Iris/score", "www.contoso.com"}, // case-sensitive
        {"/api/v1/service/iris/other", "www.contoso.com"},
        {"/api/v1/service/iris/score/", "www.contoso.com"},
        {"/api/v1/service/iris/score/more", "www.contoso.com"},
        {"/api/v1/service/iris", "www.contoso.com"},
        {"/api/v1/service/", "www.contoso.com"},
        {"/score", "www.contoso.com"},
        {"/score", "iris.contoso.com.evil.example"},
        {"/scores", "iris.contoso.com"},
        {"/nothing", "www.contoso.com"},
    };
    for (const auto& [path, host] : all) {
        INFO(host << path);
        check_fault(client.ask("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"), 404, "no_route", "client");
        check_record(world.proxy.next_record(), 404, "no_route", "client");
    }
    CHECK(world.replica.connections() == 0);
    CHECK(client.ask(get(score)).status() == 200); // the connection has survived them all
}

TEST_CASE("GET / is public and says Healthy, 503 once readiness is off") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto healthy = client.ask(get("/"));
    CHECK(healthy.status() == 200);
    CHECK(healthy.body == "Healthy");
    CHECK(healthy.field("x-request-id").size() == 36);
    const auto head = client.ask(request("HEAD", "/"), true);
    CHECK(head.status() == 200);
    CHECK(head.field("content-length") == "7");
    CHECK(client.ask(get("/?probe=1")).body == "Healthy");

    world.proxy.turn_unready();
    check_fault(client.ask(get("/")), 503, "draining", "proxy");
    CHECK(client.ask(get(score)).status() == 200); // still served
    test_client late(world.proxy.port(), world.proxy.terms());
    CHECK(late.ask(get(score)).status() == 200);
}

TEST_CASE("only GET, HEAD and POST are taken; the others learn which") {
    one_replica world(over::plain, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    for (const auto* method : {"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW"}) {
        INFO(method);
        const auto reply = client.ask(request(method, score));
        check_fault(reply, 405, "method_not_allowed", "client");
        CHECK(reply.field("allow") == "GET, HEAD, POST");
        check_record(world.proxy.next_record(), 405, "method_not_allowed", "client");
    }
    CHECK(world.replica.connections() == 0);
}

TEST_CASE("a forced deployment is the live one or no_deployment") {
    one_replica world(over::plain, always(ok("{}")));
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(get(score, "azureml-model-deployment: blue\r\n")).field("azureml-model-deployment") == "blue");
    check_fault(client.ask(get(score, "azureml-model-deployment: green\r\n")), 404, "no_deployment", "client");
    check_fault(client.ask(get(score, "azureml-model-deployment: Blue\r\n")), 404, "no_deployment", "client");
    CHECK(world.replica.requests() == 1);
}

TEST_CASE("with TLS on, the HTTP port redirects reads, refuses the rest and serves what does not require TLS") {
    scripted_replica replica(always(ok("{}")));
    auto settings = settings_of({service_of("free", {&replica}), service_of("iris", {&replica})});
    settings.services[1].require_tls = true;
    settings.services[1].hosts = {"iris.contoso.com"};
    settings.listen_on.public_https_port = GENERATE(std::uint16_t{443}, std::uint16_t{8443});
    const std::string port = settings.listen_on.public_https_port == 443 ? "" : ":8443";
    checked_proxy proxy(over::tls, settings);
    client_terms terms;
    terms.tls = false;
    test_client client(proxy.port(proxy::entrance::http), terms);

    const auto moved = client.ask("GET " + score + "?a=b HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    CHECK(moved.status() == 308);
    CHECK(moved.field("location") == "https://www.contoso.com" + port + score + "?a=b");
    CHECK(moved.body.empty());
    CHECK(client.ask(request("HEAD", score), true).status() == 308);
    CHECK(client.ask("GET /score HTTP/1.1\r\nHost: iris.contoso.com\r\n\r\n").status() == 308);
    CHECK(client.ask(get("/unknown")).status() == 308);
    CHECK(client.ask(get("/")).body == "Healthy");
    check_fault(client.ask(post("{}")), 403, "https_required", "client");
    check_fault(client.ask(request("POST", "/unknown", "", "{}")), 403, "https_required", "client");
    CHECK(client.ask(request("POST", "/api/v1/service/free/score", "", "{}")).status() == 200);
    CHECK(replica.requests() == 1);
    CHECK(replica.request(0).field("x-forwarded-proto") == "http");
}

TEST_CASE("the default service is scored by the bare path, on any host, by its own rules") {
    scripted_replica replica(always(ok("{}"))), other(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&other}), service_of("rose", {&replica})});
    settings.services[0].hosts = {"iris.contoso.com"};
    settings.default_service = "rose";
    const auto secret = std::string(40, 'p');
    settings.services[1].auth = config::auth_mode::key;
    settings.services[1].keys = config::key_files{"primary", {}};
    checked_proxy proxy(over::tls, settings);
    proxy.keys["rose"] = std::make_shared<auth::service_keys>(secret);
    proxy.reload(settings);
    const auto to = [](const std::string& path, const std::string& host, const std::string& fields) {
        return "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "Content-Length: 2\r\n\r\n{}";
    };
    const std::string key = "Authorization: Bearer " + secret + "\r\n";
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(to("/score", "www.contoso.com", "")), 401, "auth_missing", "client");
    CHECK(client.ask(to("/score", "www.contoso.com", key)).status() == 200);
    CHECK(client.ask(to("/score", "127.0.0.1:8443", key)).status() == 200);
    CHECK(client.ask(to("/score", "iris.contoso.com", "")).status() == 200);
    CHECK(client.ask(get("/")).body == "Healthy");
    check_fault(client.ask(to("/", "www.contoso.com", key)), 404, "no_route", "client");
    check_fault(client.ask(to("/api/v1/service/lily/score", "a", key)), 404, "no_route", "client");
    CHECK(replica.requests() == 2);
    CHECK(replica.request(0).first_line == "POST /score HTTP/1.1");
    CHECK(proxy.record(1).value("service", "") == "rose");
    CHECK(proxy.record(5).value("service", "") == "rose");
    CHECK_FALSE(proxy.record(6).contains("service"));

    client_terms clear;
    clear.tls = false;
    test_client in_clear(proxy.port(proxy::entrance::http), clear);
    CHECK(in_clear.ask(to("/score", "www.contoso.com", key)).status() == 200); // require_tls is off
    settings.services[1].require_tls = true;
    proxy.reload(settings);
    check_fault(in_clear.ask(to("/score", "www.contoso.com", key)), 403, "https_required", "client");
    CHECK(in_clear.ask(get("/score")).field("location") == "https://www.contoso.com/score");
}

TEST_CASE("a service without an address for its replica has no ready replica") {
    scripted_replica unused(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&unused})});
    settings.services[0].deployments[0].replicas[0].host = "never-resolved.example"; // discovery was not asked
    checked_proxy proxy(over::plain, settings);
    test_client client(proxy.port(), proxy.terms());
    const auto reply = client.ask(post("{}"));
    check_fault(reply, 503, "no_ready_replica", "replica");
    CHECK(reply.field("retry-after") == "1");
    CHECK(reply.body.find("No ready replicas for service iris") != std::string::npos);
    check_record(proxy.next_record(), 503, "no_ready_replica", "replica");
}
