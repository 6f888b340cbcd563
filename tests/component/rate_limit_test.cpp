// rate_limit of a service, through the whole proxy. The rates are so low that no test waits for one, and no machine is
// slow enough to reach them.
#include "component/fixture.hpp"

using namespace scoregate;
using namespace scoregate::tests;

namespace {

using by = config::rate_limit::caller;

const std::string primary(40, 'p'), secondary(40, 's');

std::string with_key(const std::string& key) { return "Authorization: Bearer " + key + "\r\n"; }

void check_limited(const message& reply) {
    check_fault(reply, 429, "rate_limited", "client");
    const auto seconds = std::stoi("0" + reply.field("retry-after"));
    CHECK(seconds > 500);
    CHECK(seconds <= 1000);
}

} // namespace

TEST_CASE("by key: each key has its own limit, and who has none counts against nobody's") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&replica})});
    auto& iris = settings.services[0];
    iris.auth = config::auth_mode::key;
    iris.keys = config::key_files{"primary", "secondary"};
    iris.rate_limit = config::rate_limit{0.001, 2, by::key};
    checked_proxy proxy(what, settings, 2);
    proxy.keys["iris"] = std::make_shared<auth::service_keys>(primary, secondary);
    proxy.reload(settings);
    test_client client(proxy.port(), proxy.terms()), other(proxy.port(), proxy.terms());
    for (int i = 0; i < 5; ++i) {
        check_fault(client.ask(post("{}")), 401, "auth_missing", "client");
        check_fault(client.ask(post("{}", with_key(primary + "x"))), 401, "auth_wrong", "client");
    }
    CHECK(client.ask(post("{}", with_key(primary))).status() == 200);
    CHECK(other.ask(post("{}", with_key(primary))).status() == 200); // on another core
    check_limited(client.ask(post("{}", with_key(primary))));
    check_limited(other.ask(post("{}", with_key(primary))));
    CHECK(client.ask(post("{}", with_key(secondary))).status() == 200); // the connection is as it was
    CHECK(client.ask(get("/")).status() == 200);
    CHECK(replica.requests() == 3);

    proxy.reload(settings); // changes nothing
    check_limited(client.ask(post("{}", with_key(primary))));
    settings.services[0].rate_limit->burst = 4;
    proxy.reload(settings);
    CHECK(client.ask(post("{}", with_key(primary))).status() == 200);
    CHECK(client.ask(post("{}", with_key(primary))).status() == 200);
    check_limited(client.ask(post("{}", with_key(primary))));
    settings.services[0].rate_limit.reset();
    proxy.reload(settings);
    for (int i = 0; i < 9; ++i) CHECK(client.ask(post("{}", with_key(primary))).status() == 200);
    CHECK(replica.requests() == 14);
    proxy.record(28); // all of them, each counted by then
    CHECK(proxy.count("iris", fault::rate_limited, 429) == 4);
}

TEST_CASE("by address: each has its own limit, over all its connections") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica(always(ok("{}")));
    auto settings = settings_of({service_of("iris", {&replica}), service_of("rose", {&replica})});
    settings.services[0].rate_limit = config::rate_limit{0.001, 3, by::address};
    settings.services[0].error_mapping = base::error_mapping::managed;
    checked_proxy proxy(what, settings, 2);
    auto elsewhere = proxy.terms();
    elsewhere.source = "127.0.0.2";
    for (int i = 0; i < 3; ++i) {
        test_client client(proxy.port(), proxy.terms());
        CHECK(client.ask(post("{}")).status() == 200);
    }
    test_client client(proxy.port(), proxy.terms()), other(proxy.port(), elsewhere);
    check_limited(client.ask(post("{}")));
    CHECK(client.ask(request("POST", "/api/v1/service/rose/score", "", "{}")).status() == 200);
    for (int i = 0; i < 3; ++i) CHECK(other.ask(post("{}")).status() == 200);
    check_limited(other.ask(post("{}")));
    CHECK(replica.requests() == 7);
    std::size_t limited = 0;
    for (std::size_t i = 0; i < 9; ++i) { // the cores write in any order
        const auto record = proxy.record(i);
        if (!record.contains("fault")) continue;
        ++limited;
        check_record(record, 429, "rate_limited", "client");
        CHECK(record.value("service", "") == "iris");
        CHECK(record.value("attempts", 1) == 0);
        CHECK_FALSE(record.contains("deployment"));
    }
    CHECK(limited == 2);
}

TEST_CASE("a body that nobody has read does not keep a refused request's connection") {
    one_replica at(over::plain, always(ok("{}")), [](config::settings& settings) {
        settings.services[0].rate_limit = config::rate_limit{0.001, 1, by::address};
    });
    test_client client(at.proxy.port(), at.proxy.terms());
    CHECK(client.ask(post("{}")).status() == 200);
    client.send("POST " + score + " HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    const auto reply = client.read_reply();
    check_limited(reply);
    CHECK(reply.field("connection") == "close");
    CHECK(client.wait_for_end() == tests::ending::clean);
    CHECK(at.replica.requests() == 1);
}
