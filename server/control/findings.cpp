#include "control/findings.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace scoregate::control {

namespace {

using nlohmann::json;

class list {
public:
    void bad(std::string text) { all_.push_back({true, std::move(text)}); }
    void warn(std::string text) { all_.push_back({false, std::move(text)}); }
    std::vector<finding> take() {
        std::stable_sort(all_.begin(), all_.end(), [](const auto& a, const auto& b) { return a.bad && !b.bad; });
        return std::move(all_);
    }

private:
    std::vector<finding> all_;
};

std::string percent(double ratio) {
    const auto tenths = std::lround(ratio * 1000);
    return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + " %";
}

// Of a provider; one of one's own is there from the start.
bool has_certificate(const json& status) { return status.value("acme", json::object()).value("certificate", true); }

void judge_process(const json& status, list& found) {
    if (status.value("draining", false))
        found.warn("It is draining: no new connections are to come here");
    else if (!status.value("ready", true) && has_certificate(status))
        found.bad("It is not ready: it is still starting");
    const auto overload = status.value("overload", json::object());
    if (overload.value("memory", false)) found.bad("Memory runs short: new connections are refused");
    if (overload.value("descriptors", false)) found.bad("File descriptors run short: new connections are refused");
}

void judge_certificate(const json& one, list& found) {
    const auto expiry = one.value("expiry", "");
    const auto name = "The certificate for " + one.value("cname", "?");
    const auto until = " (until " + one.value("not_after", "?") + ")";
    if (expiry == "expired")
        found.bad(name + " has expired" + until + ": clients refuse it");
    else if (expiry == "not_yet_valid")
        found.bad(name + " is not valid before " + one.value("not_before", "?") + ": clients refuse it");
    else if (expiry == "day")
        found.bad(name + " expires within a day" + until);
    else if (expiry == "renew" || expiry == "week")
        found.warn(name + " expires in " + std::to_string(one.value("days_left", 0)) + " days" + until);
}

// What comes of it by the end of the certificate is told by judge_certificate.
void judge_acme(const json& status, list& found) {
    const auto acme = status.value("acme", json::object());
    const auto domain = acme.value("domain", "?"), error = acme.value("last_error", "");
    const auto when = acme.value("next_attempt", "");
    const auto next = when.empty() ? "" : "; the next attempt is at " + when;
    if (!has_certificate(status))
        found.bad("HTTPS is closed: no certificate for " + domain + " has been issued yet" +
                  (error.empty() ? "" : ": " + error + next));
    else if (acme.value("state", "") == "runner_gone")
        found.bad("No certificate for " + domain + " can be ordered: " + error);
    else if (!error.empty())
        found.warn("The certificate for " + domain + " is not renewed: " + error + next);
}

// A deployment that nobody is sent to may have no replica that is ready, as one whose model has been taken away.
void judge_deployment(const std::string& name, const json& deployment, list& found) {
    const auto replicas = deployment.value("replicas", json::array());
    std::size_t sick = 0;
    std::string first, last; // since when: texts of one form, which compare as times do
    for (const auto& each : replicas) {
        if (each.value("ready", true)) continue;
        ++sick;
        const auto since = each.value("since", "");
        if (first.empty() || since < first) first = since;
        last = std::max(last, since);
    }
    if (sick == 0 && !replicas.empty()) return;
    const auto all = std::to_string(replicas.size());
    const auto after = [](const std::string& since) { return since.empty() ? "" : ", since " + since; };
    if (sick < replicas.size())
        found.warn(name + ": " + std::to_string(sick) + " of " + all + " replicas cannot be used" + after(first));
    else if (deployment.value("traffic", 0) > 0)
        found.bad(name + " has no replica that can be used, of " + all + after(last));
    else
        found.warn(name + " has no replica that can be used, of " + all + after(last) + "; it gets no traffic");
}

void judge_services(const json& status, const json& history, list& found) {
    const auto services = status.value("services", json::object());
    for (const auto& [service, what] : services.items()) {
        const auto deployments = what.value("deployments", json::object());
        for (const auto& [name, each] : deployments.items())
            judge_deployment(std::string(service).append("/").append(name), each, found);
    }
    const auto past = history.value("services", json::object());
    for (const auto& [service, what] : past.items()) {
        const auto now = what.value("now", json::object());
        const auto ratio = now.find("error_ratio");
        if (ratio == now.end() || !ratio->is_number()) continue;
        const auto part = ratio->get<double>();
        if (part < warning_error_ratio) continue;
        auto text = (service.empty() ? "Requests of no service" : service) + ": " + percent(part) + " of " +
                    std::to_string(now.value("requests", std::uint64_t{0})) + " requests in the last 15 s failed";
        if (part < bad_error_ratio)
            found.warn(std::move(text));
        else
            found.bad(std::move(text));
    }
}

void judge_reloads(const json& status, list& found) {
    const auto reloads = status.value("reloads", json::object());
    for (const auto& [unit, what] : reloads.items()) {
        if (what.value("last_result", "") != "failed") continue;
        auto text = "The last reload of " + unit + " failed; what was in force before stays";
        const auto problems = what.value("problems", json::array());
        if (!problems.empty() && problems.front().is_string()) text += ": " + problems.front().get<std::string>();
        found.warn(std::move(text));
    }
}

} // namespace

std::vector<finding> findings_of(const json& status, const json& history) {
    list found;
    judge_process(status, found);
    judge_services(status, history, found);
    for (const auto& each : status.value("certificates", json::array())) judge_certificate(each, found);
    judge_acme(status, found);
    judge_reloads(status, found);
    return found.take();
}

json to_json(const std::vector<finding>& some) {
    json made{{"level", some.empty() ? "good" : some.front().bad ? "bad" : "warning"}, {"findings", json::array()}};
    for (const auto& each : some)
        made["findings"].push_back({{"level", each.bad ? "bad" : "warning"}, {"text", each.text}});
    return made;
}

} // namespace scoregate::control
