// Shapes of Azure's documentation, rebuilt by hand, and what becomes of them: shapes/NAME/ has the files of one, the
// configuration it has to become, and how each note begins that has to be told, in any order.
#include "azureml/conversion.hpp"
#include "config/load.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

using namespace scoregate;
using namespace scoregate::azureml;

namespace {

using texts = std::vector<std::string>;

std::string text_of(const std::string& shape, const std::string& name) {
    const auto path = std::filesystem::path(SCOREGATE_SOURCE_DIR) / "tests/unit/azureml/shapes" / shape / name;
    std::ifstream file(path);
    INFO(path.string());
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<source_file> files_of(const std::string& shape, const texts& names) {
    std::vector<source_file> files;
    for (const auto& name : names) files.push_back({name, text_of(shape, name)});
    return files;
}

texts lines_of(const std::string& text) {
    texts lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

texts lines_of(const config::problems& all) {
    texts lines;
    for (const auto& each : all) lines.push_back(to_string(each));
    return lines;
}

void must_become(const std::string& shape, const order& given) {
    INFO(shape);
    const auto made = convert(given);
    CHECK(lines_of(made.told.problems) == texts{});
    using json = nlohmann::ordered_json;
    CHECK(json::parse(made.configuration, nullptr, true, true).dump(2) ==
          json::parse(text_of(shape, "scoregate.json")).dump(2));
    auto expected = lines_of(text_of(shape, "told"));
    auto told = lines_of(made.told.notes);
    std::sort(expected.begin(), expected.end());
    std::sort(told.begin(), told.end());
    CAPTURE(told);
    REQUIRE(told.size() == expected.size());
    for (std::size_t i = 0; i < told.size(); ++i) {
        CAPTURE(told[i], expected[i]);
        CHECK(told[i].starts_with(expected[i]));
    }
}

} // namespace

TEST_CASE("a managed endpoint with one deployment") {
    order given;
    given.endpoints = files_of("managed", {"endpoint.yml"});
    given.deployments = files_of("managed", {"blue.yml"});
    given.extension_settings = {"sslCname=www.contoso.com", "sslCertPemFile=/etc/scoregate/cert.pem",
                                "sslKeyPemFile=/etc/scoregate/key.pem"};
    given.replicas = {"blue=http://10.0.0.4:5001", "iris/blue=http://10.0.0.5:5001"};
    must_become("managed", given);
}

TEST_CASE("a Kubernetes endpoint with traffic, a mirror, and settings of the extension in two files") {
    order given;
    given.endpoints = files_of("kubernetes", {"endpoint.yml"});
    given.deployments = files_of("kubernetes", {"blue.yml", "green.yml", "shadow.yml"});
    given.extension = files_of("kubernetes", {"settings", "protected"});
    given.kubernetes_namespace = "models";
    given.replicas = {"shadow=http://10.0.0.9:5001"};
    given.keys_dir = "secrets";
    must_become("kubernetes", given);
}

TEST_CASE("a container with routes of its own, on a host of its own") {
    order given;
    given.endpoints = files_of("container", {"endpoint.yml"});
    given.deployments = files_of("container", {"blue.yml"});
    given.extension_settings = {"allowInsecureConnections=True"};
    given.kubernetes_namespace = "models";
    given.hosts = {"half=half.contoso.com"};
    must_become("container", given);
}

TEST_CASE("an endpoint that takes tokens, with settings in JSON") {
    order given;
    given.endpoints = files_of("tokens", {"endpoint.yml"});
    given.deployments = files_of("tokens", {"blue.yml"});
    given.extension = files_of("tokens", {"settings.json"});
    given.kubernetes_namespace = "models";
    given.jwks_file = "keys/jwks.json";
    given.issuer = "https://login.contoso.com";
    must_become("tokens", given);
}

TEST_CASE("what `az k8s-extension show` prints, with what Azure has added") {
    order given;
    given.endpoints = files_of("show", {"endpoint.yml"});
    given.deployments = files_of("show", {"blue.yml"});
    given.extension = files_of("show", {"settings.json"});
    given.extension_settings = {"sslSecret=/etc/scoregate/tls"};
    given.replicas = {"blue=http://10.0.0.4:5001"};
    must_become("show", given);
}
