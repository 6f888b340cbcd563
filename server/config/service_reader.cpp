// The part of settings_reader that reads one service.
#include "config/settings_reader.hpp"

#include <algorithm>

namespace scoregate::config {
namespace {

constexpr range timeout{1, 24 * 60 * 60 * 1000};
constexpr range timeout_or_none{0, timeout.maximum};
constexpr range count_or_none{0, 1'000'000};
constexpr range probe_seconds{1, 24 * 60 * 60};
constexpr range probe_timeout{1, 60}; // a probe holds a slot of its replica, and one of few turns
constexpr range probe_threshold{1, 1000};

// Takes "/*" off the end of a path; answers whether it was there.
bool cut_subtree(std::string& path) {
    if (!path.ends_with("/*")) return false;
    path.resize(path.size() - 2);
    return true;
}

} // namespace

void settings_reader::read_service(section& in, const std::string& name) {
    service to;
    to.name = name;
    const auto pointers = in.list("hosts", to.hosts, host_form);
    for (std::size_t i = 0; i < pointers.size(); ++i) {
        const auto [first, fresh] = all_.hosts.emplace(to.hosts[i], place_ + pointers[i]);
        if (!fresh) {
            in.refuse(pointers[i], "\"" + to.hosts[i] + "\" is taken by " + first->second +
                                       ": a host leads to one service, so name it once");
        }
    }
    in.boolean("require_tls", to.require_tls);
    read_authentication(in, to);
    read_deployments(in, to);
    read_mirror(in, to);
    warn_of_shared_replicas(in, to);
    in.word("error_mapping", to.error_mapping,
            {{"aks", error_mapping::aks},
             {"managed", error_mapping::managed},
             {"passthrough", error_mapping::passthrough}});
    read_rate_limit(in, to);
    in.object("cors", [this, &to](section& inner) { read_cors(inner, to); });
    read_routes(in, to);
    if (in.reading()) to_.services.push_back(std::move(to));
}

service& settings_reader::read_service_file(document& from, const std::string& name, const std::string& file) {
    settings_reader inner{from, to_, all_, file + ": "};
    section root{from, &from.root(), "", nullptr};
    inner.read_service(root, name);
    root.refuse_unknown();
    return to_.services.back();
}

// A service is open only when that is written out: without auth_mode, keys are needed.
void settings_reader::read_authentication(section& in, service& to) {
    const bool understood =
        in.word("auth_mode", to.auth,
                {{"key", auth_mode::key}, {"aml_token", auth_mode::aml_token}, {"none", auth_mode::none}});
    in.optional_object("keys", [&to](section& inner) {
        key_files files;
        files.pointer = inner.pointer();
        inner.required_text("primary_file", files.primary, path_form,
                            "make a key with `scoregate key generate > keys/primary` and name its file");
        inner.text("secondary_file", files.secondary, path_form);
        if (!files.primary.empty()) to.keys = std::move(files);
    });
    in.optional_object("token", [&to](section& inner) {
        token_settings token;
        token.pointer = inner.pointer();
        inner.required_text("jwks_file", token.jwks_file, path_form,
                            "save what the issuer publishes at its jwks_uri, and name that file");
        inner.required_text("issuer", token.issuer, claim_form, "write what its tokens have as \"iss\"");
        inner.required_text("audience", token.audience, claim_form,
                            "write what tokens for this service have as \"aud\", such as https://ml.azure.com");
        inner.text("service_claim", token.service_claim, claim_form);
        if (!token.jwks_file.empty() && !token.issuer.empty() && !token.audience.empty()) to.token = std::move(token);
    });
    require_credentials(in, to, understood);
    in.boolean("forward_authorization", to.forward_authorization);
}

// What the mode wants has to be there; what is there for another one is only told.
void settings_reader::require_credentials(section& in, service& to, bool understood) {
    if (!understood) return;
    const auto* const because = to.auth == auth_mode::key         ? "auth_mode is key"
                                : to.auth == auth_mode::aml_token ? "auth_mode is aml_token"
                                                                  : "auth_mode is none";
    const auto settle = [&](const char* key, auto& settings, auth_mode wanting, const char* remedy) {
        if (to.auth != wanting) {
            if (in.given(key)) warn_unused(in.pointer(key), because);
            settings.reset();
        } else if (in.reading() && !in.given(key)) {
            in.refuse(in.pointer(key), std::string("is missing: ") + remedy +
                                           ", or write \"auth_mode\": \"none\" for a "
                                           "service open to everyone who can reach it");
        }
    };
    settle("keys", to.keys, auth_mode::key,
           "make a key with `scoregate key generate > keys/primary` and write "
           "\"keys\": { \"primary_file\": \"keys/primary\" }");
    settle("token", to.token, auth_mode::aml_token,
           "write \"token\": { \"jwks_file\": \"keys/jwks.json\", \"issuer\": \"https://login.contoso.com\", "
           "\"audience\": \"https://ml.azure.com\" }");
}

void settings_reader::read_rate_limit(section& in, service& to) {
    const auto read = [&to](section& inner) {
        rate_limit made;
        inner.required_number("requests_per_second", made.requests_per_second, "0.001", 1'000'000,
                              "say how many requests a caller may send in a second, such as 50");
        inner.integer("burst", made.burst, {1, 1'000'000});
        using by = rate_limit::caller;
        const bool understood = inner.word("by", made.by, {{"key", by::key}, {"address", by::address}});
        if (!inner.reading()) return;
        if (understood && to.auth == auth_mode::none && made.by == by::key)
            inner.refuse(inner.pointer("by"), "cannot be \"key\", which it is unless written, because auth_mode is "
                                              "none: write \"by\": \"address\" to count by client address");
        to.rate_limit = made;
    };
    in.object_or_null("rate_limit", read, "null");
}

void settings_reader::read_cors(section& in, service& to) {
    const auto pointers = in.list("allow_origins", to.cors_origins, origin_form);
    for (std::size_t i = 0; i < pointers.size(); ++i)
        if (to.cors_origins[i] == "*" && pointers.size() > 1)
            in.refuse(pointers[i], "stands for every origin: leave the others out, or leave it out");
}

// Exact paths first, then subtrees, the longer before the shorter: the first that fits is the right one.
void settings_reader::read_routes(section& in, service& to) {
    std::vector<route> routes;
    const auto add = [&](const std::string& key, route made) {
        const auto at = child_pointer(in.pointer("routes"), key);
        std::string wrong;
        if (!route_form.parse(key, wrong)) return in.refuse(at, "\"" + key + "\" " + wrong);
        made.path = "/" + key;
        made.subtree = cut_subtree(made.path);
        if (cut_subtree(made.replica_path) != made.subtree)
            return in.refuse(at, made.subtree ? "maps a subtree, so that its path at the replica has to end in /*"
                                              : "ends in /* at the replica, so that the route has to end in /*");
        routes.push_back(std::move(made));
    };
    const auto read = [&](section& inner, const std::string& key) {
        route made;
        made.idempotent = key == "score" || key == "swagger.json";
        inner.required_text("path", made.replica_path, replica_path_form, "write the path at the replica");
        inner.list("methods", made.methods, method_form);
        inner.boolean("idempotent", made.idempotent);
        if (!inner.reading() || made.replica_path.empty()) return;
        if (made.methods.empty()) return inner.refuse(inner.pointer("methods"), "is empty: give at least one");
        add(key, std::move(made));
    };
    const auto text = [&](const std::string& key, std::string path) {
        route made;
        made.replica_path = std::move(path);
        made.idempotent = key == "score" || key == "swagger.json";
        add(key, std::move(made));
    };
    if (!in.texts_or_objects("routes", route_form.name, replica_path_form, text, read)) return;
    std::stable_sort(routes.begin(), routes.end(), [](const route& a, const route& b) {
        return a.subtree != b.subtree ? b.subtree : a.path.size() > b.path.size();
    });
    to.routes = std::move(routes);
}

void settings_reader::read_deployments(section& in, service& to) {
    std::vector<std::pair<std::string, unsigned>> shares;
    const bool divided = in.integers("traffic", {0, 100}, [&](const std::string& name, std::int64_t percent) {
        shares.emplace_back(name, static_cast<unsigned>(percent));
    });
    // Azure's limit of deployments of an endpoint.
    in.entries("deployments", 1, 20, "hold 1 to 20 deployments", [&](section& inner, const std::string& name) {
        deployment made;
        made.name = name;
        read_deployment(inner, made);
        if (inner.reading()) to.deployments.push_back(std::move(made));
    });
    if (!in.reading() || to.deployments.empty()) return;
    if (!divided) {
        if (to.deployments.size() == 1)
            to.deployments.front().traffic = 100;
        else if (!in.given("traffic"))
            in.refuse(in.pointer("traffic"), "is missing: with several deployments it says how many percent each gets, "
                                             "such as { \"" +
                                                 to.deployments.front().name + "\": 100 }");
        return;
    }
    unsigned sum = 0;
    for (const auto& [name, percent] : shares) {
        const auto found = std::find_if(to.deployments.begin(), to.deployments.end(),
                                        [&name = name](const auto& each) { return each.name == name; });
        if (found == to.deployments.end())
            in.refuse(child_pointer(in.pointer("traffic"), name),
                      "is not one of the deployments: correct the name, or remove it");
        else
            found->traffic = percent;
        sum += percent;
    }
    if (sum != 0 && sum != 100)
        in.refuse(in.pointer("traffic"), "sums to " + std::to_string(sum) + ": make it 100, or 0 for no traffic");
}

void settings_reader::read_deployment(section& in, deployment& to) {
    const auto pointers = in.required_list("replicas", to.replicas, replica_form);
    for (std::size_t i = 0; i < pointers.size(); ++i) {
        const auto same = [&one = to.replicas[i]](const replica& other) {
            return one.source == other.source && one.host == other.host && one.port == other.port;
        };
        const auto first = std::find_if(to.replicas.begin(), to.replicas.end(), same) - to.replicas.begin();
        if (const auto index = static_cast<std::size_t>(first); index < i) {
            in.refuse(pointers[i], to.replicas[i].url + " is the same replica as " + pointers[index] + ": keep one");
        }
    }
    in.text("host_header", to.host_header, host_header_form);
    read_replica_tls(in, to);
    in.object("request_settings", [&settings = to.settings](section& inner) {
        inner.duration("request_timeout_ms", settings.request_timeout, timeout);
        inner.duration("total_timeout_ms", settings.total_timeout, timeout);
        inner.integer("max_concurrent_requests_per_instance", settings.max_concurrent_requests, {1, 1'000'000});
        inner.duration("max_queue_wait_ms", settings.max_queue_wait, timeout_or_none);
        inner.integer("max_queue_length", settings.max_queue_length, count_or_none);
        inner.word("on_abandon", settings.on_abandon,
                   {{"finish", config::on_abandon::finish}, {"cancel", config::on_abandon::cancel}});
        inner.duration("abandon_max_ms", settings.abandon_max, timeout);
    });
    read_readiness_probe(in, to);
}

// A preset is where the model server has its own answer; whatever is written beside it counts.
void settings_reader::read_readiness_probe(section& in, deployment& to) {
    enum class preset : std::uint8_t { none, azureml, kserve, triton, vllm, tfserving, torchserve };
    const auto read = [&](section& inner) {
        readiness_probe made;
        auto which = preset::none;
        inner.word("preset", which,
                   {{"azureml", preset::azureml},
                    {"kserve", preset::kserve},
                    {"triton", preset::triton},
                    {"vllm", preset::vllm},
                    {"tfserving", preset::tfserving},
                    {"torchserve", preset::torchserve}});
        if (which == preset::kserve || which == preset::triton) made.path = "/v2/health/ready";
        if (which == preset::vllm) made.path = "/health";
        if (which == preset::torchserve) made.path = "/ping";
        if (which != preset::none) made.expected = {{200, 200}};
        inner.text("path", made.path, probe_path_form);
        if (which == preset::tfserving && !inner.given("path"))
            inner.refuse(inner.pointer("path"), "is missing: TensorFlow Serving tells the state of a model only, so "
                                                "name it, such as \"/v1/models/iris\"");
        inner.duration("initial_delay", made.initial_delay, {0, probe_seconds.maximum});
        inner.duration("period", made.period, probe_seconds);
        inner.duration("timeout", made.timeout, probe_timeout,
                       "a probe that hangs holds a slot of its replica for so long");
        if (inner.reading() && made.timeout > made.period)
            all_.warnings.push_back(
                to_string(problem{document_.origin_of(inner.pointer("timeout")), inner.pointer("timeout"),
                                  "is more than period, which is " + std::to_string(made.period.count()) +
                                      " s: a probe that hangs makes the next one late, so give it less"}));
        inner.integer("success_threshold", made.success_threshold, probe_threshold);
        inner.integer("failure_threshold", made.failure_threshold, probe_threshold);
        inner.list_of_numbers("expected_codes", made.expected, codes_form);
        if (made.expected.empty())
            inner.refuse(inner.pointer("expected_codes"), "is empty: give at least one, or leave it out");
        inner.secrets("headers", probe_field_form, field_value_form, [&](const std::string& name, std::string value) {
            const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
            const auto same = [&](const auto& other) {
                return std::ranges::equal(name, other.first, {}, lower, lower);
            };
            if (std::any_of(made.headers.begin(), made.headers.end(), same))
                inner.refuse(child_pointer(inner.pointer("headers"), name),
                             "is given more than once: case does not count in names of header fields, so keep one");
            else
                made.headers.emplace(name, std::move(value));
        });
        if (inner.reading()) to.readiness_probe = std::move(made);
    };
    in.object_or_null("readiness_probe", read, "null");
}

void settings_reader::read_mirror(section& in, service& to) {
    constexpr std::int64_t most_percent = 50; // Azure's
    std::size_t count = 0;
    in.integers("mirror_traffic", {0, most_percent}, [&](const std::string& name, std::int64_t percent) {
        const auto at = child_pointer(in.pointer("mirror_traffic"), name);
        const auto found = std::find_if(to.deployments.begin(), to.deployments.end(),
                                        [&name](const auto& each) { return each.name == name; });
        if (++count == 2)
            in.refuse(in.pointer("mirror_traffic"), "names more than one deployment: copies go to one");
        else if (found == to.deployments.end() && in.reading() && !to.deployments.empty())
            in.refuse(at, "is not one of the deployments: correct the name, or remove it");
        else if (found != to.deployments.end() && found->traffic != 0)
            in.refuse(at, "has live traffic, so that it cannot get copies besides: set its traffic to 0");
        else if (found != to.deployments.end())
            found->mirror_traffic = static_cast<unsigned>(percent);
    });
}

// A cap is a deployment's own: what two of them send to one server, it gets from both.
void settings_reader::warn_of_shared_replicas(section& in, const service& from) {
    for (const auto& each : from.deployments) {
        if (!each.settings.max_concurrent_requests) continue;
        for (const auto& one : each.replicas) {
            const auto at = place_ + child_pointer(child_pointer(in.pointer("deployments"), each.name), "replicas");
            const auto [first, fresh] = all_.capped.emplace(
                (one.source == replica_source::srv ? one.url : one.host) + " " + std::to_string(one.port), at);
            if (!fresh && first->second != at)
                all_.warnings.push_back(
                    at + ": " + one.url + " is in " + first->second +
                    " too: each counts its own max_concurrent_requests_per_instance, so that it may "
                    "get as many requests at once as both allow");
        }
    }
}

void settings_reader::read_replica_tls(section& in, deployment& to) {
    const auto secured = [](const replica& one) { return one.tls; };
    to.replica_tls.pointer = in.pointer("replica_tls");
    in.object("replica_tls", [&terms = to.replica_tls](section& inner) {
        inner.text("ca_file", terms.ca_file, path_form);
        inner.text("server_name", terms.server_name, host_form);
    });
    const bool says_something = to.replica_tls.ca_file || to.replica_tls.server_name;
    if (says_something && std::none_of(to.replicas.begin(), to.replicas.end(), secured)) {
        warn_unused(in.pointer("replica_tls"), "no replica is https://");
        to.replica_tls = {};
    }
}

} // namespace scoregate::config
