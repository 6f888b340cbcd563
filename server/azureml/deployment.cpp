#include "azureml/deployment.hpp"

#include <array>

namespace scoregate::azureml {

namespace {

constexpr std::string_view azures_own = "Azure tells it of a deployment that runs there";
constexpr std::string_view replicas_do = "whoever runs the replicas says it there";
constexpr std::array not_of_ours{
    no_counterpart{"$schema", "it names Azure's schema"},
    no_counterpart{"app_insights_enabled", "access log, metrics and traces stay here: access_log, /metrics, tracing"},
    no_counterpart{"code_configuration", replicas_do},
    no_counterpart{"creation_context", azures_own},
    no_counterpart{"data_collector", "the model server collects, or a copy of the requests does: mirror_traffic"},
    no_counterpart{"description", "write it as a comment"},
    no_counterpart{"egress_public_network_access", "a NetworkPolicy or the firewall of the replicas says it"},
    no_counterpart{"id", azures_own},
    no_counterpart{"instance_count", "there are as many replicas as addresses"},
    no_counterpart{"instance_type", replicas_do},
    no_counterpart{"liveness_probe", "whoever runs the replicas starts them anew; put it into the pod's template"},
    no_counterpart{"location", azures_own},
    no_counterpart{"model", replicas_do},
    no_counterpart{"model_mount_path", replicas_do},
    no_counterpart{"package_model", replicas_do},
    no_counterpart{"private_network_connection", "scoregate reaches replicas by the network that it is in"},
    no_counterpart{"properties", azures_own},
    no_counterpart{"provisioning_state", azures_own},
    no_counterpart{"resourceGroup", azures_own},
    no_counterpart{"resources", replicas_do},
    no_counterpart{"scale_settings", "an autoscaler of the replicas does it, by scoregate_utilization_ratio; replicas "
                                     "found by DNS come and go by themselves"},
    no_counterpart{"tags", "write them as comments"},
    no_counterpart{"type", "replicas are the same wherever they run"},
};
constexpr std::array not_of_ours_in_environment{
    no_counterpart{"$schema", "it names Azure's schema"},
    no_counterpart{"build", replicas_do},
    no_counterpart{"conda_file", replicas_do},
    no_counterpart{"description", "write it as a comment"},
    no_counterpart{"id", azures_own},
    no_counterpart{"image", replicas_do},
    no_counterpart{"name", replicas_do},
    no_counterpart{"os_type", replicas_do},
    no_counterpart{"properties", azures_own},
    no_counterpart{"tags", "write them as comments"},
    no_counterpart{"version", replicas_do},
};
constexpr std::array<no_counterpart, 1> not_of_ours_in_routes{{
    {"liveness_route", "whoever runs the replicas starts them anew; put it into the pod's template"},
}};

constexpr std::string_view request_settings_keys = "/services/*/deployments/*/request_settings/";
constexpr std::string_view probe_keys = "/services/*/deployments/*/readiness_probe/";

void carry(fields& in, std::string_view above, std::initializer_list<std::string_view> names, json& to) {
    for (const auto name : names) in.carry_integer(name, std::string(above).append(name), to);
}

// The path of a route, if it is given; its port goes to `port`.
const node* read_route(fields& in, const config::form<std::string>& form, std::string& path, std::int64_t& port) {
    std::string text;
    const auto* const given = in.formed("path", form, text);
    if (!text.empty()) path = std::move(text);
    if (const auto* const number = in.value("port")) in.integer(*number, 1, 65535, port);
    in.finish({});
    return given;
}

void read_inference_config(fields& in, deployment& to) {
    std::int64_t port = to.port;
    in.mapping("scoring_route", [&](fields& route) {
        const auto* const path = read_route(route, config::replica_path_form, to.scoring_path, port);
        if (const auto* const number = route.value("port"))
            to.port_where = {place(route.file(), number->line), "/environment/inference_config/scoring_route/port", ""};
        if (path == nullptr) return;
        to.path_where = {place(route.file(), path->line), "/environment/inference_config/scoring_route/path", ""};
        if (to.scoring_path.find('*') != std::string::npos)
            route.refuse(*path, "has a *, which stands for a subtree here: write the path of one model");
    });
    to.port = static_cast<std::uint16_t>(port);
    in.mapping("readiness_route", [&](fields& route) {
        std::int64_t probed = port;
        std::string path = "/";
        read_route(route, config::probe_path_form, path, probed);
        to.readiness_probe["path"] = path;
        if (probed != port)
            route.note(*route.value("port"), "has no counterpart: a replica is probed at the port that it scores at, " +
                                                 std::to_string(port) + "; it has to answer there");
    });
    in.finish(not_of_ours_in_routes);
}

// The image is somebody else's, but where it listens is not.
void read_environment(fields& in, deployment& to) {
    const auto* const given = in.value("environment");
    if (given == nullptr) return;
    if (given->is == node::kind::scalar)
        return in.note(*given, "has no counterpart: " + std::string(replicas_do) + "; it is taken to score at " +
                                   to.scoring_path);
    in.mapping("environment", [&](fields& inner) {
        inner.mapping("inference_config", [&](fields& config) { read_inference_config(config, to); });
        inner.finish(not_of_ours_in_environment);
    });
}

} // namespace

deployment read_deployment(const source_file& file, report& out) {
    deployment made;
    made.where = made.path_where = {file.name, "", ""};
    // Azure's defaults, of which one differs from ours.
    made.readiness_probe = {{"path", "/"},  {"initial_delay", 10},    {"period", 10},
                            {"timeout", 2}, {"success_threshold", 1}, {"failure_threshold", 30}};
    const auto root = read_mapping(file, "the YAML of a deployment", out.problems);
    if (root.is == node::kind::nothing) return made;
    fields in(out, file.name, root);
    if (const auto* const name = in.formed("name", config::name_form, made.name))
        made.where = made.path_where = {place(file.name, name->line), "/name", ""};
    else
        in.refuse("has no name: write the deployment's, such as name: blue");
    made.runs_on = read_platform(in, root, "type", true, out);
    in.formed("endpoint_name", config::name_form, made.endpoint);
    in.mapping("request_settings", [&](fields& inner) {
        carry(inner, request_settings_keys,
              {"request_timeout_ms", "max_concurrent_requests_per_instance", "max_queue_wait_ms"},
              made.request_settings);
        inner.finish({});
    });
    read_environment(in, made);
    in.mapping("readiness_probe", [&](fields& inner) {
        carry(inner, probe_keys, {"initial_delay", "period", "timeout", "success_threshold", "failure_threshold"},
              made.readiness_probe);
        inner.finish({});
    });
    if (const auto* const variables = in.value("environment_variables"))
        in.note(*variables, "has no counterpart: " + std::string(replicas_do) +
                                "; max_concurrent_requests_per_instance is what WORKER_COUNT is, if it has that");
    in.finish(not_of_ours);
    return made;
}

} // namespace scoregate::azureml
