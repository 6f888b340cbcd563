#include "config/azure_settings.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace scoregate::config {
namespace {

using enum azure_setting::meaning;

constexpr std::string_view insecure = "allowInsecureConnections";
constexpr std::string_view label = "acme.leafDomainLabel";

constexpr std::string_view on_or_off =
    "switches TLS: on with True or Enabled, off with False or Disabled; a certificate from a provider, Azure's Auto, "
    "is asked for with acme";
constexpr std::string_view as_text =
    "is a text in Azure, but a file here, so that it stands in no configuration and no list of processes: write it to "
    "a file that only scoregate's user can read and name that with sslCertPemFile or sslKeyPemFile, or replace a pair "
    "that is served with scoregate cert install";
constexpr std::string_view drawn_anew =
    "is done once, by a command, so that no restart draws another name: scoregate cert auto "
    "--overwrite-existing-domain";
constexpr std::string_view renewed =
    "is no setting: certificates from a provider renew themselves, and scoregate cert renew does it at once";
constexpr std::string_view of_machines =
    "is a setting of Azure's machines and networks: scoregate runs wherever it is started, so leave it out";
constexpr std::string_view of_exposure =
    "is decided by the Service in front of scoregate: choose the overlay of docker/kubernetes that has it";
constexpr std::string_view of_copies =
    "is the number of scoregates: choose the overlay of docker/kubernetes with three, or start one";
constexpr std::string_view of_the_pod = "is decided by the pod: write it into an overlay of docker/kubernetes";
constexpr std::string_view not_needed = "is not needed: scoregate serves models that run already, so leave it out";
constexpr std::string_view of_the_service = "is decided by each service: write its auth_mode, key files under keys";
constexpr std::string_view of_monitoring =
    "is not needed: metrics are at /metrics of the admin port, docker/prometheus and docker/grafana have rules and a "
    "dashboard for them";
constexpr std::string_view of_logs =
    "is not needed: the access log goes where access_log.path says, the other to stderr";
constexpr std::string_view of_dns = "is not scoregate's to give: point a name at it and write that as sslCname";

constexpr std::array all{
    // SDK v1: enable_ssl, AksCompute, AciWebservice
    azure_setting{"ssl_enabled", opposite, insecure, on_or_off},
    azure_setting{"ssl_cert_pem_file", same, "sslCertPemFile"},
    azure_setting{"ssl_key_pem_file", same, "sslKeyPemFile"},
    azure_setting{"ssl_certificate", same, "sslCertPemFile"},
    azure_setting{"ssl_key", same, "sslKeyPemFile"},
    azure_setting{"ssl_cname", same, "sslCname"},
    azure_setting{"leaf_domain_label", same, label},
    azure_setting{"overwrite_existing_domain", elsewhere, {}, drawn_anew},
    azure_setting{"load_balancer_type", elsewhere, {}, of_exposure},
    azure_setting{"load_balancer_subnet", elsewhere, {}, of_exposure},
    azure_setting{"agent_count", elsewhere, {}, of_machines},
    azure_setting{"vm_size", elsewhere, {}, of_machines},
    azure_setting{"location", elsewhere, {}, of_machines},
    azure_setting{"vnet_resourcegroup_name", elsewhere, {}, of_machines},
    azure_setting{"vnet_name", elsewhere, {}, of_machines},
    azure_setting{"subnet_name", elsewhere, {}, of_machines},
    azure_setting{"service_cidr", elsewhere, {}, of_machines},
    azure_setting{"dns_service_ip", elsewhere, {}, of_machines},
    azure_setting{"docker_bridge_cidr", elsewhere, {}, of_machines},
    azure_setting{"cluster_purpose", elsewhere, {}, of_machines},
    azure_setting{"resource_group", elsewhere, {}, of_machines},
    azure_setting{"cluster_name", elsewhere, {}, of_machines},
    azure_setting{"resource_id", elsewhere, {}, of_machines},
    azure_setting{"cpu_cores", elsewhere, {}, of_the_pod},
    azure_setting{"memory_gb", elsewhere, {}, of_the_pod},
    azure_setting{"auth_enabled", elsewhere, {}, of_the_service},
    azure_setting{"token_auth_enabled", elsewhere, {}, of_the_service},
    azure_setting{"primary_key", elsewhere, {}, of_the_service},
    azure_setting{"secondary_key", elsewhere, {}, of_the_service},
    azure_setting{"enable_app_insights", elsewhere, {}, of_monitoring},
    azure_setting{"dns_name_label", elsewhere, {}, of_dns},
    // SDK v1: SslConfiguration, in Python and in JSON
    azure_setting{"status", opposite, insecure, on_or_off},
    azure_setting{"cert", elsewhere, {}, as_text},
    azure_setting{"key", elsewhere, {}, as_text},
    azure_setting{"cname", same, "sslCname"},
    azure_setting{"leafDomainLabel", same, label},
    azure_setting{"overwriteExistingDomain", elsewhere, {}, drawn_anew},
    azure_setting{"renew", elsewhere, {}, renewed},
    // CLI v1: az ml computetarget update aks
    azure_setting{"ssl-cert-file", same, "sslCertPemFile"},
    azure_setting{"ssl-key-file", same, "sslKeyPemFile"},
    azure_setting{"ssl-cname", same, "sslCname"},
    azure_setting{"ssl-disable", same, insecure},
    azure_setting{"ssl-leaf-domain-label", same, label},
    azure_setting{"ssl-overwrite-domain", elsewhere, {}, drawn_anew},
    azure_setting{"ssl-renew", elsewhere, {}, renewed},
    azure_setting{"load-balancer-type", elsewhere, {}, of_exposure},
    azure_setting{"load-balancer-subnet", elsewhere, {}, of_exposure},
    // Kubernetes extension; the last ones are of older versions and of its chart
    azure_setting{"enableInference", elsewhere, {}, not_needed},
    azure_setting{"enableTraining", elsewhere, {}, not_needed},
    azure_setting{"inferenceRouterServiceType", elsewhere, {}, of_exposure},
    azure_setting{"internalLoadBalancerProvider", elsewhere, {}, of_exposure},
    azure_setting{"inferenceRouterHA", elsewhere, {}, of_copies},
    azure_setting{"nodeSelector", elsewhere, {}, of_the_pod},
    azure_setting{"installNvidiaDevicePlugin", elsewhere, {}, not_needed},
    azure_setting{"installPromOp", elsewhere, {}, of_monitoring},
    azure_setting{"installVolcano", elsewhere, {}, not_needed},
    azure_setting{"installDcgmExporter", elsewhere, {}, of_monitoring},
    azure_setting{"clusterPurpose", elsewhere, {}, of_machines},
    azure_setting{"privateEndpointNodeport", elsewhere, {}, of_exposure},
    azure_setting{"privateEndpointILB", elsewhere, {}, of_exposure},
    azure_setting{"inferenceLoadBalancerHA", elsewhere, {}, of_copies},
    azure_setting{"logAnalyticsWS", elsewhere, {}, of_logs},
    azure_setting{"openshift", elsewhere, {}, not_needed},
    azure_setting{"scoringFe", elsewhere, {}, of_the_pod},
};

std::string lower(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

} // namespace

std::span<const azure_setting> azure_settings() { return all; }

override_setting in_our_words(override_setting given) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.name == given.key; });
    if (found == all.end() || found->is == elsewhere) return given;
    if (found->is == opposite) {
        const auto value = lower(given.value);
        if (value == "true" || value == "enabled") {
            given.value = "false";
        } else if (value == "false" || value == "disabled") {
            given.value = "true";
        } else {
            return given;
        }
    }
    given.key = found->key;
    return given;
}

std::string advice_on(const azure_setting& setting) {
    if (setting.is != same) return std::string{setting.advice};
    const auto dot = setting.key.rfind('.');
    std::string text = "is Azure's name, which --set takes; in the file write \"";
    text += setting.key.substr(dot + 1);
    text += '"';
    if (dot != std::string_view::npos) text.append(" in ").append(setting.key.substr(0, dot));
    return text;
}

} // namespace scoregate::config
