// Services that take tokens, through the whole proxy.
#include "component/fixture.hpp"
#include "support/tokens.hpp"

#include <set>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

const signing_key& issuer() {
    static const signing_key made(key_kind::ec_p256);
    return made;
}

nlohmann::json claims() {
    return claims_at(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
}

nlohmann::json claims_with(const char* name, const nlohmann::json& value) {
    auto made = claims();
    made[name] = value;
    return made;
}

std::string bearing(const std::string& token) { return "Authorization: Bearer " + token + "\r\n"; }

config::settings taking_tokens(const scripted_replica& replica) {
    auto settings = settings_of({service_of("iris", {&replica})});
    settings.services[0].auth = config::auth_mode::aml_token;
    settings.services[0].token = token_terms();
    return settings;
}

} // namespace

TEST_CASE("a service that takes tokens lets nobody else in, and says no more than that") {
    const auto what = GENERATE(over::tls, over::plain);
    INFO(to_string(what));
    scripted_replica replica(always(ok("{}")));
    auto settings = taking_tokens(replica);
    checked_proxy proxy(what, settings);
    proxy.tokens["iris"] = verifier_of({&issuer()});
    proxy.reload(settings);
    test_client client(proxy.port(), proxy.terms());
    const signing_key stranger(key_kind::ec_p256);
    struct row {
        std::string fields, token;
    };
    const auto good = issuer().sign(claims());
    const std::vector<row> rows{
        {"", "auth_missing"},
        {"Authorization: \r\n", "auth_missing"},
        {"Authorization: Basic dTpw\r\n", "auth_malformed"},
        {bearing(good) + bearing(good), "auth_malformed"},
        {bearing(std::string(40, 'k')), "auth_malformed"},
        {bearing(good.substr(0, good.rfind('.'))), "auth_malformed"},
        {bearing(good + "=="), "auth_malformed"},
        {bearing(good.substr(0, good.rfind('.') + 1)), "auth_wrong"},
        {bearing(stranger.sign(claims())), "auth_wrong"},
        {bearing(issuer().sign({{"alg", "none"}}, claims())), "auth_wrong"},
        {bearing(sign_hs256({{"alg", "HS256"}}, claims(), issuer().public_pem())), "auth_wrong"},
        {bearing(issuer().sign(claims_with("service", "wine"))), "auth_wrong"},
        {bearing(issuer().sign(claims_with("iss", "https://other"))), "auth_wrong"},
        {bearing(issuer().sign(claims_with("exp", 1))), "auth_expired"},
    };
    std::map<std::string, std::set<std::string>> messages;
    for (const auto& row : rows) {
        INFO(row.fields);
        const auto reply = client.ask(post("{}", row.fields));
        check_fault(reply, 401, row.token, "client");
        CHECK(reply.field("www-authenticate") == "Bearer");
        messages[row.token].insert(nlohmann::json::parse(reply.body)["error"]["message"].get<std::string>());
        const auto line = proxy.next_record();
        CHECK_FALSE(line.contains("auth"));
        CHECK(line.dump().find("eyJ") == std::string::npos);
    }
    for (const auto& [token, texts] : messages) CHECK(texts.size() == 1); // nothing tells one refusal from another
    check_fault(client.ask(get("/api/v1/service/iris/swagger.json")), 401, "auth_missing", "client");
    check_fault(client.ask(get("/api/v1/service/iris/swagger.json", bearing(stranger.sign(claims())))), 401,
                "auth_wrong", "client");
    CHECK(replica.requests() == 0);

    for (int i = 0; i < 3; ++i) CHECK(client.ask(post("{}", bearing(good))).status() == 200);
    CHECK(client.ask(post("{}", "Authorization: bEARER " + good + "\r\n")).status() == 200);
    CHECK(client.ask(get("/api/v1/service/iris/swagger.json", bearing(good))).status() == 200);
    CHECK(replica.request(0).field("authorization").empty());
    for (std::size_t i = rows.size() + 2; i < rows.size() + 7; ++i) {
        CHECK(proxy.record(i).value("auth", "") == "aml_token");
        CHECK(proxy.record(i).dump().find(good.substr(0, 10)) == std::string::npos);
    }

    settings.services[0].forward_authorization = true;
    proxy.reload(settings);
    CHECK(client.ask(post("{}", bearing(good))).status() == 200);
    CHECK(replica.request(5).field("authorization") == "Bearer " + good);
}

TEST_CASE("tokens of a key that its issuer has given up are refused, those of one that stays are not") {
    scripted_replica replica(always(ok("{}")));
    const auto settings = taking_tokens(replica);
    const signing_key next(key_kind::rsa_2048, "next");
    checked_proxy proxy(over::plain, settings, 2);
    test_client client(proxy.port(), proxy.terms());
    const auto old_token = issuer().sign(claims()), new_token = next.sign(claims());
    const auto statuses = [&](std::initializer_list<const signing_key*> keys) {
        proxy.tokens["iris"] = verifier_of(keys);
        proxy.reload(settings);
        std::vector<unsigned> all;
        for (const auto& each : {old_token, new_token, old_token, new_token})
            all.push_back(client.ask(post("{}", bearing(each))).status());
        return all;
    };
    CHECK(statuses({&issuer()}) == std::vector<unsigned>{200, 401, 200, 401});
    CHECK(statuses({&issuer(), &next}) == std::vector<unsigned>{200, 200, 200, 200});
    CHECK(statuses({&next}) == std::vector<unsigned>{401, 200, 401, 200});
}

TEST_CASE("without keys to verify with, a service that takes tokens is closed") {
    scripted_replica replica(always(ok("{}")));
    checked_proxy proxy(over::plain, taking_tokens(replica));
    test_client client(proxy.port(), proxy.terms());
    check_fault(client.ask(post("{}")), 401, "auth_missing", "client");
    check_fault(client.ask(post("{}", bearing(issuer().sign(claims())))), 401, "auth_wrong", "client");
    CHECK(replica.requests() == 0);
}
