#include "unit/config/written.hpp"

using namespace scoregate::config;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

using texts = std::vector<std::string>;

texts described(const std::vector<override_setting>& all) {
    texts out;
    for (const auto& one : all) out.push_back(one.key + "|" + one.value + "|" + one.origin);
    return out;
}

} // namespace

TEST_CASE("--set words are split at the first =") {
    problems wrong;
    const auto settings = parse_set_options({"sslCname=a=b", "listen.https=", "workers", "=5"}, wrong);
    CHECK(described(settings) == texts{"sslCname|a=b|--set sslCname", "listen.https||--set listen.https"});
    REQUIRE(wrong.size() == 2);
    CHECK_THAT(to_string(wrong[0]), Catch::StartsWith("--set, number 3: is not KEY=VALUE"));
    CHECK_THAT(to_string(wrong[1]), Catch::StartsWith("--set, number 4: is not KEY=VALUE"));
}

TEST_CASE("a word that is no KEY=VALUE is not shown: it may be a secret") {
    const std::string secret =
        GENERATE("zB4xq0dRk2mVvYc1NfWlTsEo8uHgJpAi",
                 "dGhpcyBpcyBhIHNlY3JldCBvZiAzMyBieXRlcyEh==", "VGhpcyBzZWNyZXQgaGFzIHRoaXJ0eS10d28gYnl0ZXM=",
                 "c2VjcmV0IQ==", "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n");
    CAPTURE(secret);
    problems wrong;
    const auto settings = parse_set_options({"workers=1", secret}, wrong);
    CHECK(settings.size() == 1);
    CHECK(lines(wrong) ==
          texts{"--set, number 2: is not KEY=VALUE, and not shown, for it may be a secret: write it like "
                "--set listen.https=127.0.0.1:8443"});
}

TEST_CASE("what is set unless it is set gives way to file, environment and command line") {
    const char* const environment[] = {"SCOREGATE_UNLESS_SET_workers=7", "SCOREGATE_SET_sslCname=www.contoso.com",
                                       "SCOREGATE_UNLESS_SET_sslCname=other.contoso.com",
                                       "SCOREGATE_UNLESS_SET_admin__listen=0.0.0.0:9001", nullptr};
    const auto defaults = environment_overrides(environment);
    auto tree = valid();
    tree.erase("workers");
    const auto by_default = written{tree.dump()}.load(defaults).value.value();
    CHECK(by_default.workers == 7);
    CHECK(by_default.certificates.at(0).cname == "www.contoso.com");
    CHECK(by_default.admin.listen == endpoint{"0.0.0.0", 9001});

    auto with_word = defaults;
    with_word.push_back({"workers", "2", "--set workers"});
    CHECK(written{tree.dump()}.load(with_word).value.value().workers == 2);

    tree["workers"] = 3;
    tree["admin"] = {{"listen", nullptr}};
    const auto by_file = written{tree.dump()}.load(defaults).value.value();
    CHECK(by_file.workers == 3);
    CHECK_FALSE(by_file.admin.listen); // null is said, too
}

TEST_CASE("a place for the pair by default gives way to its other form, and to no TLS") {
    const char* const environment[] = {"SCOREGATE_UNLESS_SET_sslSecret=/etc/tls", nullptr};
    const auto defaults = environment_overrides(environment);
    auto tree = valid(); // the form of two files
    CHECK(written{tree.dump()}.load(defaults).value.value().certificates.at(0).secret.empty());
    for (const auto* key : {"sslCertPemFile", "sslKeyPemFile"}) tree.erase(key);
    CHECK(written{tree.dump()}.load(defaults).value.value().certificates.at(0).secret == "/etc/tls");
    tree["allowInsecureConnections"] = true;
    tree.erase("sslCname");
    const auto insecure = written{tree.dump()}.load(defaults);
    CHECK(insecure.value);
    CHECK(insecure.warnings.empty());

    auto of_word = environment_overrides(environment);
    of_word.push_back({"sslCertPemFile", "c.pem", "--set sslCertPemFile"});
    of_word.push_back({"sslKeyPemFile", "k.pem", "--set sslKeyPemFile"});
    tree["allowInsecureConnections"] = false;
    tree["sslCname"] = "www.contoso.com";
    CHECK(written{tree.dump()}.load(of_word).value.value().certificates.at(0).secret.empty());
}

TEST_CASE("a place for the pair by default gives way to a provider that issues one") {
    const char* const environment[] = {"SCOREGATE_UNLESS_SET_sslSecret=/etc/tls", nullptr};
    const auto defaults = environment_overrides(environment);
    auto tree = valid();
    for (const auto* key : {"sslCertPemFile", "sslKeyPemFile"}) tree.erase(key);
    tree["acme"] = {{"directory", "https://provider.test/dir"}, {"contact", "ops@contoso.com"}, {"state_dir", "acme"}};
    const auto result = written{tree.dump()}.load(defaults);
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    CHECK(result.value->certificates.at(0).awaited);
    tree["acme"] = nullptr;
    CHECK(written{tree.dump()}.load(defaults).value.value().certificates.at(0).secret == "/etc/tls");
}

TEST_CASE("only SCOREGATE_SET_ and SCOREGATE_UNLESS_SET_ are taken from the environment") {
    const char* const environment[] = {"SCOREGATE_SET_listen__https=127.0.0.1:1,[::1]:2",
                                       "SCOREGATE_LOG=x",
                                       "PATH=/bin",
                                       "scoregate_set_workers=1",
                                       "SCOREGATE_SET_services__my-iris__require_tls=a=b",
                                       nullptr};
    CHECK(described(environment_overrides(environment)) ==
          texts{"listen.https|127.0.0.1:1,[::1]:2|SCOREGATE_SET_listen__https",
                "services.my-iris.require_tls|a=b|SCOREGATE_SET_services__my-iris__require_tls"});
}

TEST_CASE("values are converted by the type of the key") {
    const written file{valid().dump()};
    const auto result = file.load_with(
        {"refuse_expired=True", "workers=4", "sslCname=Other.contoso.com", "listen.https=127.0.0.1:1, [::1]:2",
         "listen.http=", "admin.listen=null", "admin.hosts=a.b", "access_log.path=null",
         "limits.max_request_bytes=5000000000", "services.iris.require_tls=FALSE",
         "services.iris.hosts=iris.contoso.com", "services.iris.deployments.blue.replicas=http://a,http://b:1",
         "services.iris.deployments.blue.request_settings.total_timeout_ms=7"});
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    const auto& s = *result.value;
    CHECK(s.refuse_expired);
    CHECK(s.workers == 4);
    CHECK(s.certificates.at(0).cname == "other.contoso.com");
    CHECK(s.listen_on.https == std::vector<endpoint>{{"127.0.0.1", 1}, {"::1", 2}});
    CHECK(s.listen_on.http.empty());
    CHECK_FALSE(s.admin.listen);
    CHECK(s.admin.hosts == texts{"a.b"});
    CHECK_FALSE(s.access_log.path);
    CHECK(s.limits.max_request_bytes == 5000000000);
    REQUIRE(s.services.size() == 1);
    CHECK_FALSE(s.services[0].require_tls);
    CHECK(s.services[0].hosts == texts{"iris.contoso.com"});
    CHECK(s.services[0].deployments.at(0).replicas ==
          std::vector<replica>{{"http://a", "a", 80}, {"http://b:1", "b", 1}});
    CHECK(s.services[0].deployments.at(0).settings.total_timeout == 7ms);
}

TEST_CASE("later overrides win, over the file too") {
    auto tree = valid();
    tree["workers"] = 1;
    const written file{tree.dump()};
    CHECK(file.load_with({"workers=2", "workers=3"}).value.value().workers == 3);
    tree["workers"] = "wrong";
    CHECK(written{tree.dump()}.load_with({"workers=2"}).value.value().workers == 2);
}

TEST_CASE("what is absent or null is opened by a key inside it") {
    auto tree = valid();
    tree["access_log"] = nullptr;
    tree.erase("services");
    const written file{tree.dump()};
    const auto result = file.load_with(
        {"access_log.path=-", "services.wine.auth_mode=none", "services.wine.deployments.blue.replicas=http://a"});
    CHECK(lines(result.problems) == texts{});
    CHECK(result.value.value().access_log.path == "-");
    CHECK(result.value.value().services.at(0).name == "wine");
}

TEST_CASE("relative paths start at the file's folder wherever they come from") {
    const written file{valid().dump()};
    const auto result = file.load_with({"sslCertPemFile=other/c.pem", "access_log.path=access.log"});
    REQUIRE(result.value);
    CHECK(result.value->certificates.at(0).certificate == (file.folder() / "other/c.pem").string());
    CHECK(result.value->access_log.path == (file.folder() / "access.log").string());
}

TEST_CASE("the pair can be overridden in the form that the file has") {
    const written file{R"({ "sslSecret": "tls", "sslCname": "www.contoso.com", "ticket_keys_dir": "k",
        "services": { "iris": { "auth_mode": "none",
                                "deployments": { "blue": { "replicas": ["http://127.0.0.1:5001"] } } } } })"};
    const auto by_word = file.load_with({"sslSecret=other", "ticket_keys_dir=null"});
    CHECK(lines(by_word.problems) == texts{});
    REQUIRE(by_word.value);
    CHECK(by_word.value->certificates.at(0).secret == (file.folder() / "other").string());
    CHECK_FALSE(by_word.value->ticket_keys_dir);

    const char* const environment[] = {"SCOREGATE_SET_sslSecret=/mnt/tls", "SCOREGATE_SET_ticket_keys_dir=keys",
                                       nullptr};
    const auto by_environment = file.load(environment_overrides(environment));
    CHECK(lines(by_environment.problems) == texts{});
    REQUIRE(by_environment.value);
    CHECK(by_environment.value->certificates.at(0).secret == "/mnt/tls");
    CHECK(by_environment.value->certificates.at(0).cname == "www.contoso.com");
    CHECK(by_environment.value->ticket_keys_dir == (file.folder() / "keys").string());
}

TEST_CASE("an override cannot choose the other form, and is told so by its origin") {
    const written file{valid().dump()};
    const char* const environment[] = {"SCOREGATE_SET_sslSecret=/mnt/tls", nullptr};
    const auto by_environment = lines(file.load(environment_overrides(environment)).problems);
    REQUIRE(by_environment.size() == 1);
    CHECK_THAT(by_environment[0],
               Catch::StartsWith("SCOREGATE_SET_sslSecret: /sslSecret: holds certificate and key, so "
                                 "it cannot be given beside their files: give either "));
    const auto by_word = lines(file.load_with({"sslSecret=/mnt/tls"}).problems);
    REQUIRE(by_word.size() == 1);
    CHECK_THAT(by_word[0], Catch::StartsWith("--set sslSecret: /sslSecret: "));
}

TEST_CASE("a pair can be given by overrides alone") {
    auto tree = valid();
    for (const auto* key : {"sslCertPemFile", "sslKeyPemFile", "sslCname"}) tree.erase(key);
    const auto result = written{tree.dump()}.load_with({"sslSecret=/tls", "sslCname=www.contoso.com"});
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    CHECK(result.value->certificates == std::vector<certificate_files>{{"", "", "www.contoso.com", "/tls"}});
}

TEST_CASE("a list of objects and what is in it cannot be overridden, whether the file has it or not") {
    const std::string word = GENERATE("certificates=x", "certificates=", "certificates.0.sslCname=a.b",
                                      "certificates.0=x", "certificates.sslCname=a.b");
    const bool in_file = GENERATE(false, true);
    CAPTURE(word, in_file);
    auto tree = valid();
    if (in_file) tree["certificates"] = json::parse(R"([{ "sslSecret": "b", "sslCname": "b.contoso.com" }])");
    const auto result = written{tree.dump()}.load_with({word});
    CHECK_FALSE(result.value);
    CHECK(lines(result.problems) == texts{"--set " + word.substr(0, word.find('=')) +
                                          ": /certificates: is a list of objects, which only the file can give"});
}

TEST_CASE("Azure's switch works on a file with TLS settings") {
    const written file{valid().dump()};
    const auto result = file.load_with({"allowInsecureConnections=True"});
    REQUIRE(result.value);
    CHECK(result.value->certificates.empty());
    CHECK(result.warnings.size() == 3);
}

TEST_CASE("a wrong override is refused by its origin") {
    struct row {
        const char* word;
        const char* problem;
    };
    const auto one = GENERATE(values<row>({
        {"workers=many", "--set workers: /workers: must be an integer from 0 to 1024, not the string \"many\""},
        {"workers=5x", "--set workers: /workers: must be an integer"},
        {"workers=99999999999999999999", "--set workers: /workers: must be an integer"},
        {"workers=null", "--set workers: /workers: must be an integer"},
        {"workers=2000", "--set workers: /workers: must be an integer from 0 to 1024, not 2000"},
        {"workers.x=1", "--set workers.x: /workers/x: cannot be set: /workers is not an object in the file"},
        {"refuse_expired=yes", "--set refuse_expired: /refuse_expired: must be true or false"},
        {"refuse_expired=", "--set refuse_expired: /refuse_expired: must be true or false"},
        {"listen=x", "--set listen: /listen: must be an object"},
        {"listen.htps=x", "--set listen.htps: /listen/htps: is not a key of scoregate: did you mean \"https\"?"},
        {"Workers=1", "--set Workers: /Workers: is not a key of scoregate: did you mean \"workers\"?"},
        {"colour.of.it=1", "--set colour.of.it: /colour: is not a key of scoregate: remove it"},
        {"listen.https=x,[::]:1", "--set listen.https: /listen/https/0: the string \"x\" is not an address"},
        {"listen.https=,[::]:1", "--set listen.https: /listen/https/0: the string \"\" is not an address"},
        {"sslCname=\xff", "--set sslCname: /sslCname: the string \"\\ufffd\" is neither a DNS name"},
        {"ticket_keys_dir=", "--set ticket_keys_dir: /ticket_keys_dir: the string \"\" is not a path"},
        {"services.iris.auth_mode=", "--set services.iris.auth_mode: /services/iris/auth_mode: must be \"key\" or"},
        {"services.iris.keys=k", "--set services.iris.keys: /services/iris/keys: must be an object"},
    }));
    CAPTURE(one.word);
    auto tree = valid();
    tree["workers"] = 1;
    const auto result = written{tree.dump()}.load_with({one.word});
    CHECK_FALSE(result.value);
    CAPTURE(lines(result.problems));
    REQUIRE(result.problems.size() == 1);
    CHECK_THAT(lines(result.problems)[0], Catch::StartsWith(one.problem));
}

TEST_CASE("what an override leaves out inside what it made is its problem") {
    const auto result = written{valid().dump()}.load_with({"services.wine.require_tls=true"});
    REQUIRE(result.problems.size() == 2);
    CHECK(result.problems[0].file == "--set services.wine.require_tls");
    CHECK(result.problems[0].pointer == "/services/wine/keys");
    CHECK(result.problems[1].pointer == "/services/wine/deployments");
}
