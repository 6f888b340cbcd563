// What an ACME provider asks for on the port of plain HTTP (RFC 8555 8.3).
#include "component/fixture.hpp"
#include "proxy/challenge.hpp"

using namespace scoregate;
using namespace scoregate::tests;
using proxy::awaited_challenge;

namespace {

const std::string token = "a_token-of-43-characters-as-providers-make-";
const std::string path = std::string(proxy::challenge_prefix) + token;

void by_acme(config::settings& s) { s.acme.emplace(); }

std::unique_ptr<test_client> connect(const running_proxy& proxy) {
    client_terms in_clear;
    in_clear.tls = false;
    return std::make_unique<test_client>(proxy.port(scoregate::proxy::entrance::http), in_clear);
}

} // namespace

TEST_CASE("a challenge is answered with what its file holds, before TLS is asked for") {
    one_replica world(over::tls, always(""), by_acme);
    const auto client = connect(world.proxy);
    for (const auto* const method : {"GET", "HEAD"}) {
        client->send(request(method, path));
        const auto asked = world.proxy.next_challenge();
        CHECK(asked.token == token);
        world.proxy.answer(asked, token + ".thumbprint");
        const bool head = std::string(method) == "HEAD";
        const auto reply = client->read_reply(head);
        CHECK(reply.status() == 200);
        CHECK(reply.field("content-type") == "application/octet-stream");
        CHECK(reply.body == (head ? "" : token + ".thumbprint"));
        const auto record = world.proxy.next_record();
        CHECK(record["status"] == 200);
        CHECK(record["path"] == path);
    }
}

TEST_CASE("whoever asks for one is answered, others are kept out by their address") {
    const auto by_nobody = [](config::settings& s) {
        by_acme(s);
        s.limits.deny = {{*base::parse_ip("127.0.0.0"), 8}};
    };
    one_replica world(over::tls, always(""), by_nobody);
    const auto client = connect(world.proxy);
    client->send(get(path));
    world.proxy.answer(world.proxy.next_challenge(), token + ".x");
    CHECK(client->read_reply().status() == 200);
    check_fault(connect(world.proxy)->ask(get("/")), 403, "forbidden", "client");
}

TEST_CASE("one that nobody has put there is not found, and the connection goes on") {
    one_replica world(over::tls, always(""), by_acme);
    const auto client = connect(world.proxy);
    client->send(get(path));
    world.proxy.answer(world.proxy.next_challenge(), std::nullopt);
    check_fault(client->read_reply(), 404, "no_route", "client");
    check_record(world.proxy.next_record(), 404, "no_route", "client");
    client->send(get(path));
    world.proxy.answer(world.proxy.next_challenge(), token + ".x");
    CHECK(client->read_reply().status() == 200);
}

TEST_CASE("a volume that hangs is not waited for") {
    one_replica world(over::tls, always(""), by_acme);
    const auto client = connect(world.proxy);
    client->send(get(path));
    const auto asked = world.proxy.next_challenge();
    check_fault(client->read_reply(), 404, "no_route", "client");
    world.proxy.answer(asked, token + ".late"); // nobody waits any more
    CHECK(client->ask(get("/")).status() == 200);
}

TEST_CASE("so many wait at once and no more") {
    one_replica world(over::tls, always(""), by_acme);
    std::vector<std::unique_ptr<test_client>> waiting;
    std::vector<running_proxy::asked_challenge> asked;
    for (std::size_t i = 0; i < awaited_challenge::most; ++i) {
        waiting.push_back(connect(world.proxy));
        waiting.back()->send(get(path));
        asked.push_back(world.proxy.next_challenge());
    }
    check_fault(connect(world.proxy)->ask(get(path)), 503, "overloaded", "proxy");
    for (const auto& each : asked) world.proxy.answer(each, token + ".x");
    for (const auto& each : waiting) CHECK(each->read_reply().status() == 200);
}

TEST_CASE("a client that does not wait for it harms nobody") {
    one_replica world(over::tls, always(""), by_acme);
    const auto client = connect(world.proxy);
    client->send(get(path));
    const auto asked = world.proxy.next_challenge();
    client->reset();
    world.proxy.answer(asked, token + ".x");
    CHECK(connect(world.proxy)->ask(get("/")).status() == 200);
}

TEST_CASE("whatever else is asked for there goes its usual way") {
    one_replica world(over::tls, always(ok("{}")), by_acme);
    const auto client = connect(world.proxy);
    for (const auto* const other : {"/.well-known/acme-challenge/", "/.well-known/acme-challenge/a.b",
                                    "/.well-known/acme-challenge/a/b", "/.well-known/acme-challenge"})
        CHECK(client->ask(get(other)).status() == 308);
    check_fault(client->ask(request("POST", path, {}, "x")), 403, "https_required", "client");
    // Over TLS it is a path as any other.
    test_client secure(world.proxy.port(), world.proxy.terms());
    check_fault(secure.ask(get(path)), 404, "no_route", "client");
}

TEST_CASE("without acme there are no challenges") {
    one_replica world(over::tls, always(""));
    CHECK(connect(world.proxy)->ask(get(path)).status() == 308);
}
