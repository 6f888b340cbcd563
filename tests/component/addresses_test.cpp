// Whose request it is: PROXY headers, X-Forwarded-For of trusted proxies, and the addresses that are not served.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;
using telemetry::refusal;

namespace {

base::network network(const std::string& text) {
    const auto slash = text.find('/');
    return {*base::parse_ip(text.substr(0, slash)), static_cast<unsigned>(std::stoul(text.substr(slash + 1)))};
}

one_replica::change behind(std::vector<base::network> trusted, const one_replica::change& more = {}) {
    return [trusted = std::move(trusted), more](config::settings& s) {
        s.listen_on.proxy_protocol = config::proxy_protocol::required;
        s.trusted_proxies = trusted;
        if (more) more(s);
    };
}

const auto localhost = network("127.0.0.1/32");

const std::string line_of_ip4 = "PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n";
const std::string line_of_ip6 = "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";

std::string binary(char command, char family, const std::string& addresses) {
    std::string made("\r\n\r\n\0\r\nQUIT\n", 12);
    made += {command, family, static_cast<char>(addresses.size() >> 8), static_cast<char>(addresses.size() & 0xff)};
    return made + addresses;
}
const std::string binary_of_ip4 =
    binary(0x21, 0x11, std::string("\xcb\x00\x71\x09\xc0\x00\x02\x01\x1f\x90\x01\xbb", 12) + std::string(300, '\0'));
const std::string binary_of_ip6 =
    binary(0x21, 0x21,
           std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x07" + std::string("\x20\x01\x0d\xb8", 4) +
               std::string(11, '\0') + "\x01" + std::string("\x1f\x90\x01\xbb", 4));

enum class sent { whole, byte_by_byte };

// A client whose first bytes are the header.
std::unique_ptr<test_client> connect(running_proxy& proxy, const std::string& header, sent how = sent::whole) {
    auto made = std::make_unique<test_client>(proxy.port(), proxy.terms(), false);
    if (how == sent::whole)
        made->send_raw(header);
    else
        for (const char each : header) made->send_raw({&each, 1});
    if (proxy.terms().tls) {
        if (const auto why = made->handshake(); !why.empty()) throw wire_error("handshake: " + why);
    }
    return made;
}

std::string from(const std::string& addresses) { return "X-Forwarded-For: " + addresses + "\r\n"; }

} // namespace

TEST_CASE("a PROXY header tells whose connection it is, before TLS and before HTTP") {
    const auto what = GENERATE(over::tls, over::plain);
    const auto how = GENERATE(sent::whole, sent::byte_by_byte);
    INFO(to_string(what) << (how == sent::whole ? "" : ", byte by byte"));
    one_replica world(what, always(ok("{}")), behind({localhost}));
    struct row {
        std::string header, client;
    };
    const std::vector<row> rows{{line_of_ip4, "203.0.113.9"},       {line_of_ip6, "2001:db8::7"},
                                {binary_of_ip4, "203.0.113.9"},     {binary_of_ip6, "2001:db8::7"},
                                {"PROXY UNKNOWN\r\n", "127.0.0.1"}, {binary(0x20, 0, ""), "127.0.0.1"}};
    for (std::size_t i = 0; i < rows.size(); ++i) {
        INFO(i);
        const auto client = connect(world.proxy, rows[i].header, how);
        CHECK(client->ask(post("{}")).status() == 200);
        CHECK(client->ask(post("{}")).status() == 200);
        CHECK(world.replica.request(2 * i).field("x-forwarded-for") == rows[i].client);
        CHECK(world.replica.request(2 * i + 1).field("x-forwarded-for") == rows[i].client);
        CHECK(world.proxy.next_record()["client_ip"] == rows[i].client);
        CHECK(world.proxy.next_record()["client_ip"] == rows[i].client);
    }
    CHECK(world.proxy.refused(refusal::proxy_protocol) == 0);
}

TEST_CASE("what comes with the header belongs to the request, and a client's own address field is not believed") {
    one_replica world(over::plain, always(ok("{}")), behind({localhost}));
    test_client client(world.proxy.port(), world.proxy.terms());
    client.send(line_of_ip4 + post("{}", from("198.51.100.1")) + post("[]"));
    CHECK(client.read_reply().status() == 200);
    CHECK(client.read_reply().status() == 200);
    CHECK(world.replica.request(0).field("x-forwarded-for") == "203.0.113.9");
}

TEST_CASE("an address that a PROXY header names may be a trusted proxy itself") {
    one_replica world(over::plain, always(ok("{}")), behind({localhost, network("203.0.113.0/24")}));
    const auto client = connect(world.proxy, line_of_ip4);
    CHECK(client->ask(post("{}", from("192.0.2.66, 198.51.100.1"))).status() == 200);
    CHECK(world.replica.request(0).field("x-forwarded-for") == "198.51.100.1, 203.0.113.9");
    CHECK(world.proxy.next_record()["client_ip"] == "198.51.100.1");
}

TEST_CASE("behind a header that names nobody, nobody is believed") {
    // Who that is a balancer of connections has not looked at: it may be anybody, with any field.
    const auto header = GENERATE(std::string("PROXY UNKNOWN\r\n"), binary(0x21, 0, ""), binary(0x20, 0, ""));
    one_replica world(over::plain, always(ok("{}")), behind({localhost}));
    const auto client = connect(world.proxy, header);
    CHECK(client->ask(post("{}", from("198.51.100.1") + "X-Forwarded-Proto: https\r\n")).status() == 200);
    CHECK(world.replica.request(0).field("x-forwarded-for") == "127.0.0.1");
    CHECK(world.replica.request(0).field("x-forwarded-proto") == "http");
    CHECK(world.proxy.next_record()["client_ip"] == "127.0.0.1");
}

TEST_CASE("without a valid PROXY header of a trusted proxy a connection is closed without a word") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), behind({localhost}, [](auto& s) { s.timeouts.handshake = 300ms; }));
    const std::string bytes =
        GENERATE(post("{}"), std::string("\x16\x03\x01\x00\x05hello", 10), std::string("PROXY TCP4 203.0.113.9\r\n"),
                 "PROXY UNKNOWN " + std::string(200, 'x'), binary(0x21, 0x11, "short"),
                 binary(0x21, 0x11, std::string(5000, 'x')), std::string("PROXY TCP4 203.")); // and never goes on
    CAPTURE(bytes);
    test_client client(world.proxy.port(), world.proxy.terms(), false);
    client.send_raw(bytes);
    CHECK(client.receive_raw().empty());
    wait_until([&] { return world.proxy.refused(refusal::proxy_protocol) == 1; });
    CHECK(world.proxy.full_handshakes() == 0);
    CHECK(world.proxy.count() == 0);
}

TEST_CASE("a PROXY header of somebody who is not trusted does not help") {
    const auto what = GENERATE(over::tls, over::plain);
    one_replica world(what, always(ok("{}")), behind({network("127.0.0.2/32")}));
    test_client client(world.proxy.port(), world.proxy.terms(), false);
    client.send_raw(line_of_ip4);
    CHECK(client.receive_raw().empty());
    wait_until([&] { return world.proxy.refused(refusal::proxy_protocol) == 1; });
    CHECK(world.proxy.count() == 0);
}

TEST_CASE("a balancer that only looks whether the port is open is no news") {
    one_replica world(over::tls, always(ok("{}")), behind({localhost}));
    test_client look(world.proxy.port(), world.proxy.terms(), false);
    look.shut();
    CHECK(look.receive_raw().empty());
    wait_until([&] { return world.proxy.open_connections() == 0; });
    CHECK(world.proxy.refused(refusal::proxy_protocol) == 0);
}

TEST_CASE("the address of a PROXY header is what limits count, not the balancer's") {
    const auto what = GENERATE(over::tls, over::plain);
    one_replica world(what, always(ok("{}")), behind({localhost}, [](auto& s) {
                          s.limits.max_connections_per_ip = 1;
                          s.limits.deny = {network("2001:db8::/64")};
                      }));
    const auto one = connect(world.proxy, line_of_ip4);
    CHECK(one->ask(post("{}")).status() == 200);
    test_client over_it(world.proxy.port(), world.proxy.terms(), false);
    over_it.send_raw(binary_of_ip4);
    CHECK(over_it.receive_raw().empty());
    wait_until([&] { return world.proxy.refused(refusal::per_ip) == 1; });
    check_fault(connect(world.proxy, line_of_ip6)->ask(post("{}")), 403, "forbidden", "client");
    const auto local = connect(world.proxy, "PROXY UNKNOWN\r\n"), another = connect(world.proxy, "PROXY UNKNOWN\r\n");
    CHECK(local->ask(post("{}")).status() == 200);
    CHECK(another->ask(post("{}")).status() == 200); // the balancer itself
}

TEST_CASE("X-Forwarded-For of a trusted proxy: the client's address in the log, to the replica, and for limits") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    one_replica world(what, always(ok("{}")), [](config::settings& s) {
        s.trusted_proxies = {localhost, network("10.0.0.0/8")};
        s.services[0].rate_limit = config::rate_limit{0.001, 2, config::rate_limit::caller::address};
        s.limits.deny = {network("198.51.100.0/24")};
    });
    test_client client(world.proxy.port(), world.proxy.terms());
    const auto said =
        from("192.0.2.66, 203.0.113.9, 10.0.0.2") +
        "X-Forwarded-Proto: https\r\nX-Forwarded-Host: iris.contoso.com:8443\r\nForwarded: for=1.2.3.4\r\n";
    CHECK(client.ask(post("{}", said)).status() == 200);
    const auto seen = world.replica.request(0);
    CHECK(seen.field("x-forwarded-for") == "203.0.113.9, 10.0.0.2, 127.0.0.1");
    CHECK(seen.field("x-forwarded-proto") == "https");
    CHECK(seen.field("x-forwarded-host") == "iris.contoso.com:8443");
    CHECK_FALSE(seen.has("forwarded"));
    CHECK(world.proxy.next_record()["client_ip"] == "203.0.113.9");

    CHECK(client.ask(post("{}", from("203.0.113.9"))).status() == 200);
    check_fault(client.ask(post("{}", from("203.0.113.9:443"))), 429, "rate_limited", "client");
    CHECK(client.ask(post("{}", from("203.0.113.10"))).status() == 200); // somebody else
    world.proxy.next_record();
    const auto limited = world.proxy.next_record();
    CHECK(limited["client_ip"] == "203.0.113.9");
    check_record(limited, 429, "rate_limited", "client");
    world.proxy.next_record();

    CHECK(client.ask(post("{}")).status() == 200); // the proxy itself
    CHECK(world.replica.request(3).field("x-forwarded-for") == "127.0.0.1");
    CHECK(world.proxy.next_record()["client_ip"] == "127.0.0.1");
    check_fault(client.ask(post("{}", from("198.51.100.77"))), 403, "forbidden", "client");
    CHECK(world.proxy.next_record()["client_ip"] == "198.51.100.77");
}

TEST_CASE("what is not well-formed of a trusted proxy is replaced by ours") {
    one_replica world(over::plain, always(ok("{}")), [](config::settings& s) { s.trusted_proxies = {localhost}; });
    test_client client(world.proxy.port(), world.proxy.terms());
    const std::string said =
        GENERATE(std::string("X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: a b\r\n"),
                 std::string("X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: a, b\r\n"),
                 std::string("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n"
                             "X-Forwarded-Host: a\r\nX-Forwarded-Host: a\r\nX-Forwarded-For: _hidden\r\n"));
    CHECK(client.ask(post("{}", said)).status() == 200);
    const auto seen = world.replica.request(0);
    CHECK(seen.field("x-forwarded-for") == "127.0.0.1");
    CHECK(seen.field("x-forwarded-proto") == "http");
    CHECK(seen.field("x-forwarded-host") == "www.contoso.com");
}

TEST_CASE("nothing of it is believed of others") {
    one_replica world(over::plain, always(ok("{}")),
                      [](config::settings& s) { s.trusted_proxies = {network("127.0.0.2/32")}; });
    const auto said = from("203.0.113.9") + "X-Forwarded-Proto: https\r\nX-Forwarded-Host: iris.contoso.com\r\n";
    test_client client(world.proxy.port(), world.proxy.terms());
    CHECK(client.ask(post("{}", said)).status() == 200);
    auto trusted = world.proxy.terms();
    trusted.source = "127.0.0.2";
    test_client proxy(world.proxy.port(), trusted);
    CHECK(proxy.ask(post("{}", said)).status() == 200);
    CHECK(world.replica.request(0).field("x-forwarded-for") == "127.0.0.1");
    CHECK(world.replica.request(0).field("x-forwarded-proto") == "http");
    CHECK(world.replica.request(0).field("x-forwarded-host") == "www.contoso.com");
    CHECK(world.replica.request(1).field("x-forwarded-for") == "203.0.113.9, 127.0.0.2");
}

TEST_CASE("forbidden: addresses that are not served get 403 and no second request, and a reload changes which") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&replica})});
    settings.limits.allow = {network("127.0.0.0/8")};
    settings.limits.deny = {network("127.0.0.2/32")};
    checked_proxy proxy(what, settings, 2);
    auto elsewhere = proxy.terms();
    elsewhere.source = "127.0.0.2";
    test_client client(proxy.port(), proxy.terms()), other(proxy.port(), elsewhere), third(proxy.port(), elsewhere);
    CHECK(client.ask(post("{}")).status() == 200);
    const auto reply = other.ask(post("{}"));
    check_fault(reply, 403, "forbidden", "client");
    CHECK(reply.field("connection") == "close");
    CHECK(other.wait_for_end() == tests::ending::clean);
    const auto healthy = test_client(proxy.port(), elsewhere).ask(get("/"));
    check_fault(healthy, 403, "forbidden", "client"); // before anything is routed

    settings.limits.deny.clear();
    proxy.reload(settings);
    CHECK(third.ask(post("{}")).status() == 200);
    settings.limits.allow = {network("127.0.0.2/32")};
    proxy.reload(settings);
    check_fault(client.ask(post("{}")), 403, "forbidden", "client");
    CHECK(third.ask(post("{}")).status() == 200);
    settings.limits.allow = {network("::/0")};
    proxy.reload(settings);
    check_fault(third.ask(post("{}")), 403, "forbidden", "client");
    CHECK(replica.requests() == 3);
}
