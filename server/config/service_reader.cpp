// The part of settings_reader that reads one service.
#include "config/settings_reader.hpp"

#include <algorithm>

namespace scoregate::config {
namespace {

constexpr range timeout{1, 24 * 60 * 60 * 1000};
constexpr range timeout_or_none{0, timeout.maximum};
constexpr range count_or_none{0, 1'000'000};

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
        const auto [first, fresh] = hosts_.emplace(to.hosts[i], place_ + pointers[i]);
        if (!fresh) {
            in.refuse(pointers[i], "\"" + to.hosts[i] + "\" is taken by " + first->second +
                                       ": a host leads to one service, so name it once");
        }
    }
    in.boolean("require_tls", to.require_tls);
    read_authentication(in, to);
    read_deployments(in, to);
    in.word("error_mapping", to.error_mapping,
            {{"aks", error_mapping::aks},
             {"managed", error_mapping::managed},
             {"passthrough", error_mapping::passthrough}});
    read_rate_limit(in, to);
    in.object("cors", [this, &to](section& inner) { read_cors(inner, to); });
    read_routes(in, to);
    in.not_built({"mirror_traffic"});
    if (in.reading()) to_.services.push_back(std::move(to));
}

service& settings_reader::read_service_file(document& from, const std::string& name, const std::string& file) {
    settings_reader inner{from, to_};
    inner.hosts_.swap(hosts_);
    inner.place_ = file + ": ";
    section root{from, &from.root(), "", nullptr};
    inner.read_service(root, name);
    root.refuse_unknown();
    hosts_.swap(inner.hosts_);
    warnings_.insert(warnings_.end(), inner.warnings_.begin(), inner.warnings_.end());
    return to_.services.back();
}

// A service is open only when that is written out: without auth_mode, keys are needed.
void settings_reader::read_authentication(section& in, service& to) {
    const bool understood =
        in.word("auth_mode", to.auth, {{"key", auth_mode::key}, {"none", auth_mode::none}}, {"aml_token"});
    in.optional_object("keys", [&to](section& inner) {
        key_files files;
        files.pointer = inner.pointer();
        inner.required_text("primary_file", files.primary, path_form,
                            "make a key with `scoregate key generate > keys/primary` and name its file");
        inner.text("secondary_file", files.secondary, path_form);
        if (!files.primary.empty()) to.keys = std::move(files);
    });
    if (to.auth == auth_mode::none && in.given("keys")) {
        warn_unused(in.pointer("keys"), "auth_mode is none");
        to.keys.reset();
    } else if (to.auth == auth_mode::key && understood && in.reading() && !in.given("keys")) {
        in.refuse(in.pointer("keys"), "is missing: make a key with `scoregate key generate > keys/primary` and write "
                                      "\"keys\": { \"primary_file\": \"keys/primary\" }, or write \"auth_mode\": "
                                      "\"none\" for a service open to everyone who can reach it");
    }
    in.boolean("forward_authorization", to.forward_authorization);
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
            return one.host == other.host && one.port == other.port;
        };
        const auto first = std::find_if(to.replicas.begin(), to.replicas.end(), same) - to.replicas.begin();
        if (const auto index = static_cast<std::size_t>(first); index < i) {
            in.refuse(pointers[i], to.replicas[i].url + " is the same replica as " + pointers[index] + ": keep one");
        }
    }
    in.text("host_header", to.host_header, host_header_form);
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
    in.not_built({"readiness_probe"});
}

} // namespace scoregate::config
