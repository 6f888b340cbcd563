#include "config/load.hpp"

#include "config/acme.hpp"
#include "config/azure_settings.hpp"
#include "config/document.hpp"
#include "config/settings_reader.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace scoregate::config {
namespace {

namespace fs = std::filesystem;

void resolve(std::string& path, const fs::path& folder) { path = (folder / path).lexically_normal().string(); }

void make_absolute(service& to, const fs::path& folder) {
    for (auto& each : to.deployments)
        if (each.replica_tls.ca_file) resolve(*each.replica_tls.ca_file, folder);
    if (to.token) resolve(to.token->jwks_file, folder);
    if (!to.keys) return;
    resolve(to.keys->primary, folder);
    if (to.keys->secondary) resolve(*to.keys->secondary, folder);
}

void make_absolute(settings& to, const fs::path& folder) {
    const auto resolve_folder = [&folder](std::string& path) { // "tls/" and "tls" are the same
        resolve(path, folder);
        if (path.size() > 1 && path.ends_with('/')) path.pop_back();
    };
    for (auto& each : to.certificates) {
        if (each.secret.empty()) {
            resolve(each.certificate, folder);
            resolve(each.key, folder);
        } else {
            resolve_folder(each.secret);
        }
    }
    if (to.ticket_keys_dir) resolve_folder(*to.ticket_keys_dir);
    if (to.client_ca) resolve(to.client_ca->file, folder);
    if (to.acme) {
        if (!to.acme->state_dir.empty()) resolve_folder(to.acme->state_dir);
        if (to.acme->webroot) resolve_folder(*to.acme->webroot);
        if (to.acme->ca_file) resolve(*to.acme->ca_file, folder);
    }
    if (to.admin.token_file) resolve(*to.admin.token_file, folder);
    for (auto& each : to.services) make_absolute(each, folder);
    if (auto& log = to.access_log.path; log && *log != "-" && !is_syslog(*log)) resolve(*log, folder);
    if (to.tracing && to.tracing->headers_file) resolve(*to.tracing->headers_file, folder);
    if (to.tracing && to.tracing->ca_file) resolve(*to.tracing->ca_file, folder);
}

fs::path folder_of(const std::string& file) { return fs::absolute(file).parent_path(); }

// Paths are absolute, so that the same pair is seen however it is written.
void refuse_repeated(const std::vector<certificate_files>& all, document& in) {
    for (auto each = all.begin(); each != all.end(); ++each) {
        const auto first = std::find(all.begin(), each, *each);
        if (first == each) continue;
        in.refuse(each->pointer, "is the same pair as " +
                                     (first->pointer.empty() ? "that at the top of the file" : first->pointer) +
                                     ": keep one");
    }
}

// The name that was drawn is what the configuration says, too.
void settle_acme(settings& made, document& in) {
    if (!made.acme || made.acme->state_dir.empty()) return;
    auto& acme = *made.acme;
    if (acme.leaf_domain_label && acme.domain_suffix) {
        std::string wrong;
        const auto drawn = read_drawn_domain(acme, wrong);
        if (!wrong.empty()) in.refuse("/acme/state_dir", std::move(wrong));
        (is_drawn_from(drawn, acme) ? acme.domain : acme.other_domain) = drawn;
        if (const auto& label = *acme.leaf_domain_label;
            label.size() > drawn_characters && drawn == label + '.' + *acme.domain_suffix)
            in.refuse("/acme/leafDomainLabel", "\"" + label +
                                                   "\" is the name as it was drawn, with its six characters: "
                                                   "write \"" +
                                                   label.substr(0, label.size() - drawn_characters) + "\" alone");
    }
    if (!acme.domain.empty()) made.certificates.insert(made.certificates.begin(), pair_of(acme));
}

// With one file for both, no key could be changed while clients still hold the other.
void refuse_one_file_for_both_keys(const service& of, document& in) {
    if (!of.keys || of.keys->secondary != of.keys->primary) return;
    in.refuse(child_pointer(of.keys->pointer, "secondary_file"),
              "is the same file as primary_file: name another, or write null for one key only");
}

void refuse_unknown_default(const settings& made, document& in) {
    if (!made.default_service) return;
    const auto named = [&name = *made.default_service](const service& each) { return each.name == name; };
    if (std::none_of(made.services.begin(), made.services.end(), named))
        in.refuse("/default_service", "\"" + *made.default_service +
                                          "\" is not one of the services: name one of them, or write null for none");
}

void refuse_no_service(const services_folder& folder, document& in) {
    if (!folder.problem.empty()) return in.refuse("/services_dir", "\"" + folder.path + "\" " + folder.problem);
    if (!in.root().is_object() || !folder.files.empty()) return;
    const auto given = in.root().find("services");
    if (given != in.root().end() && (!given->is_object() || !given->empty())) return;
    if (!folder.path.empty())
        in.refuse("/services_dir",
                  "\"" + folder.path +
                      "\" holds no NAME.json and services is empty: there must be one service at least");
    else if (given != in.root().end())
        in.refuse("/services", "must hold at least one service; it holds 0");
    else
        in.refuse("/services",
                  "is missing: it must hold at least one service, or services_dir name a directory that does");
}

// A file of services_dir as JSON.
struct service_document {
    const services_folder::file* from;
    document tree;
};

std::vector<service_document> documents_of(const services_folder& folder) {
    std::vector<service_document> all;
    for (const auto& each : folder.files) {
        all.push_back({&each, document{each.path, each.problem.empty() ? each.text : "null"}});
        if (!each.problem.empty()) all.back().tree.refuse("", each.problem);
    }
    return all;
}

bool has_service(const document& in, const std::string& name) {
    if (!in.root().is_object()) return false;
    const auto given = in.root().find("services");
    return given != in.root().end() && given->is_object() && given->contains(name);
}

// One that yields does so to the same key, and a place for the pair to its other form, to a provider that issues one,
// or to no TLS.
bool has_room_for(const override_setting& each, const document& tree) {
    if (!each.yields) return true;
    if (tree.gives(each.key)) return false;
    if (each.key != "sslSecret") return true;
    const auto insecure = tree.root().find("allowInsecureConnections"), acme = tree.root().find("acme");
    return !tree.gives("sslCertPemFile") && !tree.gives("sslKeyPemFile") &&
           (insecure == tree.root().end() || *insecure != true) && (acme == tree.root().end() || acme->is_null());
}

// services.NAME.KEY goes to the file of services_dir that has NAME, if there is one.
void apply(const std::vector<override_setting>& overrides, document& tree, std::vector<service_document>& parts) {
    const std::string level = "services.", pattern = "/services/*";
    const auto keys = describe_keys();
    std::vector<key_description> of_service;
    for (auto each : keys) {
        if (!each.pattern.starts_with(pattern + "/")) continue;
        each.pattern.erase(0, pattern.size());
        of_service.push_back(std::move(each));
    }
    const auto apply_one = [&](const override_setting& given) {
        const auto each = in_our_words(given);
        const auto is_for = [&](const service_document& part) {
            return each.key.starts_with(level + part.from->name + ".") && !has_service(tree, part.from->name);
        };
        const auto part = std::find_if(parts.begin(), parts.end(), is_for);
        if (part == parts.end()) {
            if (has_room_for(each, tree)) tree.apply(each, keys);
            return;
        }
        auto inner = each;
        inner.key.erase(0, level.size() + part->from->name.size() + 1);
        if (has_room_for(inner, part->tree)) part->tree.apply(inner, of_service);
    };
    for (const bool yields : {false, true})
        for (const auto& each : overrides)
            if (each.yields == yields) apply_one(each);
}

void read_part(service_document& part, settings_reader& reader, const document& main, const std::string& main_file) {
    auto& [from, tree] = part;
    if (!tree.readable() || !from->problem.empty()) return;
    std::string wrong;
    if (!name_form.parse(from->name, wrong))
        return tree.refuse("", "\"" + from->name + "\" " + wrong + "; the file is named after the service");
    if (has_service(main, from->name))
        return tree.refuse("", "is a service that " + main_file + " has in services as well: keep one of them");
    if (!tree.root().is_object()) return tree.refuse("", "must be an object: { \"deployments\": { ... } }");
    auto& made = reader.read_service_file(tree, from->name, from->path);
    make_absolute(made, folder_of(from->path));
    if (made.keys) made.keys->file = from->path;
    if (made.token) made.token->file = from->path;
    for (auto& each : made.deployments) each.replica_tls.file = from->path;
    refuse_one_file_for_both_keys(made, tree);
}

void append(problems& to, problems some) { to.insert(to.end(), some.begin(), some.end()); }

} // namespace

file_text read_text(const source& from, bool again, services_dir& folder) {
    file_text out;
    if (const auto wrong = read_file(from.file, again, out.text); !wrong.empty()) {
        out.problems.push_back(
            {from.file, "", "cannot be read (" + wrong + "): name a readable configuration file with --config"});
        return out;
    }
    out.services = read_services_folder(folder.of(from, out.text));
    return out;
}

load_result load(const source& from, const file_text& read) {
    load_result out;
    out.problems = read.problems;
    if (!out.problems.empty()) return out;

    document tree{from.file, read.text};
    auto parts = documents_of(read.services);
    if (tree.readable()) {
        apply(from.overrides, tree, parts);
        settings made;
        settings_reader reader{tree, made};
        reader.read();
        make_absolute(made, folder_of(from.file));
        for (const auto& each : made.services) refuse_one_file_for_both_keys(each, tree);
        for (auto& each : parts) read_part(each, reader, tree, from.file);
        std::sort(made.services.begin(), made.services.end(),
                  [](const service& a, const service& b) { return a.name < b.name; });
        settle_acme(made, tree);
        refuse_repeated(made.certificates, tree);
        refuse_no_service(read.services, tree);
        refuse_unknown_default(made, tree);
        made.file = from.file;
        out.warnings = reader.take_warnings();
        out.certificates = made.certificates;
        out.services = made.services;
        out.admin_token_file = made.admin.token_file;
        out.value = std::move(made);
    }
    out.problems = tree.take_problems();
    for (auto& each : parts) append(out.problems, each.tree.take_problems());
    if (!out.problems.empty()) out.value.reset();
    return out;
}

std::vector<key_description> describe_keys() {
    document nothing{"", "{}"};
    settings defaults;
    std::vector<key_description> keys;
    settings_reader{nothing, defaults}.read(&keys);
    return keys;
}

} // namespace scoregate::config
