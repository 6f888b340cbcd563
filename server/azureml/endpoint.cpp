#include "azureml/endpoint.hpp"

#include <array>

namespace scoregate::azureml {

namespace {

constexpr std::string_view azures_own = "Azure tells it of an endpoint that runs there";
constexpr std::array not_of_ours{
    no_counterpart{"$schema", "it names Azure's schema"},
    no_counterpart{"compute", "replicas run wherever their addresses lead"},
    no_counterpart{"creation_context", azures_own},
    no_counterpart{"description", "write it as a comment"},
    no_counterpart{"id", azures_own},
    no_counterpart{"identity", "replicas bring their own identity, scoregate needs none"},
    no_counterpart{"kind", azures_own},
    no_counterpart{"location", azures_own},
    no_counterpart{"openapi_uri", azures_own},
    no_counterpart{"properties", azures_own},
    no_counterpart{"provisioning_state", azures_own},
    no_counterpart{"public_network_access", "say in listen which addresses it listens on, and in limits.allow which "
                                            "clients are served"},
    no_counterpart{"resourceGroup", azures_own},
    no_counterpart{"scoring_uri", azures_own},
    no_counterpart{"tags", "write them as comments"},
};

// Of Kubernetes a file says so by its compute, too. What Azure may yet call a kind binds nobody.
claim read_claims(fields& in, const node& root, report& out) {
    auto made = read_platform(in, root, "kind", false, out);
    const auto* const compute = root.find("compute");
    if (compute != nullptr && compute->is != node::kind::nothing)
        add_claim(made, {platform::kubernetes, {place(in.file(), compute->line), "/compute", ""}}, out);
    return made;
}

std::vector<share> read_shares(fields& in, const source_file& file, const std::string& pointer, unsigned most) {
    std::vector<share> read;
    in.each([&](const node& entry) {
        std::int64_t percent = 0;
        if (!in.integer(entry, 0, most, percent)) return;
        read.push_back({entry.name,
                        static_cast<unsigned>(percent),
                        {place(file.name, entry.line), config::child_pointer(pointer, entry.name), ""}});
    });
    return read;
}

void read_traffic(fields& in, const node& root, const source_file& file, endpoint& to) {
    if (const auto* const traffic = in.value("traffic"))
        to.traffic_where = {place(file.name, traffic->line), "/traffic", ""};
    in.mapping("traffic", [&](fields& inner) {
        to.traffic = read_shares(inner, file, "/traffic", 100);
        unsigned sum = 0;
        for (const auto& each : to.traffic) sum += each.percent;
        if (to.traffic.size() == root.find("traffic")->items.size() && sum != 0 && sum != 100)
            inner.refuse("sums to " + std::to_string(sum) + ": make it 100, or 0 for no traffic");
    });
    in.mapping("mirror_traffic", [&](fields& inner) {
        constexpr unsigned most_percent = 50; // Azure's
        to.mirror_traffic = read_shares(inner, file, "/mirror_traffic", most_percent);
        if (root.find("mirror_traffic")->items.size() > 1)
            inner.refuse("names more than one deployment: copies go to one");
    });
}

} // namespace

endpoint read_endpoint(const source_file& file, report& out) {
    endpoint made;
    made.where = {file.name, "", ""};
    const auto root = read_mapping(file, "the YAML of an endpoint", out.problems);
    if (root.is == node::kind::nothing) return made;
    fields in(out, file.name, root);
    if (const auto* const name = in.formed("name", config::name_form, made.name))
        made.where = {place(file.name, name->line), "/name", ""};
    else
        in.refuse("has no name: write the endpoint's, such as name: iris");
    made.runs_on = read_claims(in, root, out);
    made.auth_where = made.where;
    if (in.text("auth_mode", made.auth_mode)) {
        const auto& mode = *root.find("auth_mode");
        made.auth_where = {place(file.name, mode.line), "/auth_mode", ""};
        if (made.auth_mode != "key" && made.auth_mode != "aml_token" && made.auth_mode != "aad_token") {
            in.refuse(mode, "must be key, aml_token or aad_token: write one of them");
            made.auth_mode = "key";
        }
    }
    read_traffic(in, root, file, made);
    in.finish(not_of_ours);
    return made;
}

} // namespace scoregate::azureml
