// docs/azureml.md has a row for every TLS setting and command of Azure ML, and each row names tests that there are.
#include "architecture/project.hpp"
#include "config/azure_settings.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <regex>
#include <set>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

constexpr const char* page = "docs/azureml.md";

using words = std::set<std::string>;

// What Azure ML's own pages and references list, by the page's sections.
const std::map<std::string, words> of_azure{
    {"SDK v1: AKS",
     {"enable_ssl",
      "AksCompute.provisioning_configuration",
      "AksCompute.attach_configuration",
      "ssl_enabled",
      "ssl_certificate",
      "ssl_key",
      "ssl_cname",
      "ssl_cert_pem_file",
      "ssl_key_pem_file",
      "leaf_domain_label",
      "overwrite_existing_domain",
      "agent_count",
      "vm_size",
      "location",
      "vnet_resourcegroup_name",
      "vnet_name",
      "subnet_name",
      "service_cidr",
      "dns_service_ip",
      "docker_bridge_cidr",
      "cluster_purpose",
      "load_balancer_type",
      "load_balancer_subnet",
      "resource_group",
      "cluster_name",
      "resource_id"}},
    {"SDK v1: SslConfiguration",
     {"SslConfiguration", "AksUpdateConfiguration", "AksCompute.update", "status", "Auto", "Enabled", "Disabled",
      "cert", "key", "cname", "leafDomainLabel", "overwriteExistingDomain", "renew"}},
    {"SDK v1: ACI",
     {"AciWebservice.deploy_configuration", "ssl_enabled", "dns_name_label", "auth_enabled", "token_auth_enabled",
      "primary_key", "secondary_key", "cpu_cores", "memory_gb", "enable_app_insights"}},
    {"CLI v1",
     {"az ml computetarget update aks", "ssl-cert-file", "ssl-key-file", "ssl-cname", "ssl-disable",
      "ssl-leaf-domain-label", "ssl-overwrite-domain", "ssl-renew", "load-balancer-type", "load-balancer-subnet"}},
    {"Kubernetes extension",
     {"az k8s-extension create",
      "az k8s-extension update",
      "config",
      "config-protected",
      "enableInference",
      "enableTraining",
      "allowInsecureConnections",
      "inferenceRouterServiceType",
      "internalLoadBalancerProvider",
      "sslSecret",
      "sslCname",
      "sslCertPemFile",
      "sslKeyPemFile",
      "inferenceRouterHA",
      "nodeSelector",
      "installNvidiaDevicePlugin",
      "installPromOp",
      "installVolcano",
      "installDcgmExporter",
      "privateEndpointNodeport",
      "privateEndpointILB",
      "inferenceLoadBalancerHA",
      "logAnalyticsWS",
      "openshift",
      "clusterPurpose",
      "scoringFe"}},
};

struct row {
    std::string section, line;
    words names; // of Azure's, as code
    std::string meaning;
    words tests; // as code
};

words code_in(const std::string& cell) {
    static const std::regex code{"`([^`]+)`"};
    words found;
    for (std::sregex_iterator each{cell.begin(), cell.end(), code}, end; each != end; ++each) found.insert((*each)[1]);
    return found;
}

std::vector<row> rows() {
    const std::string mark = "## ";
    std::vector<row> found;
    std::string section;
    for (const auto& line : lines_of(text_of(page))) {
        if (line.starts_with(mark)) section = line.substr(mark.size());
        if (!line.starts_with('|')) continue;
        const auto cells = cells_of(line);
        INFO(line);
        REQUIRE(cells.size() == 3);
        if (cells[0] == "Azure" || cells[0] == "---") continue;
        found.push_back({section, line, code_in(cells[0]), cells[1], code_in(cells[2])});
    }
    return found;
}

// "FILE.py::NAME" or "FILE.cpp: TITLE", the file below tests/.
bool is_there(const std::string& test) {
    const auto colon = test.find(':');
    if (colon == std::string::npos) return false;
    const auto file = "tests/" + test.substr(0, colon);
    if (!exists(file)) return false;
    const auto text = text_of(file);
    if (file.ends_with(".py")) return text.find("\ndef " + test.substr(colon + 2) + '(') != std::string::npos;
    return text.find("TEST_CASE(\"" + test.substr(colon + 2) + '"') != std::string::npos;
}

} // namespace

TEST_CASE("docs/azureml.md has every TLS setting and command of Azure ML, in the section of its generation") {
    std::map<std::string, words> documented;
    for (auto& each : rows()) documented[each.section].merge(each.names);
    for (const auto& [section, names] : of_azure) {
        for (const auto& name : names) {
            INFO(section << ": " << name);
            CHECK(documented[section].contains(name));
        }
    }
    CHECK(documented.size() == of_azure.size());
}

TEST_CASE("docs/azureml.md has every setting of Azure's that the configuration knows by name") {
    words documented;
    for (auto& each : rows()) documented.merge(each.names);
    for (const auto& each : config::azure_settings()) {
        INFO(each.name);
        CHECK(documented.contains(std::string(each.name)));
    }
}

TEST_CASE("every row of docs/azureml.md says what is here and names tests that there are") {
    for (const auto& each : rows()) {
        INFO(each.line);
        CHECK_FALSE(each.meaning.empty());
        CHECK_FALSE(each.tests.empty());
        for (const auto& test : each.tests) {
            INFO(test);
            CHECK(is_there(test));
        }
    }
}
