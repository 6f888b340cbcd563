// Azure's names of settings: which --set takes, what is refused with where it goes, and that no key given as text is
// ever shown.
#include "config/azure_settings.hpp"
#include "unit/config/written.hpp"

#include <algorithm>
#include <set>

using namespace scoregate::config;
using nlohmann::json;

namespace {

using texts = std::vector<std::string>;

// The valid file without any setting of TLS.
json without_tls() {
    auto tree = valid();
    for (const auto* key : {"sslCertPemFile", "sslKeyPemFile", "sslCname"}) tree.erase(key);
    return tree;
}

const std::string pem_key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v\n-----END PRIVATE KEY-----\n";

} // namespace

TEST_CASE("--set takes Azure's names of certificate, key and name") {
    const auto words = GENERATE(values<texts>({
        {"ssl_cert_pem_file=c.pem", "ssl_key_pem_file=k.pem", "ssl_cname=www.contoso.com"}, // SDK v1
        {"ssl_enabled=True", "ssl_certificate=c.pem", "ssl_key=k.pem", "ssl_cname=www.contoso.com"},
        {"ssl-cert-file=c.pem", "ssl-key-file=k.pem", "ssl-cname=www.contoso.com"},                 // CLI v1
        {"status=Enabled", "sslCertPemFile=c.pem", "sslKeyPemFile=k.pem", "cname=www.contoso.com"}, // JSON
        {"allowInsecureConnections=False", "sslCertPemFile=c.pem", "sslKeyPemFile=k.pem", "sslCname=www.contoso.com"},
    }));
    CAPTURE(words);
    const written file{without_tls().dump()};
    const auto result = file.load_with(words);
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    CHECK(result.value->certificates ==
          std::vector<certificate_files>{
              {(file.folder() / "c.pem").string(), (file.folder() / "k.pem").string(), "www.contoso.com", ""}});
}

TEST_CASE("--set takes Azure's switches of TLS, on or off") {
    struct row {
        const char* word;
        bool tls;
    };
    const auto one = GENERATE(values<row>({
        {"ssl_enabled=True", true},
        {"ssl_enabled=False", false},
        {"ssl_enabled=false", false},
        {"status=Enabled", true},
        {"status=Disabled", false},
        {"ssl-disable=True", false},
        {"ssl-disable=False", true},
        {"allowInsecureConnections=True", false},
        {"allowInsecureConnections=False", true},
    }));
    CAPTURE(one.word);
    auto tree = valid();
    tree["allowInsecureConnections"] = one.tls; // the other than what is wanted
    const auto result = written{tree.dump()}.load_with({one.word});
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    CHECK(result.value->allow_insecure_connections != one.tls);
}

TEST_CASE("the environment takes Azure's names, too, and of two names of one key the later counts") {
    const char* const environment[] = {"SCOREGATE_SET_ssl_cname=Other.contoso.com", nullptr};
    const written file{valid().dump()};
    CHECK(file.load(environment_overrides(environment)).value.value().certificates.at(0).cname == "other.contoso.com");
    CHECK(
        file.load_with({"ssl_cname=a.contoso.com", "sslCname=b.contoso.com"}).value.value().certificates.at(0).cname ==
        "b.contoso.com");
    CHECK(
        file.load_with({"sslCname=b.contoso.com", "ssl_cname=a.contoso.com"}).value.value().certificates.at(0).cname ==
        "a.contoso.com");
}

TEST_CASE("what is wrong with a setting under Azure's name is told by that name and at our key") {
    struct row {
        const char* word;
        const char* problem;
    };
    const auto one = GENERATE(values<row>({
        {"ssl_cname=-", "--set ssl_cname: /sslCname: the string \"-\" is neither a DNS name"},
        {"ssl-cert-file=", "--set ssl-cert-file: /sslCertPemFile: the string \"\" is not a path"},
        {"ssl-disable=yes", "--set ssl-disable: /allowInsecureConnections: must be true or false"},
        {"ssl_enabled=yes", "--set ssl_enabled: /ssl_enabled: switches TLS: on with True or Enabled, off with False"},
        {"status=Auto", "--set status: /status: switches TLS: on with True or Enabled, off with False or Disabled; a "
                        "certificate from a provider, Azure's Auto, is asked for with acme"},
    }));
    CAPTURE(one.word);
    const auto result = written{valid().dump()}.load_with({one.word});
    CHECK_FALSE(result.value);
    REQUIRE(result.problems.size() == 1);
    CHECK_THAT(lines(result.problems)[0], Catch::StartsWith(one.problem));
}

TEST_CASE("settings of Azure's deployment are refused with where they go") {
    struct row {
        const char* word;
        const char* advice;
    };
    const auto one = GENERATE(values<row>({
        {"inferenceRouterServiceType=loadBalancer",
         "is decided by the Service in front of scoregate: choose the overlay"},
        {"internalLoadBalancerProvider=azure", "is decided by the Service in front of scoregate: choose the overlay"},
        {"load_balancer_type=InternalLoadBalancer",
         "is decided by the Service in front of scoregate: choose the overlay"},
        {"load-balancer-subnet=s", "is decided by the Service in front of scoregate: choose the overlay"},
        {"inferenceRouterHA=True", "is the number of scoregates: choose the overlay of docker/kubernetes with three"},
        {"nodeSelector.disk=ssd", "is decided by the pod: write it into an overlay of docker/kubernetes"},
        {"enableInference=True", "is not needed: scoregate serves models that run already, so leave it out"},
        {"enableTraining=False", "is not needed"},
        {"installVolcano=False", "is not needed"},
        {"installPromOp=True", "is not needed: metrics are at /metrics of the admin port"},
        {"installDcgmExporter=True", "is not needed: metrics are at /metrics of the admin port"},
        {"logAnalyticsWS=x", "is not needed: the access log goes where access_log.path says"},
        {"clusterPurpose=FastProd", "is a setting of Azure's machines and networks"},
        {"agent_count=3", "is a setting of Azure's machines and networks"},
        {"auth_enabled=True", "is decided by each service: write its auth_mode"},
        {"dns_name_label=contoso", "is not scoregate's to give: point a name at it and write that as sslCname"},
        {"cpu_cores=1", "is decided by the pod"},
    }));
    CAPTURE(one.word);
    const std::string word = one.word, key = word.substr(0, word.find('='));
    const auto result = written{valid().dump()}.load_with({word});
    CHECK_FALSE(result.value);
    REQUIRE(result.problems.size() == 1);
    const auto expected = "--set " + key + ": /" + key.substr(0, key.find('.')) + ": " + one.advice;
    CHECK_THAT(lines(result.problems)[0], Catch::StartsWith(expected));
}

TEST_CASE("every setting of Azure's that belongs elsewhere is refused with its advice") {
    const written file{valid().dump()};
    for (const auto& each : azure_settings()) {
        if (each.is != azure_setting::meaning::elsewhere) continue;
        const std::string name{each.name};
        CAPTURE(name);
        const auto result = file.load_with({name + "=x"});
        CHECK_FALSE(result.value);
        CHECK(lines(result.problems) == texts{"--set " + name + ": /" + name + ": " + std::string{each.advice}});
    }
}

TEST_CASE("what Azure has as a setting and scoregate as a command is refused with that command") {
    struct row {
        const char* word;
        const char* command;
    };
    const auto one = GENERATE(values<row>({
        {"overwrite_existing_domain=True", "scoregate cert auto --overwrite-existing-domain"},
        {"overwriteExistingDomain=True", "scoregate cert auto --overwrite-existing-domain"},
        {"ssl-overwrite-domain=True", "scoregate cert auto --overwrite-existing-domain"},
        {"renew=True", "scoregate cert renew"},
        {"ssl-renew=True", "scoregate cert renew"},
        {"cert=x", "scoregate cert install"},
        {"key=x", "scoregate cert install"},
    }));
    CAPTURE(one.word);
    const auto result = written{valid().dump()}.load_with({one.word});
    REQUIRE(result.problems.size() == 1);
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.command));
}

TEST_CASE("the file has one name for each key, and says it to who writes Azure's other one") {
    auto tree = valid();
    tree["ssl_cname"] = "www.contoso.com";
    tree["ssl-leaf-domain-label"] = "contoso";
    tree["ssl_enabled"] = true;
    tree["enableInference"] = true;
    auto told = lines(written{tree.dump()}.load().problems);
    std::sort(told.begin(), told.end());
    REQUIRE(told.size() == 4);
    CHECK_THAT(told[0], Catch::Contains("/enableInference: is not needed"));
    CHECK_THAT(told[1], Catch::EndsWith("/ssl-leaf-domain-label: is Azure's name, which --set takes; in the file write "
                                        "\"leafDomainLabel\" in acme"));
    CHECK_THAT(told[2],
               Catch::EndsWith("/ssl_cname: is Azure's name, which --set takes; in the file write \"sslCname\""));
    CHECK_THAT(told[3], Catch::Contains("/ssl_enabled: switches TLS"));
}

TEST_CASE("every name of Azure's is there once, is none of ours, and leads to a key or an advice") {
    std::set<std::string> ours, names;
    for (const auto& key : describe_keys()) ours.insert(key.pattern);
    for (const auto& each : azure_settings()) {
        CAPTURE(each.name);
        CHECK(names.insert(std::string{each.name}).second);
        CHECK_FALSE(ours.contains(child_pointer("", each.name)));
        CHECK(each.key.empty() == (each.is == azure_setting::meaning::elsewhere));
        CHECK(each.advice.empty() == (each.is == azure_setting::meaning::same));
        if (each.key.empty()) continue;
        std::string pointer = "/" + std::string{each.key};
        std::replace(pointer.begin(), pointer.end(), '.', '/');
        CHECK(ours.contains(pointer));
    }
}

TEST_CASE("PEM where a path or another text belongs is refused with advice and never shown") {
    const texts forms{pem_key, "\n " + pem_key, "MC4CAQ==" + pem_key,
                      "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUT09"};
    const auto& text = forms[GENERATE(0U, 1U, 2U, 3U)];
    const auto as_file = [&](const std::string& at) {
        auto tree = valid();
        tree[json::json_pointer{at}] = text;
        return written{tree.dump()}.load();
    };
    for (const std::string at :
         {"/sslCertPemFile", "/sslKeyPemFile", "/ticket_keys_dir", "/admin/token_file", "/sslCname", "/listen/https/0",
          "/trusted_proxies/0", "/access_log/path", "/default_service"}) {
        const auto result = as_file(at);
        CAPTURE(at, text, lines(result.problems));
        CHECK_FALSE(result.value);
        CHECK_FALSE(result.problems.empty());
        bool told = false;
        for (const auto& line : lines(result.problems)) {
            told =
                told || line.ends_with(at + ": holds PEM, which is not shown: write it to a file that only scoregate's "
                                            "user can read, and name that file where its path belongs");
            CHECK_THAT(line, !Catch::Contains("MC4CAQ") && !Catch::Contains("LS0tLS1C"));
        }
        CHECK(told);
    }
    // Where it is not even a text that belongs there.
    const auto result = as_file("/workers");
    REQUIRE(result.problems.size() == 1);
    CHECK_THAT(result.problems[0].message, Catch::EndsWith("not a text in PEM, which is not shown"));
}

TEST_CASE("PEM under any of Azure's names is refused and never shown") {
    const auto each = GENERATE(from_range(azure_settings().begin(), azure_settings().end()));
    CAPTURE(each.name);
    const auto result = written{valid().dump()}.load_with({std::string{each.name} + "=" + pem_key});
    CHECK_FALSE(result.value);
    CHECK_FALSE(result.problems.empty());
    for (const auto& line : lines(result.problems)) CHECK_THAT(line, !Catch::Contains("MC4CAQ"));
    for (const auto& line : result.warnings) CHECK_THAT(line, !Catch::Contains("MC4CAQ"));
}

TEST_CASE("Azure's labels become the one of acme") {
    const std::string name = GENERATE("leaf_domain_label", "leafDomainLabel", "ssl-leaf-domain-label");
    const auto made = in_our_words({name, "contoso", "--set " + name});
    CHECK(made.key == "acme.leafDomainLabel");
    CHECK(made.value == "contoso");
    CHECK(made.origin == "--set " + name);
}
