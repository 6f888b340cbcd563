// Strict-Transport-Security (RFC 6797): on every reply over TLS, on none in clear.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

namespace {

constexpr auto field = "strict-transport-security";

std::string with_its_own(std::string_view status) {
    return "HTTP/1.1 " + std::string(status) + "\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n";
}

void set(config::settings& to) {
    to.strict_transport_security.emplace();
    to.strict_transport_security->include_subdomains = true;
}

constexpr auto ours = "max-age=31536000; includeSubDomains";

} // namespace

TEST_CASE("every reply over TLS tells browsers to come by HTTPS alone, whoever it is from") {
    one_replica world(over::tls, always(with_its_own("200 OK")), [](config::settings& s) {
        set(s);
        s.services.front().cors_origins = {"https://a.example"};
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto preflight =
        request("OPTIONS", score, "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n");
    for (const auto& [asked, status] : std::vector<std::pair<std::string, unsigned>>{{post("{}"), 200},
                                                                                     {get("/"), 200},
                                                                                     {get("/nowhere"), 404},
                                                                                     {preflight, 204},
                                                                                     {"GET / HTTP/1.1\r\n\r\n", 400}}) {
        const auto reply = client.ask(asked);
        INFO(asked);
        CHECK(reply.status() == status);
        CHECK(reply.count(field) == 1);
        CHECK(reply.field(field) == ours);
    }
}

TEST_CASE("an error of the model and one of ours in its place tell it, too") {
    one_replica world(over::tls, always(with_its_own("500 Oh")), set);
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}")).field(field) == ours);

    one_replica gone(over::tls, always("no HTTP\r\n\r\n"), set);
    test_client other(gone.proxy.port(), gone.proxy.terms());
    const auto reply = other.ask(post("{}"));
    CHECK(reply.status() == 502);
    CHECK(reply.field(field) == ours);
}

TEST_CASE("in clear nobody is told, not even by the replica (RFC 6797 7.2)") {
    one_replica world(over::tls, always(with_its_own("200 OK")), set);
    client_terms terms;
    terms.tls = false;
    test_client client(world.proxy.port(proxy::entrance::http), terms);
    for (const auto& [asked, status] :
         std::vector<std::pair<std::string, unsigned>>{{post("{}"), 200}, {get("/"), 200}, {get("/nowhere"), 308}}) {
        const auto reply = client.ask(asked);
        INFO(asked);
        CHECK(reply.status() == status);
        CHECK_FALSE(reply.has(field));
    }
}

TEST_CASE("where it is not set the replica's passes, and a reload sets it for open connections") {
    one_replica world(over::tls, always(with_its_own("200 OK")));
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}")).field(field) == "max-age=1");
    CHECK_FALSE(client.ask(get("/")).has(field));
    world.proxy.reload(one_replica::make(world.replica, set));
    CHECK(client.ask(post("{}")).field(field) == ours);
    CHECK(client.ask(get("/")).field(field) == ours);
}
