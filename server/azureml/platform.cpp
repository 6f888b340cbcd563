#include "azureml/platform.hpp"

#include <string>
#include <utility>

namespace scoregate::azureml {

namespace {

// By the last part of its URL, such as kubernetesOnlineEndpoint.schema.json.
platform of_schema(std::string_view url) {
    const auto name = lower_case(std::string(url.substr(url.rfind('/') + 1))); // npos + 1 is 0
    if (name.starts_with("managedonline")) return platform::managed;
    if (name.starts_with("kubernetesonline")) return platform::kubernetes;
    return platform::unsaid;
}

platform of_word(std::string_view text) {
    const auto word = lower_case(std::string(text));
    if (word == "managed") return platform::managed;
    if (word == "kubernetes" || word == "k8s") return platform::kubernetes;
    return platform::unsaid;
}

std::string a(platform of) { return of == platform::managed ? "a managed endpoint" : "a Kubernetes endpoint"; }

} // namespace

void add_claim(claim& all, const claim& next, report& out) {
    if (next.of == platform::unsaid || next.of == all.of) return;
    if (all.of == platform::unsaid) {
        all = next;
        return;
    }
    auto problem = next.where;
    problem.message = "belongs to " + a(next.of) + ", but " + all.where.file + ": " + all.where.pointer + " to " +
                      a(all.of) + ": correct one of them";
    out.problems.push_back(std::move(problem));
}

claim read_platform(fields& in, const node& root, std::string_view key, bool binding, report& out) {
    claim made;
    const auto take = [&](const node* entry, platform (*read)(std::string_view), bool must_say) {
        if (entry == nullptr || entry->is == node::kind::nothing) return;
        const auto says = read(entry->text);
        if (says == platform::unsaid && must_say)
            in.refuse(*entry, "names neither a managed online endpoint nor one of Kubernetes, and no other is taken "
                              "over: name the right file, or correct it");
        add_claim(made, {says, {place(in.file(), entry->line), config::child_pointer("", entry->name), ""}}, out);
    };
    take(root.find("$schema"), of_schema, true);
    take(root.find(key), of_word, binding);
    return made;
}

} // namespace scoregate::azureml
