// Which tokens a service takes: what has to be said of them, and what is refused.
#include "unit/config/written.hpp"

using namespace scoregate::config;
using nlohmann::json;

namespace {

using texts = std::vector<std::string>;

// The valid file with this as the token of its service, which takes tokens.
json with(const std::string& token) {
    auto tree = valid();
    auto& iris = tree["services"]["iris"];
    iris["auth_mode"] = "aml_token";
    if (!token.empty()) iris["token"] = json::parse(token);
    return tree;
}

const std::string whole =
    R"({"jwks_file": "keys/jwks.json", "issuer": "https://i", "audience": "https://ml.azure.com"})";

} // namespace

TEST_CASE("a service that takes tokens says whose, and for whom they are") {
    const written file{with(whole).dump()};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    CHECK(result.warnings == texts{});
    REQUIRE(result.value);
    const auto& service = result.value->services.at(0);
    CHECK(service.auth == auth_mode::aml_token);
    CHECK_FALSE(service.keys);
    REQUIRE(service.token);
    CHECK(service.token ==
          token_settings{(file.folder() / "keys/jwks.json").string(), "https://i", "https://ml.azure.com", "service"});
    CHECK(service.token->pointer == "/services/iris/token");

    auto tree = with(whole);
    tree["services"]["iris"]["token"]["service_claim"] = "roles";
    tree["services"]["iris"]["token"]["jwks_file"] = "/run/jwks.json";
    const auto other = written{tree.dump()}.load();
    REQUIRE(other.value);
    CHECK(other.value->services.at(0).token ==
          token_settings{"/run/jwks.json", "https://i", "https://ml.azure.com", "roles"});
}

TEST_CASE("without a token's settings a service that takes tokens is refused") {
    const written file{with("").dump()};
    const auto result = file.load();
    CHECK_FALSE(result.value);
    CHECK(lines(result.problems) ==
          texts{file.file() +
                ": /services/iris/token: is missing: write \"token\": { \"jwks_file\": \"keys/jwks.json\", \"issuer\": "
                "\"https://login.contoso.com\", \"audience\": \"https://ml.azure.com\" }, or write \"auth_mode\": "
                "\"none\" for a service open to everyone who can reach it"});
}

TEST_CASE("every problem of a token is told at its pointer") {
    struct row {
        const char* token;
        const char* pointers; // under the service
        const char* fragment; // of the first
    };
    const std::string long_text(1025, 'a');
    const auto one = GENERATE(values<row>({
        {"null", "/token\n", "must be an object, not null"},
        {"[]", "/token\n", "must be an object"},
        {"{}", "/token/jwks_file\n/token/issuer\n/token/audience\n", "is missing: save what the issuer publishes"},
        {R"({"jwks_file": "j", "audience": "a"})", "/token/issuer\n", "write what its tokens have as \"iss\""},
        {R"({"jwks_file": "j", "issuer": "i"})", "/token/audience\n", "such as https://ml.azure.com"},
        {R"({"jwks_file": "", "issuer": "i", "audience": "a"})", "/token/jwks_file\n", "is not a path"},
        {R"({"jwks_file": "j", "issuer": "", "audience": "a"})", "/token/issuer\n", "cannot be in a token"},
        {R"({"jwks_file": "j", "issuer": "i\n", "audience": "a"})", "/token/issuer\n", "cannot be in a token"},
        {R"({"jwks_file": "j", "issuer": "i", "audience": ["a"]})", "/token/audience\n",
         "must be a string, not a list"},
        {R"({"jwks_file": "j", "issuer": "i", "audience": null})", "/token/audience\n", "must be a string, not null"},
        {R"({"jwks_file": "j", "issuer": "i", "audience": "a", "service_claim": ""})", "/token/service_claim\n",
         "cannot be in a token"},
        {R"({"jwks_file": "j", "issuer": "i", "audience": "a", "service_claim": null})", "/token/service_claim\n",
         "must be a string, not null"},
        {R"({"jwks_file": "j", "issuer": "i", "audience": "a", "jwksFile": "j"})", "/token/jwksFile\n",
         "did you mean \"jwks_file\"?"},
        {R"({"jwks_file": "j", "issuer": "i", "audience": "a", "secret": "j"})", "/token/secret\n",
         "is not a key of scoregate"},
    }));
    CAPTURE(one.token);
    const auto result = written{with(one.token).dump()}.load();
    CHECK_FALSE(result.value);
    CAPTURE(lines(result.problems));
    std::string wanted = one.pointers;
    for (auto at = wanted.find("/token"); at != std::string::npos; at = wanted.find("/token", at + 20))
        wanted.insert(at, "/services/iris");
    REQUIRE(pointers(result.problems) == wanted);
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));

    auto tree = with(whole);
    tree["services"]["iris"]["token"]["issuer"] = long_text;
    CHECK(pointers(written{tree.dump()}.load().problems) == "/services/iris/token/issuer\n");
}

TEST_CASE("settings of tokens are the same wherever they stand, and not if one differs") {
    const token_settings one{"/j", "i", "a", "s", "/services/iris/token"};
    CHECK(one == token_settings{"/j", "i", "a", "s", "/services/wine/token"});
    CHECK_FALSE(one == token_settings{"/k", "i", "a", "s", "/services/iris/token"});
    CHECK_FALSE(one == token_settings{"/j", "j", "a", "s", "/services/iris/token"});
    CHECK_FALSE(one == token_settings{"/j", "i", "b", "s", "/services/iris/token"});
    CHECK_FALSE(one == token_settings{"/j", "i", "a", "t", "/services/iris/token"});
}
