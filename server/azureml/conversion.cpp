#include "azureml/conversion.hpp"

#include "azureml/deployment.hpp"
#include "azureml/extension.hpp"
#include "config/load.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace scoregate::azureml {

namespace {

constexpr std::string_view made_name = "the configuration made";

config::problem with(config::problem where, std::string message) {
    where.message = std::move(message);
    return where;
}

// NAME=VALUE or VALUE of the command line.
struct assignment {
    std::string word; // whole
    std::string name; // may be empty
    std::string value;
    bool used = false;
};

std::vector<assignment> assignments_of(const std::vector<std::string>& words) {
    std::vector<assignment> made;
    made.reserve(words.size());
    for (const auto& word : words) {
        const auto equals = word.find('=');
        made.push_back(equals == std::string::npos ? assignment{word, "", word}
                                                   : assignment{word, word.substr(0, equals), word.substr(equals + 1)});
    }
    return made;
}

class converter {
public:
    explicit converter(const order& given)
        : order_(given), replicas_(assignments_of(given.replicas)), hosts_(assignments_of(given.hosts)) {}

    conversion run() {
        read();
        auto root = read_extension(order_.extension, order_.extension_settings, made_.told);
        auto& services = root["services"] = json::object();
        for (const auto& each : endpoints_) services[each.name] = service_of(each);
        refuse_unused();
        if (problems().empty()) write(root);
        if (!problems().empty()) made_.configuration.clear();
        return std::move(made_);
    }

private:
    config::problems& problems() { return made_.told.problems; }
    config::problems& notes() { return made_.told.notes; }

    void read() {
        if (order_.endpoints.empty())
            problems().push_back({"--endpoint", "", "is needed: name the YAML file of an endpoint"});
        for (const auto& file : order_.endpoints) {
            auto found = read_endpoint(file, made_.told);
            whole_ = whole_ && !found.name.empty();
            if (found.name.empty()) continue;
            const auto same = std::find_if(endpoints_.begin(), endpoints_.end(),
                                           [&](const auto& other) { return other.name == found.name; });
            if (same == endpoints_.end())
                endpoints_.push_back(std::move(found));
            else
                problems().push_back(with(found.where, "is the name of the endpoint in " + same->where.file +
                                                           " too: give each file once"));
        }
        for (const auto& file : order_.deployments) {
            auto found = read_deployment(file, made_.told);
            whole_ = whole_ && !found.name.empty();
            if (!found.name.empty() && place_in_endpoint(found)) deployments_.push_back(std::move(found));
        }
    }

    // Whether the deployment belongs to an endpoint that is there, and is its only one of that name.
    bool place_in_endpoint(deployment& found) {
        if (found.endpoint.empty() && endpoints_.size() == 1) {
            found.endpoint = endpoints_.front().name;
            notes().push_back(with(found.where, "has no endpoint_name: it is taken for one of " + found.endpoint +
                                                    ", the only endpoint given"));
        }
        const auto known = std::any_of(endpoints_.begin(), endpoints_.end(),
                                       [&](const auto& each) { return each.name == found.endpoint; });
        if (!known) {
            if (whole_)
                problems().push_back(
                    with(found.where, found.endpoint.empty()
                                          ? std::string("has no endpoint_name: write which of the endpoints it is of")
                                          : "belongs to endpoint " + found.endpoint +
                                                ", which is not given: add it by "
                                                "--endpoint FILE, or correct endpoint_name"));
            return false;
        }
        const auto same = std::find_if(deployments_.begin(), deployments_.end(), [&](const auto& other) {
            return other.name == found.name && other.endpoint == found.endpoint;
        });
        if (same == deployments_.end()) return true;
        problems().push_back(
            with(found.where, "is the name of the deployment in " + same->where.file + " too: give each file once"));
        return false;
    }

    std::vector<const deployment*> deployments_of(const endpoint& of) const {
        std::vector<const deployment*> found;
        for (const auto& each : deployments_)
            if (each.endpoint == of.name) found.push_back(&each);
        return found;
    }

    json service_of(const endpoint& from) {
        auto made = json::object();
        const auto own = deployments_of(from);
        ++made_.services;
        if (own.empty() && whole_)
            problems().push_back(with(from.where, "has no deployment given: give each by "
                                                  "--deployment FILE"));
        const bool managed = is_managed(from, own);
        add_hosts(from, managed, made);
        add_authentication(from, made);
        add_traffic(from, own, made);
        if (managed) made["error_mapping"] = "managed";
        add_routes(own, made);
        auto& all = made["deployments"] = json::object();
        for (const auto* each : own) {
            auto& one = all[each->name] = json::object();
            one["replicas"] = replicas_of(*each);
            if (!each->request_settings.empty()) one["request_settings"] = each->request_settings;
            one["readiness_probe"] = each->readiness_probe;
            ++made_.deployments;
        }
        return made;
    }

    // By all that its files say. Where they say nothing it is managed: of Kubernetes Azure wants a compute.
    bool is_managed(const endpoint& of, const std::vector<const deployment*>& own) {
        auto runs_on = of.runs_on;
        for (const auto* each : own) add_claim(runs_on, each->runs_on, made_.told);
        if (runs_on.of == platform::unsaid)
            notes().push_back(with(of.where, "is taken for a managed endpoint, because nothing says what it runs on: "
                                             "error_mapping is managed; for one of Kubernetes add its compute"));
        return runs_on.of != platform::kubernetes;
    }

    void add_hosts(const endpoint& to, bool managed, json& made) {
        for (auto& each : hosts_) {
            if (each.name.empty() ? endpoints_.size() != 1 : each.name != to.name) continue;
            each.used = true;
            made["hosts"].push_back(each.value);
        }
        if (managed && !made.contains("hosts"))
            notes().push_back(with(to.where, "was scored at the root of a host of Azure's; it is at /api/v1/endpoint/" +
                                                 to.name + "/score now: give --host " + to.name +
                                                 "=HOST for /score on a host of its own"));
    }

    void add_authentication(const endpoint& of, json& made) {
        if (of.auth_mode == "key") {
            const auto folder = order_.keys_dir + "/" + of.name;
            made["auth_mode"] = "key";
            made["keys"] = {{"primary_file", folder + "/primary"}, {"secondary_file", folder + "/secondary"}};
            notes().push_back(with(of.auth_where, "clients keep their keys once they are in " + folder +
                                                      "/primary and " + folder +
                                                      "/secondary: az ml online-endpoint get-credentials --name " +
                                                      of.name + " --query primaryKey --output tsv, and secondaryKey"));
            return;
        }
        made["auth_mode"] = "aml_token";
        if (of.auth_mode == "aad_token")
            notes().push_back(with(of.auth_where, "is called aml_token here: tokens are checked alike, whoever signs "
                                                  "them"));
        if (!order_.jwks_file || !order_.issuer) {
            problems().push_back(
                with(of.auth_where, "wants tokens, and Azure's own name no service here: give --jwks FILE and --issuer "
                                    "URL of the issuer that will sign them, or change it to key"));
            return;
        }
        made["token"] = {{"jwks_file", *order_.jwks_file}, {"issuer", *order_.issuer}, {"audience", order_.audience}};
        notes().push_back(with(of.auth_where, "clients need tokens of " + *order_.issuer + " with the claim service: " +
                                                  of.name + "; docs/services.md has what a token must be"));
    }

    void add_shares(const std::vector<share>& shares, const std::vector<const deployment*>& own, json& to) {
        to = json::object();
        for (const auto& each : shares) {
            const auto known =
                std::any_of(own.begin(), own.end(), [&](const auto* one) { return one->name == each.deployment; });
            if (known)
                to[each.deployment] = each.percent;
            else if (whole_)
                problems().push_back(with(each.where, "is none of the deployments given: give it by "
                                                      "--deployment FILE, or remove it"));
        }
    }

    void add_traffic(const endpoint& of, const std::vector<const deployment*>& own, json& made) {
        if (of.traffic.empty() && of.traffic_where.file.empty()) {
            if (own.size() == 1)
                notes().push_back(with(of.where, "has no traffic: " + own.front()->name +
                                                     ", its only deployment, gets "
                                                     "all of it"));
            else if (own.size() > 1)
                problems().push_back(
                    with(of.where, "has no traffic: write beneath traffic how many percent each deployment gets, as "
                                   "az ml online-endpoint show tells it"));
        } else if (!of.traffic.empty()) {
            add_shares(of.traffic, own, made["traffic"]);
            if (std::all_of(of.traffic.begin(), of.traffic.end(), [](const auto& each) { return each.percent == 0; }))
                notes().push_back(with(of.traffic_where, "gives nobody any: requests are answered if they name a "
                                                         "deployment by azureml-model-deployment"));
        } else {
            // An empty mapping is Azure's way to say so.
            for (const auto* each : own) made["traffic"][each->name] = 0;
            notes().push_back(with(of.traffic_where, "is empty: no deployment gets any"));
        }
        if (of.mirror_traffic.empty()) return;
        add_shares(of.mirror_traffic, own, made["mirror_traffic"]);
        for (const auto& each : of.mirror_traffic)
            if (made.contains("traffic") && made["traffic"].value(each.deployment, 0U) != 0)
                problems().push_back(with(each.where, "has live traffic, so that it cannot get copies besides: set its "
                                                      "traffic to 0"));
    }

    // A route is a service's, in Azure a scoring path is a deployment's.
    void add_routes(const std::vector<const deployment*>& own, json& made) {
        if (own.empty()) return;
        const auto& path = own.front()->scoring_path;
        for (const auto* each : own)
            if (each->scoring_path != path)
                problems().push_back(with(each->path_where, each->name + " scores at " + each->scoring_path + ", but " +
                                                                own.front()->name + " at " + path +
                                                                ": deployments of an endpoint share their routes, so "
                                                                "let them score at one path"));
        if (path == "/score") return;
        made["routes"]["score"] = path;
        if (path != "/") made["routes"][path.substr(1)] = path;
        made["routes"]["swagger.json"] = "/swagger.json";
        notes().push_back(with(own.front()->path_where, "is asked for as /score and as " + path +
                                                            "; further paths of the container are not passed on: add "
                                                            "them to routes"));
    }

    json replicas_of(const deployment& of) {
        auto made = json::array();
        for (auto& each : replicas_) {
            const bool whole = each.name == of.endpoint + "/" + of.name;
            if (!whole && each.name != of.name) continue;
            if (!whole && namesakes(of.name) > 1) continue; // refused as unused
            each.used = true;
            made.push_back(each.value);
            std::string wrong;
            if (const auto replica = config::replica_form.parse(each.value, wrong))
                compare_port(of, each.word, *replica);
            else
                problems().push_back({"--replica " + each.word, "", wrong});
        }
        if (!made.empty()) return made;
        if (!order_.kubernetes_namespace) {
            problems().push_back(with(of.where, "has no replicas, which Azure's files do not name: give each by "
                                                "--replica " +
                                                    of.endpoint + "/" + of.name +
                                                    "=http://HOST:" + std::to_string(of.port) +
                                                    ", or --namespace for headless Services"));
            return made;
        }
        const auto service = service_name(of);
        const auto url = "dns://" + service + "." + *order_.kubernetes_namespace + ".svc:" + std::to_string(of.port);
        made.push_back(url);
        notes().push_back(with(of.where, "finds its replicas at " + url + ": make a headless Service " + service +
                                             " for its pods; docs/replicas.md" +
                                             (of.port_where.file.empty() ? "; where its container listens is not said, "
                                                                           "so Azure's default is taken"
                                                                         : "")));
        return made;
    }

    // The port of a URL is the operator's, so that it counts.
    void compare_port(const deployment& of, const std::string& word, const config::replica& given) {
        const bool has_port =
            given.source == config::replica_source::host || given.source == config::replica_source::dns;
        if (has_port && !of.port_where.file.empty() && given.port != of.port)
            notes().push_back(with(of.port_where, "is " + std::to_string(of.port) + ", but --replica " + word +
                                                      " leads to port " + std::to_string(given.port) +
                                                      ", which counts"));
    }

    // The name of its headless Service. That of a-b and c is that of a and b-c, too, and Kubernetes knows small letters
    // only: what would lead to the pods of another is refused.
    std::string service_name(const deployment& of) {
        auto name = lower_case(of.endpoint + "-" + of.name);
        const auto [first, fresh] = headless_.emplace(name, of.endpoint + "/" + of.name);
        if (!fresh)
            problems().push_back(with(of.where, "would share the headless Service " + name + " with " + first->second +
                                                    ": give --replica for one of them"));
        return name;
    }

    std::ptrdiff_t namesakes(const std::string& name) const {
        return std::count_if(deployments_.begin(), deployments_.end(),
                             [&](const auto& each) { return each.name == name; });
    }

    void refuse_unused() {
        if (!whole_) return;
        for (const auto& each : replicas_)
            if (!each.used)
                problems().push_back({"--replica " + each.word, "",
                                      namesakes(each.name) > 1
                                          ? "could be of several endpoints: write ENDPOINT/" + each.name + "=URL"
                                          : std::string("is of no deployment given: write "
                                                        "[ENDPOINT/]DEPLOYMENT=URL with a name from the files")});
        for (const auto& each : hosts_)
            if (!each.used)
                problems().push_back({"--host " + each.word, "",
                                      "is of no endpoint given: write ENDPOINT=HOST with a name "
                                      "from the files"});
    }

    // What is written is what a start accepts, as far as that can be told without the files that it names.
    void write(const json& root) {
        try {
            made_.configuration = root.dump(2);
        } catch (const json::type_error&) {
            problems().push_back({std::string(made_name), "",
                                  "would hold text that is not UTF-8: correct the names of "
                                  "files and settings that are not"});
            return;
        }
        made_.configuration.insert(0, "// From Azure ML by `scoregate import azureml`; docs/configuration.md has every "
                                      "key.\n");
        made_.configuration += '\n';
        auto loaded = config::load({std::string(made_name), {}}, config::file_text{made_.configuration, {}, {}});
        for (auto& each : loaded.problems) problems().push_back(std::move(each));
        for (auto& each : loaded.warnings) notes().push_back({"", "", std::move(each)});
    }

    const order& order_;
    conversion made_;
    std::vector<endpoint> endpoints_;
    std::vector<deployment> deployments_;
    std::vector<assignment> replicas_, hosts_;
    std::map<std::string, std::string> headless_; // Services by name, each with the ENDPOINT/DEPLOYMENT that it is of
    bool whole_ = true; // every file gave a name; else what seems to be missing is in one that did not
};

} // namespace

conversion convert(const order& given) { return converter(given).run(); }

} // namespace scoregate::azureml
