#include "config/load.hpp"
#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::fuzz {

namespace {

using nlohmann::json;

// What seeds have as the value of a probe's header field, and nothing else.
constexpr std::string_view secret = "hunter2";

json parsed(std::string_view text) { return json::parse(text, nullptr, false, true); }

std::size_t occurrences(std::string_view text) {
    std::size_t count = 0;
    for (auto at = text.find(secret); at != std::string_view::npos; at = text.find(secret, at + 1)) ++count;
    return count;
}

// Those that stand where a secret stands: the values of readiness_probe.headers.
std::size_t in_its_place(const json& at) {
    std::size_t count = 0;
    if (at.is_object() && at.contains("headers") && at["headers"].is_object())
        for (const auto& value : at["headers"])
            if (value.is_string()) count += occurrences(value.get_ref<const std::string&>());
    return count;
}

std::size_t in_places(const json& at) {
    std::size_t count = 0;
    if (at.is_object())
        for (const auto& [name, value] : at.items())
            count += name == "readiness_probe" ? in_its_place(value) : in_places(value);
    return count;
}

// Whether what this file says in plain letters it says in those places alone; of a file that is not JSON nothing may be
// shown, so it always is.
bool only_in_places(const std::string& text) {
    const auto tree = parsed(text);
    if (tree.is_discarded()) return true;
    return text.find("\\u") == std::string::npos && occurrences(text) == in_places(tree);
}

const std::vector<config::key_description>& keys() {
    static const auto all = config::describe_keys();
    return all;
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    for (;;) {
        const auto end = text.find('/');
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

const config::key_description* described(const std::vector<std::string>& path) {
    for (const auto& each : keys()) {
        const auto pattern = split(std::string_view(each.pattern).substr(1));
        if (std::equal(pattern.begin(), pattern.end(), path.begin(), path.end(),
                       [](std::string_view want, const std::string& have) { return want == "*" || want == have; }))
            return &each;
    }
    return nullptr;
}

bool is_of(const std::string& type, const json& value) {
    const auto may_be = [&](std::string_view kind) {
        for (std::string_view rest = type;;) {
            if (rest.substr(0, rest.find('|')) == kind) return true;
            if (rest.find('|') == std::string_view::npos) return false;
            rest.remove_prefix(rest.find('|') + 1);
        }
    };
    if (value.is_null()) return may_be("null");
    if (value.is_boolean()) return may_be("boolean");
    if (value.is_number_integer()) return may_be("integer") || may_be("number");
    if (value.is_number()) return may_be("number");
    if (value.is_string()) return may_be("string");
    return value.is_array() ? may_be("array") : may_be("object");
}

// An accepted value is one that docs/configuration.md lists: of its type, within its range, one of its words.
void must_be_documented(const json& value, std::vector<std::string>& path) {
    if (!path.empty()) {
        const auto* const known = described(path);
        must(known != nullptr, "no key is accepted that is not documented");
        must(is_of(known->type, value), "a value is of its type");
        if (value.is_number_integer()) {
            const bool below = known->minimum && value < *known->minimum;
            must(!below && !(known->maximum && value > *known->maximum), "a number is within its range");
        } else if (value.is_number()) {
            must(!known->maximum || value.get<double>() <= static_cast<double>(*known->maximum),
                 "a fraction is within its range");
            must(known->least.empty() || value.get<double>() >= std::stod(known->least), "and not below it");
        }
        if (value.is_string() && !known->words.empty())
            must(std::find(known->words.begin(), known->words.end(), value) != known->words.end(), "one of the words");
        if (value.is_array() && !known->form.empty()) return; // of texts and numbers
    }
    if (value.is_object())
        for (const auto& [name, each] : value.items()) {
            path.push_back(name);
            must_be_documented(each, path);
            path.pop_back();
        }
    if (value.is_array())
        for (const auto& each : value) {
            path.emplace_back("*");
            must_be_documented(each, path);
            path.pop_back();
        }
}

void must_be_sound(const config::settings& made) {
    must(made.certificates.empty() == made.allow_insecure_connections, "TLS has a certificate");
    must(!(made.allow_insecure_connections ? made.listen_on.http : made.listen_on.https).empty(), "there is a port");
    must(!made.services.empty(), "there is a service");
    bool is_default = !made.default_service;
    const config::service* before = nullptr;
    for (const auto& each : made.services) {
        must(before == nullptr || before->name < each.name, "each name once, in order");
        before = &each;
        is_default = is_default || each.name == *made.default_service;
        must(each.keys.has_value() == (each.auth == config::auth_mode::key), "keys where they are wanted");
        must(each.token.has_value() == (each.auth == config::auth_mode::aml_token), "tokens where they are wanted");
        must(!each.deployments.empty() && !each.routes.empty(), "a service has deployments and routes");
        unsigned sum = 0, mirrored = 0;
        for (const auto& one : each.deployments) {
            must(!one.replicas.empty(), "a deployment has replicas");
            sum += one.traffic;
            if (one.mirror_traffic != 0) ++mirrored;
            must(one.mirror_traffic <= 50 && (one.mirror_traffic == 0 || one.traffic == 0), "a mirror is one only");
        }
        must((sum == 0 || sum == 100) && mirrored <= 1, "traffic is all or nothing");
        for (const auto& path : {each.keys ? each.keys->primary : "/", each.token ? each.token->jwks_file : "/"})
            must(path.starts_with('/'), "paths are absolute");
    }
    must(is_default, "the default is one of them");
}

} // namespace

void configuration(input bytes) {
    const std::string whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto end = whole.find('\0');
    config::file_text read;
    read.text = whole.substr(0, end);
    std::string part;
    if (end != std::string::npos) {
        part = whole.substr(end + 1);
        read.services.path = "services";
        read.services.files.push_back({"more", "/etc/scoregate/services/more.json", part, ""});
    }
    const config::source from{"/etc/scoregate/scoregate.json", {}};
    const auto made = config::load(from, read);
    must(made.value.has_value() == made.problems.empty(), "accepted, or refused for a reason");

    const bool may_be_checked = only_in_places(read.text) && (part.empty() || only_in_places(part));
    const auto no_secret = [&](std::string_view text) {
        must(!may_be_checked || text.find(secret) == std::string_view::npos, "no secret is shown");
    };
    for (const auto& each : made.problems) {
        must(!each.file.empty() && !each.message.empty(), "a problem says where and what");
        must(each.pointer.empty() || each.pointer.front() == '/', "by a pointer");
        no_secret(each.message); // the pointer is made of names
    }
    for (const auto& each : made.warnings) no_secret(each);
    if (!made.value) return;
    const auto tree = parsed(read.text);
    must(tree.is_object(), "what is accepted is JSON");
    std::vector<std::string> path;
    must_be_documented(tree, path);
    path = {"services", "more"};
    if (end != std::string::npos) must_be_documented(parsed(part), path);
    must_be_sound(*made.value);
    const auto again = config::load(from, read);
    must(again.value && again.warnings == made.warnings && again.value->services.size() == made.value->services.size(),
         "the same each time");
}

} // namespace scoregate::fuzz
