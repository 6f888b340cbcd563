// Who may use a service: that it is open only when this is written out, where its keys are, and what is left over of
// them.
#include "unit/config/written.hpp"

using namespace scoregate::config;
using nlohmann::json;

namespace {

using texts = std::vector<std::string>;

// The valid file with other authentication of its service.
json with(const std::string& authentication) {
    auto tree = valid();
    auto& iris = tree["services"]["iris"];
    iris.erase("auth_mode");
    iris.update(json::parse(authentication));
    return tree;
}

const std::string iris = "/services/iris";

} // namespace

TEST_CASE("keys are what a service asks for, also when no mode is written") {
    const auto* const mode = GENERATE("", R"("auth_mode": "key", )");
    CAPTURE(mode);
    const written file{with("{" + std::string{mode} + R"("keys": {"primary_file": "keys/primary"}})").dump()};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    CHECK(result.warnings == texts{});
    REQUIRE(result.value);
    const auto& service = result.value->services.at(0);
    CHECK(service.auth == auth_mode::key);
    REQUIRE(service.keys);
    CHECK(service.keys->primary == (file.folder() / "keys/primary").string());
    CHECK_FALSE(service.keys->secondary);
    CHECK(service.keys->pointer == "/services/iris/keys");
}

TEST_CASE("without keys a service is refused, unless it is open in writing") {
    const auto* const mode = GENERATE("{}", R"({"auth_mode": "key"})");
    CAPTURE(mode);
    const written file{with(mode).dump()};
    const auto result = file.load();
    CHECK_FALSE(result.value);
    CHECK(lines(result.problems) ==
          texts{file.file() +
                ": /services/iris/keys: is missing: make a key with `scoregate key generate > keys/primary` and write "
                "\"keys\": { \"primary_file\": \"keys/primary\" }, or write \"auth_mode\": \"none\" for a service open "
                "to everyone who can reach it"});

    const auto open = written{with(R"({"auth_mode": "none"})").dump()}.load();
    CHECK(open.warnings == texts{});
    REQUIRE(open.value);
    CHECK(open.value->services.at(0).auth == auth_mode::none);
    CHECK_FALSE(open.value->services.at(0).keys);
}

TEST_CASE("each key file starts at the configuration's folder") {
    struct row {
        const char* primary;
        const char* secondary;
        const char* first; // under the folder, unless absolute
        const char* second;
    };
    const auto one = GENERATE(values<row>({
        {"a", "b", "a", "b"},
        {"./keys/../a", "keys//b", "a", "keys/b"},
        {"/run/a", "b", "/run/a", "b"},
        {"a", "/run/./b", "a", "/run/b"},
        {"keys/a", "a", "keys/a", "a"}, // the name alone is not the file
    }));
    CAPTURE(one.primary, one.secondary);
    auto tree = with("{}");
    tree["services"]["iris"]["keys"] = {{"primary_file", one.primary}, {"secondary_file", one.secondary}};
    const written file{tree.dump()};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    CHECK(result.value->services.at(0).keys ==
          key_files{(file.folder() / one.first).string(), (file.folder() / one.second).string()});
}

TEST_CASE("one file for both keys is refused, however its path is written") {
    const auto* const secondary = GENERATE("keys/primary", "./keys/primary", "x/../keys//primary", "absolute");
    CAPTURE(secondary);
    auto tree = with(R"({"keys": {"primary_file": "keys/primary"}})");
    auto& at = tree["services"]["iris"]["keys"]["secondary_file"];
    at = secondary;
    const written folder{tree.dump()};
    if (at == "absolute") at = (folder.folder() / "keys/primary").string();
    std::ofstream{folder.file()} << tree.dump();
    const auto result = folder.load();
    CHECK_FALSE(result.value);
    CHECK(lines(result.problems) ==
          texts{folder.file() + ": /services/iris/keys/secondary_file: is the same file as "
                                "primary_file: name another, or write null for one key only"});
}

TEST_CASE("services may share keys, and each is told with its own pointer") {
    auto tree = with(R"({"keys": {"primary_file": "p", "secondary_file": "s"}})");
    tree["services"]["wine"] = tree["services"]["iris"];
    const auto result = written{tree.dump()}.load();
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    const auto& services = result.value->services;
    CHECK(services.at(0).keys == services.at(1).keys);
    CHECK(services.at(0).keys->pointer == "/services/iris/keys");
    CHECK(services.at(1).keys->pointer == "/services/wine/keys");
}

TEST_CASE("files that differ in one key are not the same") {
    const key_files both{"/p", "/s", "/services/iris/keys"};
    CHECK(both == key_files{"/p", "/s", "/services/wine/keys"});
    CHECK_FALSE(both == key_files{"/q", "/s", "/services/iris/keys"});
    CHECK_FALSE(both == key_files{"/p", "/t", "/services/iris/keys"});
    CHECK_FALSE(both == key_files{"/p", {}, "/services/iris/keys"});
}

TEST_CASE("what is wrong with authentication is refused at its pointer, once") {
    struct row {
        const char* authentication;
        const char* pointer; // under the service
        const char* fragment;
    };
    const auto one = GENERATE(values<row>({
        {R"({"auth_mode": "Key"})", "/auth_mode",
         "must be \"key\" or \"aml_token\" or \"none\", not the string \"Key\""},
        {R"({"auth_mode": "none "})", "/auth_mode", "must be \"key\" or \"aml_token\" or \"none\""},
        {R"({"auth_mode": null})", "/auth_mode", "must be \"key\" or \"aml_token\" or \"none\", not null"},
        {R"({"auth_mode": false})", "/auth_mode", "must be \"key\" or \"aml_token\" or \"none\", not false"},
        {R"({"auth_mode": ["none"]})", "/auth_mode", "must be \"key\" or \"aml_token\" or \"none\", not a list"},
        {R"({"keys": null})", "/keys", "must be an object, not null"},
        {R"({"keys": "keys/primary"})", "/keys", "must be an object, not the string"},
        {R"({"keys": {}})", "/keys/primary_file",
         "is missing: make a key with `scoregate key generate > keys/primary`"},
        {R"({"keys": {"secondary_file": "s"}})", "/keys/primary_file", "is missing: make a key"},
        {R"({"keys": {"primary_file": null}})", "/keys/primary_file", "must be a string, not null"},
        {R"({"keys": {"primary_file": ["p"]}})", "/keys/primary_file", "must be a string, not a list"},
        {R"({"keys": {"primary_file": ""}})", "/keys/primary_file", "is not a path"},
        {R"({"keys": {"primary_file": "", "secondary_file": "."}})", "/keys/primary_file", "is not a path"},
        {R"({"keys": {"primary_file": "p", "secondary_file": ""}})", "/keys/secondary_file", "is not a path"},
        {R"({"keys": {"primary_file": "p", "secondary_file": 5}})", "/keys/secondary_file",
         "must be a string or null, not 5"},
        {R"({"keys": {"primary_file": "p", "primary": "p"}})", "/keys/primary", "is not a key of scoregate"},
        {R"({"keys": {"primary_file": "p", "secondaryFile": "p"}})", "/keys/secondaryFile",
         "did you mean \"secondary_file\"?"},
        {R"({"auth_mode": "none", "keys": {}})", "/keys/primary_file", "is missing"},
        {R"({"auth_mode": "none", "forward_authorization": null})", "/forward_authorization",
         "must be true or false, not null"},
        {R"({"auth_mode": "none", "forward_authorization": "true"})", "/forward_authorization",
         "must be true or false, not the string"},
    }));
    CAPTURE(one.authentication);
    const auto result = written{with(one.authentication).dump()}.load();
    CHECK_FALSE(result.value);
    CAPTURE(lines(result.problems));
    REQUIRE(pointers(result.problems) == iris + one.pointer + "\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));
}

TEST_CASE("what is left over for another mode only warns") {
    struct row {
        texts unused;
        std::string because;
    };
    const std::string keys = R"("keys": {"primary_file": "p"})",
                      token = R"("token": {"jwks_file": "j", "issuer": "i", "audience": "a"})";
    const std::vector<std::pair<std::string, row>> rows{
        {R"("auth_mode": "none", )" + keys, {{"keys"}, "none"}},
        {R"("auth_mode": "none", "keys": {"primary_file": "p", "secondary_file": "p"})", {{"keys"}, "none"}},
        {R"("auth_mode": "none", )" + keys + ", " + token, {{"keys", "token"}, "none"}},
        {R"("auth_mode": "key", )" + keys + ", " + token, {{"token"}, "key"}},
        {keys + ", " + token, {{"token"}, "key"}},
        {R"("auth_mode": "aml_token", )" + keys + ", " + token, {{"keys"}, "aml_token"}},
    };
    for (const auto& [authentication, row] : rows) {
        CAPTURE(authentication);
        const written file{with("{" + authentication + "}").dump()};
        const auto result = file.load();
        CHECK(lines(result.problems) == texts{});
        texts warnings;
        for (const auto& each : row.unused)
            warnings.push_back(file.file() + ": /services/iris/" + each + ": is not used, because auth_mode is " +
                               row.because);
        CHECK(result.warnings == warnings);
        REQUIRE(result.value);
        const auto& service = result.value->services.at(0);
        CHECK(service.keys.has_value() == (service.auth == auth_mode::key));
        CHECK(service.token.has_value() == (service.auth == auth_mode::aml_token));
    }
}

TEST_CASE("authentication can be overridden") {
    const written file{with(R"({"keys": {"primary_file": "p", "secondary_file": "s"}})").dump()};
    const auto keys = file.load_with({"services.iris.keys.primary_file=q", "services.iris.keys.secondary_file=null",
                                      "services.iris.forward_authorization=True"});
    CHECK(lines(keys.problems) == texts{});
    REQUIRE(keys.value);
    CHECK(keys.value->services.at(0).keys == key_files{(file.folder() / "q").string(), {}});
    CHECK(keys.value->services.at(0).forward_authorization);

    const auto open = file.load_with({"services.iris.auth_mode=none"});
    REQUIRE(open.value);
    CHECK(open.value->services.at(0).auth == auth_mode::none);
    CHECK(open.warnings.size() == 1);

    const auto same = file.load_with({"services.iris.keys.secondary_file=p"});
    REQUIRE(same.problems.size() == 1);
    CHECK(same.problems[0].file == "--set services.iris.keys.secondary_file");

    const auto made = written{with("{}").dump()}.load_with({"services.iris.keys.primary_file=p"});
    CHECK(lines(made.problems) == texts{});
}
