#include "control/discovery.hpp"
#include "support/dns_server.hpp"
#include "unit/control/configurations.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using tests::dns_server;
using how = dns_server::entry::how;

namespace {

using texts = std::vector<std::string>;

base::tcp::endpoint endpoint_of(const std::string& address, std::uint16_t port) {
    return {asio::ip::make_address(address), port};
}

config::replica found_by(config::replica_source source, const std::string& host, std::uint16_t port = 80) {
    return {"text of " + host, host, port, false, source};
}
config::replica dns(const std::string& host) { return found_by(config::replica_source::dns, host, 5001); }
config::replica srv(const std::string& host) { return found_by(config::replica_source::srv, host); }

struct fixture {
    asio::io_context io{1};
    dns_server server{io};
    discovery names{io.get_executor()};
    unsigned changes = 0;

    fixture() {
        names.when_changed([this] { ++changes; });
    }
    config::settings settings(std::vector<config::replica> replicas) const {
        auto made = settings_of({service_named("iris", std::move(replicas))});
        made.dns.servers = {server.address()};
        return made;
    }
    void learn(const config::settings& settings) { run(io, told(settings)); }
    base::task<bool> told(const config::settings& settings) {
        co_await names.learn(settings);
        co_return true;
    }
    // Until `done`, or the test's own time is up.
    template <class Done>
    void run_until(Done done) {
        io.restart();
        const auto end = std::chrono::steady_clock::now() + 60s;
        while (!done() && std::chrono::steady_clock::now() < end) io.run_one_for(1s);
        REQUIRE(done());
    }
    texts urls(const config::replica& of) const {
        texts found;
        for (const auto& each : names.replicas(of)) found.push_back(each.url);
        std::sort(found.begin(), found.end());
        return found;
    }
    std::vector<base::tcp::endpoint> addresses(const config::replica& of) const {
        const auto found = names.replicas(of);
        REQUIRE(found.size() == 1);
        CHECK(found.front().url == of.url);
        CHECK(found.front().host == of.host);
        return found.front().addresses;
    }
};

} // namespace

TEST_CASE("a literal is its own address and is never asked for") {
    fixture at;
    const auto v4 = replica_at("127.0.0.1", 5001), v6 = replica_at("2001:db8::1", 5002);
    at.learn(at.settings({v4, v6}));
    CHECK(at.addresses(v4) == std::vector{endpoint_of("127.0.0.1", 5001)});
    CHECK(at.addresses(v6) == std::vector{endpoint_of("2001:db8::1", 5002)});
    CHECK(at.server.questions.empty());
}

TEST_CASE("the system's names are known without DNS") {
    fixture at;
    at.server.zone["localhost"] = {.what = how::is_silent};
    const auto local = replica_at("localhost", 5001);
    at.learn(at.settings({local}));
    REQUIRE_FALSE(at.addresses(local).empty());
    for (const auto& each : at.addresses(local)) CHECK(each.address().is_loopback());
    CHECK(at.server.questions.empty());
}

TEST_CASE("a host is one replica with all its addresses, IPv4 first, at each replica's own port") {
    fixture at;
    at.server.zone["model.test"] = {.addresses = {"fd00::1", "10.0.0.1", "10.0.0.2"}};
    const auto one = replica_at("model.test", 5001), other = replica_at("model.test", 5002);
    auto settings = at.settings({one});
    settings.services.push_back(service_named("digits", {other}));
    CHECK(at.addresses(one).empty());
    at.learn(settings);
    CHECK(at.addresses(one) ==
          std::vector{endpoint_of("10.0.0.1", 5001), endpoint_of("10.0.0.2", 5001), endpoint_of("fd00::1", 5001)});
    CHECK(at.addresses(other).at(2) == endpoint_of("fd00::1", 5002));
    CHECK(at.server.questions["model.test"] == 2); // A and AAAA, once
}

TEST_CASE("with dns:// each address is a replica") {
    fixture at;
    at.server.zone["model.test"] = {.addresses = {"10.0.0.2", "fd00::1", "10.0.0.1"}};
    at.learn(at.settings({dns("model.test")}));
    CHECK(at.urls(dns("model.test")) == texts{"http://10.0.0.1:5001", "http://10.0.0.2:5001", "http://[fd00::1]:5001"});
    const auto first = at.names.replicas(dns("model.test")).front();
    CHECK(first.addresses == std::vector{endpoint_of("10.0.0.2", 5001)});
    CHECK(first.host == "10.0.0.2");
}

TEST_CASE("with srv+http:// each address of each target is a replica, of the lowest priority alone") {
    fixture at;
    at.server.zone["_score._tcp.iris.test"] = {.services = {{10, 1, 5001, "One.iris.test"},
                                                            {10, 9, 5002, "two.iris.test"},
                                                            {20, 1, 5003, "spare.iris.test"},
                                                            {10, 1, 5004, "gone.iris.test"}}};
    at.server.zone["one.iris.test"] = {.addresses = {"10.0.0.1"}};
    at.server.zone["two.iris.test"] = {.addresses = {"10.0.0.2", "10.0.0.3"}};
    const auto all = srv("_score._tcp.iris.test");
    at.learn(at.settings({all}));
    CHECK(at.urls(all) == texts{"http://10.0.0.1:5001", "http://10.0.0.2:5002", "http://10.0.0.3:5002"});
    CHECK_FALSE(at.server.questions.contains("spare.iris.test"));
}

TEST_CASE("an SRV answer takes the place of another once its targets are known") {
    fixture at;
    at.server.zone["_score._tcp.iris.test"] = {.services = {{0, 0, 5001, "one.iris.test"}}, .ttl = 1};
    at.server.zone["one.iris.test"] = {.addresses = {"10.0.0.1"}};
    at.server.zone["two.iris.test"] = {.addresses = {"10.0.0.2"}};
    const auto all = srv("_score._tcp.iris.test");
    at.learn(at.settings({all}));
    CHECK(at.urls(all) == texts{"http://10.0.0.1:5001"});
    at.server.zone["_score._tcp.iris.test"].services = {{0, 0, 5002, "two.iris.test"}};
    bool none = false;
    at.names.when_changed([&] {
        ++at.changes;
        none = none || at.urls(all).empty();
    });
    at.run_until([&] { return at.urls(all) == texts{"http://10.0.0.2:5002"}; });
    CHECK_FALSE(none);
}

TEST_CASE("an SRV answer whose targets cannot be looked up leaves those before it, until they can") {
    fixture at;
    at.server.zone["_score._tcp.iris.test"] = {.services = {{0, 0, 5001, "one.iris.test"}}, .ttl = 1};
    at.server.zone["one.iris.test"] = {.addresses = {"10.0.0.1"}};
    const auto all = srv("_score._tcp.iris.test");
    at.learn(at.settings({all}));
    const auto why = GENERATE(how::fails, how::answers); // with nothing
    at.server.zone["_score._tcp.iris.test"].services = {{0, 0, 5002, "two.iris.test"}, {0, 0, 5003, "three.iris.test"}};
    at.server.zone["two.iris.test"] = {.what = why};
    const auto asked = at.server.questions["_score._tcp.iris.test"];
    at.run_until([&] {
        return at.server.questions["_score._tcp.iris.test"] >= asked + 3 && at.server.questions["two.iris.test"] >= 4;
    });
    CHECK(at.urls(all) == texts{"http://10.0.0.1:5001"});
    at.server.zone["two.iris.test"] = {.addresses = {"10.0.0.2"}};
    at.run_until([&] { return at.urls(all) == texts{"http://10.0.0.2:5002"}; });
}

TEST_CASE("many targets of an SRV answer are not looked up all at once, and each has its turn") {
    fixture at;
    constexpr auto most = discovery::most_target_look_ups;
    constexpr unsigned all_of_them = most + 2; // more would not fit into 512 bytes (RFC 1035 4.2.1)
    auto& many = at.server.zone["_score._tcp.iris.test"];
    for (unsigned i = 0; i < all_of_them; ++i) {
        const auto name = std::to_string(10 + i) + ".t";
        many.services.push_back({0, 0, 5001, name});
        at.server.zone[name] = {.what = how::is_silent, .addresses = {"10.0.1." + std::to_string(i)}};
    }
    const auto all = srv("_score._tcp.iris.test");
    const auto settings = at.settings({all});
    base::gate inside;
    base::spawn(at.io.get_executor(), inside, at.names.learn(settings));
    at.run_until([&] { return at.server.questions.size() > most; }); // with the SRV name itself
    at.io.poll();
    CHECK(at.server.questions.size() == most + 1);
    for (auto& [name, entry] : at.server.zone) entry.what = how::answers;
    at.run_until([&] { return at.urls(all).size() == all_of_them; });
    at.run_until([&] { return inside.inside() == 0; });
}

namespace {

base::task<> look_up(name_resolver& by, std::string host, name_answer& into) {
    into = co_await by.addresses(std::move(host));
}

} // namespace

TEST_CASE("what DNS says of one family counts when the question for the other gets no answer") {
    asio::io_context io{1};
    dns_server server(io);
    server.no_v6 = true;
    server.zone["empty.test"] = {};
    server.zone["v4.test"] = {.addresses = {"10.0.0.1"}};
    name_resolver resolver(io.get_executor(), {server.address()});
    base::gate inside;
    name_answer empty, gone, found;
    base::spawn(io.get_executor(), inside, look_up(resolver, "empty.test", empty));
    base::spawn(io.get_executor(), inside, look_up(resolver, "gone.test", gone));
    base::spawn(io.get_executor(), inside, look_up(resolver, "v4.test", found));
    while (inside.inside() != 0) io.run_one_for(1s);
    using kind = name_answer::kind;
    CHECK(empty.what == kind::none);
    CHECK(empty.lacks_v6);
    CHECK_FALSE(empty.lacks_v4);
    CHECK(gone.what == kind::none); // of every kind
    CHECK_FALSE(gone.lacks_v6);
    CHECK(found.what == kind::found);
    CHECK(found.lacks_v6);
}

TEST_CASE("a first server that is dead leaves time for the second and for the search domains") {
    // c-ares reads these in place of what resolv.conf says.
    struct variable {
        variable(const char* its_name, const char* value) : name(its_name) { ::setenv(name, value, 1); }
        ~variable() { ::unsetenv(name); }
        variable(const variable&) = delete;
        variable& operator=(const variable&) = delete;
        const char* name;
    };
    const variable domains("LOCALDOMAIN", "a.test b.test c.test"), dots("RES_OPTIONS", "ndots:5");
    fixture at;
    asio::ip::udp::socket dead(at.io, {asio::ip::address_v4::loopback(), 0}); // nobody reads it
    at.server.zone["model.iris"] = {.addresses = {"10.0.0.1"}};
    auto settings = at.settings({dns("model.iris")});
    settings.dns.servers.insert(settings.dns.servers.begin(), {"127.0.0.1", dead.local_endpoint().port()});
    at.learn(settings);
    CHECK(at.urls(dns("model.iris")) == texts{"http://10.0.0.1:5001"});
    CHECK(at.server.questions["model.iris.c.test"] >= 1);
}

TEST_CASE("a Unix socket is found by its path, and nothing is asked") {
    fixture at;
    const config::replica socket{"http+unix:///run/m.sock", "/run/m.sock", 80, false,
                                 config::replica_source::unix_socket};
    at.learn(at.settings({socket}));
    const auto found = at.names.replicas(socket);
    REQUIRE(found.size() == 1);
    CHECK(found[0].url == socket.url);
    CHECK(found[0].unix_path == "/run/m.sock");
    CHECK(found[0].addresses.empty());
    CHECK(at.server.questions.empty());
}

TEST_CASE("a name is asked for again when its TTL is over, and its new answer is told") {
    fixture at;
    at.server.zone["model.test"] = {.addresses = {"10.0.0.1"}, .ttl = 1};
    at.server.zone["other.test"] = {.addresses = {"10.0.0.9"}, .ttl = 3600};
    at.learn(at.settings({dns("model.test"), dns("other.test")}));
    at.run_until([&] { return at.changes != 0; });
    const auto asked = at.server.questions["model.test"];
    at.run_until([&] { return at.server.questions["model.test"] >= asked + 2; });
    const auto changes = at.changes; // the same again is no news
    at.server.zone["model.test"].addresses = {"10.0.0.1", "10.0.0.2"};
    at.run_until([&] { return at.changes != changes; });
    CHECK(at.changes == changes + 1);
    CHECK(at.urls(dns("model.test")) == texts{"http://10.0.0.1:5001", "http://10.0.0.2:5001"});
    CHECK(at.server.questions["other.test"] == 2); // A and AAAA, once
}

TEST_CASE("the last good answer is kept while DNS fails, and taken up again") {
    fixture at;
    at.server.zone["model.test"] = {.addresses = {"10.0.0.1"}, .ttl = 1};
    at.learn(at.settings({dns("model.test")}));
    const auto fail = GENERATE(how::fails, how::is_silent);
    at.server.zone["model.test"].what = fail;
    const auto asked = at.server.questions["model.test"];
    at.run_until([&] { return at.server.questions["model.test"] >= asked + 4; });
    CHECK(at.urls(dns("model.test")) == texts{"http://10.0.0.1:5001"});
    at.server.zone["model.test"] = {.addresses = {"10.0.0.2"}, .ttl = 1};
    at.run_until([&] { return at.urls(dns("model.test")) == texts{"http://10.0.0.2:5001"}; });
}

TEST_CASE("a name that is gone is kept for a while") {
    fixture at;
    at.server.zone["model.test"] = {.addresses = {"10.0.0.1"}, .ttl = 1};
    at.learn(at.settings({dns("model.test")}));
    at.server.zone.clear();
    const auto asked = at.server.questions["model.test"];
    at.run_until([&] { return at.server.questions["model.test"] >= asked + 4; });
    CHECK(at.urls(dns("model.test")) == texts{"http://10.0.0.1:5001"}); // name_record_test has the end of it
}

TEST_CASE("an answer for one family does not wait for the other for ever") {
    fixture at;
    at.server.zone["model.test"] = {.addresses = {"10.0.0.1"}, .silent_for_v6 = true};
    at.learn(at.settings({dns("model.test")}));
    CHECK(at.urls(dns("model.test")) == texts{"http://10.0.0.1:5001"});
}

TEST_CASE("a name that hangs delays no other, nor who waits for those that are new") {
    fixture at;
    at.server.zone["hangs.test"] = {.what = how::is_silent};
    at.server.zone["model.test"] = {.addresses = {"10.0.0.1"}};
    const auto hangs = replica_at("hangs.test", 5001);
    at.learn(at.settings({hangs})); // its first answer is waited for, and does not come
    CHECK(at.addresses(hangs).empty());
    const auto asked = at.server.questions["hangs.test"];
    at.run_until([&] { return at.server.questions["hangs.test"] > asked; });
    at.learn(at.settings({hangs, dns("model.test")}));
    CHECK(at.urls(dns("model.test")) == texts{"http://10.0.0.1:5001"});
    CHECK(at.server.questions["hangs.test"] <= asked + 4); // this look-up still hung
}

TEST_CASE("names that no settings have are asked for no more") {
    fixture at;
    at.server.zone["one.test"] = {.addresses = {"10.0.0.1"}, .ttl = 1};
    at.server.zone["two.test"] = {.addresses = {"10.0.0.2"}, .ttl = 1};
    at.learn(at.settings({dns("one.test")}));
    const auto next = at.settings({dns("two.test")});
    at.learn(next);
    CHECK(at.urls(dns("one.test")).size() == 1); // both, until the new settings are in force
    at.names.keep_only(next);
    CHECK(at.urls(dns("one.test")).empty());
    const auto asked = at.server.questions["one.test"];
    const auto asked_other = at.server.questions["two.test"];
    at.run_until([&] { return at.server.questions["two.test"] >= asked_other + 4; });
    CHECK(at.server.questions["one.test"] == asked);
}

TEST_CASE("a new list of servers is used at once") {
    fixture at;
    const auto nobody = at.settings({dns("model.test")});
    at.server.stop();
    at.learn(nobody);
    CHECK(at.urls(dns("model.test")).empty());
    dns_server other(at.io);
    other.zone["model.test"] = {.addresses = {"10.0.0.1"}};
    auto settings = settings_of({service_named("iris", {dns("model.test")})});
    settings.dns.servers = {other.address()};
    at.learn(settings);
    at.run_until([&] { return at.urls(dns("model.test")) == texts{"http://10.0.0.1:5001"}; });
}

TEST_CASE("everything may end with look-ups under way") {
    asio::io_context io{1};
    dns_server server(io);
    server.zone["hangs.test"] = {.what = how::is_silent};
    base::gate inside;
    auto settings = settings_of({service_named("iris", {dns("hangs.test"), srv("hangs.test")})});
    settings.dns.servers = {server.address()};
    {
        discovery names(io.get_executor());
        base::spawn(io.get_executor(), inside, names.learn(settings));
        while (server.questions["hangs.test"] < 3) io.run_one_for(10s);
    }
    CHECK(inside.inside() == 1); // and the loop takes the rest with it
}

TEST_CASE("what a start would look up is told") {
    const auto lines = look_ups_of(settings_of({service_named(
        "iris", {replica_at("10.0.0.1", 80), replica_at("model.test", 80), dns("a.test"), srv("b.test")})}));
    CHECK(lines == texts{"iris/blue: http://model.test:80 is looked up: one replica, at the addresses of model.test",
                         "iris/blue: text of a.test is looked up: a replica for each address of a.test",
                         "iris/blue: text of b.test is looked up: a replica for each address of each target of the SRV "
                         "records of b.test"});
}
