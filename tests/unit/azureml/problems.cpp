// What is wrong with files and options is told with its place and a remedy, all of it at once, and then nothing is
// made.
#include "azureml/conversion.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace scoregate;
using namespace scoregate::azureml;

namespace {

using texts = std::vector<std::string>;

const source_file iris{"iris.yml", "name: iris\ntraffic: {blue: 100}\n"};
const source_file blue{"blue.yml", "name: blue\nendpoint_name: iris\n"};

// Good as it is.
order good() {
    order given;
    given.endpoints = {iris};
    given.deployments = {blue};
    given.extension_settings = {"allowInsecureConnections=true"};
    given.replicas = {"blue=http://10.0.0.4:5001"};
    return given;
}

// Each problem begins as one of `expected`, in the same order.
void must_be_refused(const order& given, const texts& expected) {
    const auto made = convert(given);
    texts problems;
    for (const auto& each : made.told.problems) problems.push_back(to_string(each));
    CAPTURE(problems);
    CHECK(made.configuration.empty());
    REQUIRE(problems.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(problems[i], expected[i]);
        CHECK(problems[i].starts_with(expected[i]));
    }
}

bool has_note(const conversion& made, const std::string& part) {
    return std::any_of(made.told.notes.begin(), made.told.notes.end(),
                       [&](const auto& each) { return to_string(each).find(part) != std::string::npos; });
}

order with_endpoint(const std::string& text) {
    auto given = good();
    given.endpoints = {{"iris.yml", text}};
    return given;
}

order with_deployment(const std::string& text) {
    auto given = good();
    given.deployments = {{"blue.yml", "name: blue\nendpoint_name: iris\n" + text}};
    return given;
}

order with_settings(const texts& words) {
    auto given = good();
    given.extension_settings = words;
    return given;
}

} // namespace

TEST_CASE("the least that makes a configuration") {
    const auto made = convert(good());
    CHECK(made.told.problems.empty());
    CHECK(made.services == 1);
    CHECK(made.deployments == 1);
    CHECK_FALSE(made.configuration.empty());
}

TEST_CASE("everything that is wrong is told at once") {
    order given;
    given.endpoints = {{"iris.yml", "name: my_iris\nauth_mode: keys\ncolour: blue\ntraffic: {blue: 99.5}\n"}};
    given.deployments = {{"blue.yml", "name: blue\nrequest_settings:\n  request_timeout_ms: long\n  max_wait: 5\n"}};
    must_be_refused(given, {"iris.yml:1: /name: \"my_iris\" is not a name: ",
                            "iris.yml:2: /auth_mode: must be key, aml_token or aad_token: ",
                            "iris.yml:4: /traffic/blue: must be a whole number from 0 to 100: ",
                            "iris.yml:3: /colour: is not a key of Azure ML that is known here: ",
                            "blue.yml:3: /request_settings/request_timeout_ms: must be a whole number from 1 to ",
                            "blue.yml:4: /request_settings/max_wait: is not a key of Azure ML",
                            "--extension-setting: is needed, "});
}

TEST_CASE("names that lead nowhere, or to two") {
    auto given = good();
    given.endpoints.push_back({"again.yml", "name: iris\n"});
    given.deployments.push_back({"blue2.yml", "name: blue\nendpoint_name: iris\n"});
    given.deployments.push_back({"rose.yml", "name: blue\nendpoint_name: rose\n"});
    given.replicas.emplace_back("green=http://10.0.0.5");
    given.hosts = {"rose=rose.contoso.com"};
    must_be_refused(given, {"again.yml:1: /name: is the name of the endpoint in iris.yml:1 too: ",
                            "blue2.yml:1: /name: is the name of the deployment in blue.yml:1 too: ",
                            "rose.yml:1: /name: belongs to endpoint rose, which is not given: ",
                            "--replica green=http://10.0.0.5: is of no deployment given: ",
                            "--host rose=rose.contoso.com: is of no endpoint given: "});
}

TEST_CASE("a deployment's name that several endpoints have needs the endpoint's") {
    auto given = good();
    given.endpoints.push_back({"rose.yml", "name: rose\n"});
    given.deployments.push_back({"red.yml", "name: blue\nendpoint_name: rose\n"});
    must_be_refused(given, {"blue.yml:1: /name: has no replicas, ", "red.yml:1: /name: has no replicas, ",
                            "--replica blue=http://10.0.0.4:5001: could be of several endpoints: "});
    given.replicas = {"iris/blue=http://10.0.0.4", "rose/blue=http://10.0.0.5"};
    CHECK(convert(given).told.problems.empty());
    given.deployments.back().text = "name: blue\n";
    must_be_refused(given, {"red.yml:1: /name: has no endpoint_name: ", "rose.yml:1: /name: has no deployment given: ",
                            "--replica rose/blue=http://10.0.0.5: is of no deployment given: "});
}

TEST_CASE("traffic is all or nothing, and of deployments that are there") {
    must_be_refused(with_endpoint("name: iris\ntraffic: {blue: 99}\n"), {"iris.yml:2: /traffic: sums to 99: "});
    must_be_refused(with_endpoint("name: iris\ntraffic: {blue: 101}\n"),
                    {"iris.yml:2: /traffic/blue: must be a whole number from 0 to 100: "});
    must_be_refused(with_endpoint("name: iris\ntraffic:\n  blue: 60\n  green: 40\n"),
                    {"iris.yml:4: /traffic/green: is none of the deployments given: "});
    must_be_refused(with_endpoint("name: iris\ntraffic: 100\n"), {"iris.yml:2: /traffic: must be a mapping: "});
    must_be_refused(with_endpoint("name: iris\ntraffic: {blue: 100}\nmirror_traffic: {blue: 51}\n"),
                    {"iris.yml:3: /mirror_traffic/blue: must be a whole number from 0 to 50: "});
    must_be_refused(with_endpoint("name: iris\ntraffic: {blue: 100}\nmirror_traffic: {blue: 10}\n"),
                    {"iris.yml:3: /mirror_traffic/blue: has live traffic, "});
    must_be_refused(with_endpoint("name: iris\nmirror_traffic: {blue: 5, green: 5}\n"),
                    {"iris.yml:2: /mirror_traffic: names more than one deployment: ",
                     "iris.yml:2: /mirror_traffic/green: is none of the deployments given: "});
    auto given = with_endpoint("name: iris\n");
    given.deployments.push_back({"green.yml", "name: green\nendpoint_name: iris\n"});
    given.replicas.emplace_back("green=http://10.0.0.5");
    must_be_refused(given, {"iris.yml:1: /name: has no traffic: "});
}

TEST_CASE("an endpoint is of one kind, and says how clients prove who they are") {
    must_be_refused(with_endpoint("$schema: managedOnlineEndpoint.schema.json\nname: iris\ncompute: azureml:cluster\n"),
                    {"iris.yml:3: /compute: belongs to a Kubernetes endpoint, but iris.yml:1: /$schema to a managed "});
    must_be_refused(with_endpoint("name: iris\nauth_mode: aml_token\n"), {"iris.yml:2: /auth_mode: wants tokens, "});
    must_be_refused(with_endpoint("auth_mode: key\n"), {"iris.yml:1: has no name: "});
    must_be_refused(with_endpoint("- name: iris\n"), {"iris.yml: must be a mapping, the YAML of an endpoint: "});
    must_be_refused(with_endpoint(""), {"iris.yml: must be a mapping, "});
    must_be_refused(with_endpoint("name: [iris]\n"), {"iris.yml:1: /name: must be a text: "});
}

TEST_CASE("what an endpoint runs on is said by any of its files, and by none differently") {
    const auto managed = [](const order& given) {
        const auto made = convert(given);
        CHECK(made.told.problems.empty());
        CHECK_FALSE(has_note(made, "is taken for a managed endpoint"));
        return made.configuration.find("\"error_mapping\": \"managed\"") != std::string::npos;
    };
    const std::string folder = "$schema: https://managed.kubernetes.net/kubernetesOnlineManaged/";
    CHECK(managed(with_endpoint("name: iris\nkind: Managed\n")));
    CHECK(managed(with_endpoint(folder + "managedOnlineEndpoint.schema.json\nname: iris\n")));
    CHECK(managed(with_deployment("type: managed\n")));
    CHECK(managed(with_deployment("$schema: managedOnlineDeployment.schema.json\n")));
    CHECK_FALSE(managed(with_endpoint("name: iris\nkind: K8s\n")));
    CHECK_FALSE(managed(with_endpoint("name: iris\ncompute: azureml:cluster\n")));
    CHECK_FALSE(managed(with_endpoint(folder + "kubernetesOnlineEndpoint.schema.json\nname: iris\n")));
    CHECK_FALSE(managed(with_deployment("type: kubernetes\n")));
    CHECK_FALSE(managed(with_deployment("$schema: kubernetesOnlineDeployment.schema.json\n")));

    const auto unsaid = convert(with_endpoint("name: iris\ncompute:\nkind: other\n"));
    CHECK(has_note(unsaid, "iris.yml:1: /name: is taken for a managed endpoint, "));
    CHECK(unsaid.configuration.find("\"error_mapping\": \"managed\"") != std::string::npos);
}

TEST_CASE("an endpoint that would run on two platforms, or on none that is known") {
    must_be_refused(with_deployment("$schema: managedOnlineDeployment.schema.json\ntype: kubernetes\n"),
                    {"blue.yml:4: /type: belongs to a Kubernetes endpoint, but blue.yml:3: /$schema to a managed "});
    auto given = with_deployment("type: managed\n");
    given.endpoints = {{"iris.yml", "name: iris\ncompute: azureml:cluster\n"}};
    must_be_refused(given, {"blue.yml:3: /type: belongs to a managed endpoint, but iris.yml:2: /compute to a Kuber"});
    must_be_refused(with_endpoint("$schema: batchEndpoint.schema.json\nname: iris\n"),
                    {"iris.yml:1: /$schema: names neither "});
    must_be_refused(with_deployment("$schema: batchDeployment.schema.json\ntype: model\n"),
                    {"blue.yml:3: /$schema: names neither ", "blue.yml:4: /type: names neither "});
}

TEST_CASE("deployments whose headless Services would have one name need their replicas named") {
    auto given = good();
    given.kubernetes_namespace = "models";
    given.replicas.clear();
    given.endpoints = {{"1.yml", "name: a-b\n"}, {"2.yml", "name: a\n"}};
    given.deployments = {{"3.yml", "name: c\nendpoint_name: a-b\n"}, {"4.yml", "name: B-C\nendpoint_name: a\n"}};
    must_be_refused(given, {"4.yml:1: /name: would share the headless Service a-b-c with a-b/c: give --replica "});
    given.replicas = {"B-C=http://10.0.0.4:5001"};
    CHECK(convert(given).told.problems.empty());
}

TEST_CASE("a port that a replica's URL overrules is told") {
    auto given = with_deployment("environment:\n  inference_config:\n    scoring_route: {port: 8501, path: /score}\n");
    given.replicas = {"blue=http://10.0.0.4:8080"};
    const std::string told = "blue.yml:5: /environment/inference_config/scoring_route/port: is 8501, but --replica ";
    CHECK(has_note(convert(given), told + "blue=http://10.0.0.4:8080 leads to port 8080, "));
    given.replicas = {"blue=dns://iris.models.svc:80"};
    CHECK(has_note(convert(given), told + "blue=dns://iris.models.svc:80 leads to port 80, "));
    for (const auto* same : {"blue=http://10.0.0.4:8501", "blue=http+unix:///run/iris.sock"}) {
        given.replicas = {same};
        CHECK_FALSE(has_note(convert(given), told));
    }
    given = with_deployment("environment: azureml:iris:1\n");
    CHECK_FALSE(has_note(convert(given), "5001"));
    given.replicas.clear();
    given.kubernetes_namespace = "models";
    CHECK(has_note(convert(given), "iris-blue.models.svc:5001"));
}

TEST_CASE("what a deployment says has the ranges of the configuration") {
    must_be_refused(with_deployment("readiness_probe:\n  timeout: 61\n  initial_delay: -1\n"),
                    {"blue.yml:5: /readiness_probe/initial_delay: must be a whole number from 0 to ",
                     "blue.yml:4: /readiness_probe/timeout: must be a whole number from 1 to 60: "});
    must_be_refused(with_deployment("request_settings: {max_concurrent_requests_per_instance: 0}\n"),
                    {"blue.yml:3: /request_settings/max_concurrent_requests_per_instance: must be a whole number"});
    must_be_refused(with_deployment("request_settings: [1]\n"), {"blue.yml:3: /request_settings: must be a mapping: "});
    const std::string route = "environment:\n  inference_config:\n    scoring_route:\n      ";
    must_be_refused(with_deployment(route + "path: score\n"),
                    {"blue.yml:6: /environment/inference_config/scoring_route/path: \"score\" is not a path"});
    must_be_refused(with_deployment(route + "path: /v1/*\n"),
                    {"blue.yml:6: /environment/inference_config/scoring_route/path: has a *, "});
    must_be_refused(
        with_deployment(route + "port: 65536\n"),
        {"blue.yml:6: /environment/inference_config/scoring_route/port: must be a whole number from 1 to "});
    auto given = with_deployment(route + "path: /v1\n");
    given.deployments.push_back({"green.yml", "name: green\nendpoint_name: iris\n"});
    given.replicas.emplace_back("green=http://10.0.0.5");
    must_be_refused(given, {"green.yml:1: /name: green scores at /score, but blue at /v1: "});
}

TEST_CASE("clients connect in one way that is whole") {
    must_be_refused(with_settings({}), {"--extension-setting: is needed, "});
    must_be_refused(with_settings({"sslCname=a.b", "sslCertPemFile=/c"}), {"--extension-setting: is needed, "});
    must_be_refused(with_settings({"sslCname=a.b", "sslSecret=tls"}),
                    {"--extension-setting: /sslSecret: is the name of a Kubernetes Secret, "});
    must_be_refused(with_settings({"sslCname=a.b", "sslSecret=/tls", "sslKeyPemFile=/k"}),
                    {"--extension-setting: /sslSecret: holds certificate and key, "});
    must_be_refused(with_settings({"allowInsecureConnections=maybe"}),
                    {"--extension-setting: /allowInsecureConnections: must be True or False: ",
                     "--extension-setting: is needed, "});
    must_be_refused(with_settings({"allowInsecureConnections=True", "colour=blue", "word"}),
                    {"--extension-setting: holds a word that is not KEY=VALUE: ",
                     "--extension-setting: /colour: is not a setting of Azure ML's extension"});
    must_be_refused(with_settings({"sslCname=not a name", "sslSecret=/tls"}), {"the configuration made: /sslCname: "});
}

TEST_CASE("settings of files: each once, the command line over them") {
    auto given = good();
    given.extension = {{"one", "sslCname=a.b sslCname=c.d\n"}, {"two.yml", "sslCname: e.f\nsslSecret: [x]\n"}};
    must_be_refused(given, {"one:1: /sslCname: is given more than once: ", "two.yml:2: /sslSecret: must be a text: ",
                            "two.yml:1: /sslCname: is in one:1 too: "});
    given.extension = {{"one", "# nothing\n\nallowInsecureConnections=False\n"}};
    CHECK(convert(given).told.problems.empty());
    given.extension = {{"one", "sslCname=\"a.b\" sslSecret='my tls'\n"}};
    must_be_refused(given, {"one:1: holds a word with a quote, ", "one:1: holds a word with a quote, ",
                            "one:1: holds a word with a quote, "});
    given.extension = {{"one", ""}};
    must_be_refused(given, {"one: must be a mapping, settings"});
}

TEST_CASE("settings that are cut off or too large are refused in either form") {
    for (const auto* settings : {"sslCname=a.b\n", "sslCname: a.b\n"}) {
        auto given = good();
        given.extension = {{"one", settings, "cannot read one: Is a directory"}};
        must_be_refused(given, {"cannot read one: "});
        given.extension = {{"one", settings + std::string(most_yaml_bytes, '\n')}};
        must_be_refused(given, {"one: is larger than 256 KiB: "});
    }
}

TEST_CASE("of what a file has too many of the number is told, at the end") {
    config::problems all;
    for (unsigned line = 1; line <= most_problems_of_a_file + 2; ++line)
        all.push_back({place("a:b", line), "", "is wrong"});
    all.push_back({"c:1", "", "is wrong"});
    const auto lines = bounded_lines(all);
    REQUIRE(lines.size() == most_problems_of_a_file + 2);
    CHECK(lines[most_problems_of_a_file - 1] == "a:b:50: is wrong");
    CHECK(lines[most_problems_of_a_file] == "c:1: is wrong");
    CHECK(lines.back().starts_with("a:b: and 2 more: "));
}

TEST_CASE("a file that could not be read is told beside what is wrong elsewhere, and nothing that follows from it") {
    auto given = good();
    given.endpoints = {{"iris.yml", "", "cannot read iris.yml: No such file or directory"}};
    given.extension_settings = {"sslCname"};
    must_be_refused(given, {"cannot read iris.yml: ", "--extension-setting: holds a word that is not KEY=VALUE: ",
                            "--extension-setting: is needed, "});
}

TEST_CASE("a secret that stands in the wrong place is not repeated") {
    // With one or two =, as the tail of base64 has them.
    for (const auto* word : {"hunter2", "hunter2=", "hunter2=="}) {
        const auto made = convert(with_settings({word, "allowInsecureConnections=True"}));
        REQUIRE(made.told.problems.size() == 1);
        CHECK(to_string(made.told.problems.front()).find("hunter2") == std::string::npos);
    }
    CHECK(convert(with_settings({"nodeSelector.pool=", "allowInsecureConnections=True"})).told.problems.empty());
}

TEST_CASE("what is not a replica, and text that is not UTF-8") {
    auto given = good();
    given.replicas = {"blue=ftp://10.0.0.4"};
    must_be_refused(given, {"--replica blue=ftp://10.0.0.4: "});
    given = good();
    given.keys_dir = "\xff";
    must_be_refused(given, {"the configuration made: would hold text that is not UTF-8: "});
}
