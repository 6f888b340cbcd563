#include "azureml/extension.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace scoregate::azureml {

namespace {

constexpr std::string_view words_origin = "--extension-setting";
constexpr std::array taken{"allowInsecureConnections", "sslCertPemFile", "sslKeyPemFile", "sslCname", "sslSecret"};

constexpr std::string_view service_does = "the Service before scoregate says it (type, annotations)";
constexpr std::string_view pods_do = "the Deployment of scoregate's pods says it";
constexpr std::string_view not_part = "it is no part of a front-end";
constexpr std::string_view clusters = "Azure tells it of the cluster that the extension is in";
constexpr std::array not_of_ours{
    no_counterpart{"clusterPurpose", "size scoregate by docs/capacity.md"},
    no_counterpart{"clusterId", clusters},
    no_counterpart{"cluster_name", clusters},
    no_counterpart{"cluster_name_friendly", clusters},
    no_counterpart{"domain", clusters},
    no_counterpart{"enableInference", "scoregate is there where it is started"},
    no_counterpart{"enableTraining", not_part},
    no_counterpart{"inferenceLoadBalancerHA", "run several scoregates behind one Service; docs/operations.md"},
    no_counterpart{"inferenceRouterHA", "run several scoregates behind one Service; docs/operations.md"},
    no_counterpart{"inferenceRouterServiceType", service_does},
    no_counterpart{"installDcgmExporter", not_part},
    no_counterpart{"installNvidiaDevicePlugin", not_part},
    no_counterpart{"installPromOp", "any Prometheus reads /metrics; docs/metrics.md"},
    no_counterpart{"installVolcano", not_part},
    no_counterpart{"internalLoadBalancerProvider", service_does},
    no_counterpart{"jobSchedulerLocation", not_part},
    no_counterpart{"location", clusters},
    no_counterpart{"logAnalyticsWS", "access_log goes to a file, stdout or syslog, from where any collector takes it"},
    no_counterpart{"openshift", pods_do},
    no_counterpart{"privateEndpointILB", service_does},
    no_counterpart{"privateEndpointNodeport", service_does},
    no_counterpart{"prometheus.prometheusSpec.externalLabels.cluster_name", "Prometheus names the cluster"},
};
// By what stands before the first dot. All but nodeSelector are added by Azure, and told by az k8s-extension show.
constexpr std::array families{
    no_counterpart{"azure_log_analytics",
                   "access_log goes to a file, stdout or syslog, from where any collector takes it"},
    no_counterpart{"nginxIngress", "it is the ingress of Azure's own, which scoregate does without"},
    no_counterpart{"nodeSelector", pods_do},
    no_counterpart{"relayserver", "scoregate talks to nobody at Azure"},
    no_counterpart{"scoringFe", "it is the front-end that scoregate takes the place of"},
    no_counterpart{"servicebus", "scoregate talks to nobody at Azure"},
};

struct setting {
    std::string value;
    config::problem where; // the message empty
};
using settings = std::map<std::string, setting, std::less<>>;

bool is_taken(std::string_view key) { return std::find(taken.begin(), taken.end(), key) != taken.end(); }

// Null if there is none of that name.
const no_counterpart* not_ours(std::string_view key) {
    const auto named = [](std::string_view name) { return [name](const auto& each) { return each.name == name; }; };
    const auto* const whole = std::find_if(not_of_ours.begin(), not_of_ours.end(), named(key));
    if (whole != not_of_ours.end()) return whole;
    const auto* const family = std::find_if(families.begin(), families.end(), named(key.substr(0, key.find('.'))));
    return family == families.end() ? nullptr : family;
}

// The tail of a line of base64 ends like a key without a value.
bool is_padded(std::string_view key, std::string_view value) {
    return value.find_first_not_of('=') == std::string_view::npos && !is_taken(key) && not_ours(key) == nullptr;
}

void take_word(std::string_view word, const std::string& origin, settings& to, report& out) {
    const auto equals = word.find('=');
    if (equals == std::string_view::npos || equals == 0 || is_padded(word.substr(0, equals), word.substr(equals + 1))) {
        // Not repeated: half of it may be a secret.
        out.problems.push_back(
            {origin, "", "holds a word that is not KEY=VALUE: write it like sslCname=www.contoso.com"});
        return;
    }
    std::string key(word.substr(0, equals));
    config::problem where{origin, config::child_pointer("", key), ""};
    const auto [at, fresh] = to.emplace(std::move(key), setting{std::string(word.substr(equals + 1)), where});
    if (fresh) return;
    where.message = "is given more than once: keep one of them";
    out.problems.push_back(std::move(where));
}

void take_unquoted(std::string_view word, const std::string& origin, settings& to, report& out) {
    if (word.find_first_of("\"'") == std::string_view::npos) return take_word(word, origin, to, out);
    // No shell reads the file, and what a quote encloses may be a secret.
    out.problems.push_back(
        {origin, "", "holds a word with a quote, which would be part of it: write it without quotes"});
}

// Words between blanks; # begins a comment where a word could, a \ at the end of a line means nothing.
void read_words(const source_file& file, settings& to, report& out) {
    std::string_view rest = file.text;
    for (unsigned line = 1; !rest.empty(); ++line) {
        auto text = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(text.size() + 1, rest.size()));
        for (;;) {
            text.remove_prefix(std::min(text.find_first_not_of(" \t\r"), text.size()));
            if (text.empty() || text.front() == '#') break;
            const auto word = text.substr(0, text.find_first_of(" \t\r"));
            text.remove_prefix(word.size());
            if (word != "\\") take_unquoted(word, place(file.name, line), to, out);
        }
    }
}

void read_settings(const source_file& file, settings& to, report& out) {
    const auto root = read_mapping(file, "settings in YAML or JSON, or KEY=VALUE words", out.problems);
    for (const auto& entry : root.items) {
        config::problem where{place(file.name, entry.line), config::child_pointer("", entry.name), ""};
        if (is_taken(entry.name) && entry.is != node::kind::scalar) {
            where.message = "must be a text: write one, or remove it";
            out.problems.push_back(std::move(where));
        } else {
            to.emplace(entry.name, setting{entry.text, std::move(where)});
        }
    }
}

// Of a file of words the first thing that is no comment is KEY=.
bool holds_words(std::string_view text) {
    for (;;) {
        text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
        if (!text.starts_with('#')) break;
        text.remove_prefix(std::min(text.find('\n'), text.size()));
    }
    const auto mark = text.find_first_of("=:{[\"' \n");
    return mark != std::string_view::npos && text[mark] == '=';
}

void refuse(const setting& given, std::string message, report& out) {
    auto problem = given.where;
    problem.message = std::move(message);
    out.problems.push_back(std::move(problem));
}

void tell(const setting& given, std::string message, report& out) {
    auto note = given.where;
    note.message = std::move(message);
    out.notes.push_back(std::move(note));
}

// What is not taken, told one by one.
void tell_rest(const settings& all, report& out) {
    for (const auto& [key, given] : all) {
        if (is_taken(key)) continue;
        const auto* const known = not_ours(key);
        if (known == nullptr)
            refuse(given, "is not a setting of Azure ML's extension that is known here: correct its name, or remove it",
                   out);
        else
            tell(given, "has no counterpart: " + std::string(known->instead), out);
    }
}

// Azure writes True and False; any case counts.
bool is_insecure(const settings& all, report& out) {
    const auto found = all.find("allowInsecureConnections");
    if (found == all.end()) return false;
    const auto word = lower_case(found->second.value);
    if (word != "true" && word != "false") refuse(found->second, "must be True or False: write one of them", out);
    return word == "true";
}

// A pair of files or a directory, with the name; whole, or it is refused.
json read_tls(const settings& all, report& out) {
    json made = json::object();
    const auto secret = all.find("sslSecret");
    const bool files = all.contains("sslCertPemFile") || all.contains("sslKeyPemFile");
    for (const auto* name : {"sslCertPemFile", "sslKeyPemFile", "sslSecret", "sslCname"})
        if (const auto found = all.find(name); found != all.end()) made[name] = found->second.value;
    if (secret != all.end() && files) {
        refuse(secret->second,
               "holds certificate and key, so it cannot be given beside their files: remove one of them", out);
    } else if (secret != all.end() && secret->second.value.find('/') == std::string::npos) {
        refuse(secret->second,
               "is the name of a Kubernetes Secret, of which scoregate reads the files: mount it, or save its cert.pem "
               "and key.pem, and give that directory, with a slash: --extension-setting sslSecret=/etc/scoregate/tls",
               out);
    } else if (made.size() != (secret != all.end() ? 2 : 3)) {
        out.problems.push_back(
            {std::string(words_origin), "",
             "is needed, because the settings do not say how clients connect: give sslCname with sslCertPemFile and "
             "sslKeyPemFile, or with sslSecret=DIRECTORY; or allowInsecureConnections=True for plain HTTP"});
    }
    for (const auto* name : {"sslCertPemFile", "sslKeyPemFile", "sslSecret"})
        if (const auto found = all.find(name); found != all.end() && !found->second.value.starts_with('/'))
            tell(found->second, "is relative, which counts from the folder of the configuration now", out);
    return made;
}

} // namespace

json read_extension(const std::vector<source_file>& files, const std::vector<std::string>& words, report& out) {
    settings all, of_files;
    for (const auto& each : words) take_word(each, std::string(words_origin), all, out);
    for (const auto& file : files) {
        if (!is_whole(file, out.problems)) continue;
        settings found;
        (holds_words(file.text) ? read_words : read_settings)(file, found, out);
        for (auto& [key, given] : found) {
            const auto [at, fresh] = of_files.emplace(key, given);
            if (!fresh) refuse(given, "is in " + at->second.where.file + " too: keep one of them", out);
        }
    }
    all.merge(of_files); // the command line's stay
    tell_rest(all, out);
    if (!is_insecure(all, out)) return read_tls(all, out);
    for (const auto* name : {"sslCertPemFile", "sslKeyPemFile", "sslCname", "sslSecret"})
        if (const auto found = all.find(name); found != all.end())
            tell(found->second, "is not taken over, because allowInsecureConnections is True", out);
    auto made = json::object();
    made["allowInsecureConnections"] = true;
    return made;
}

} // namespace scoregate::azureml
