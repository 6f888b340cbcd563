// What the process tells of itself: metrics, status, scoring URIs. Control thread.
#include "app/process.hpp"

#include "control/findings.hpp"
#include "control/time_text.hpp"
#include "http/reply.hpp"
#include "telemetry/log.hpp"
#include "telemetry/process_usage.hpp"
#include "telemetry/registry.hpp"
#include "tls/expiry.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace scoregate::app {

namespace {

using control::to_text;
using nlohmann::json;

std::string_view expiry_of(const tls::certificate& certificate, std::chrono::system_clock::time_point now) {
    if (now < certificate.not_before()) return "not_yet_valid";
    switch (tls::stage_of(certificate.not_before(), certificate.not_after(), now)) {
    case tls::expiry_stage::fine: break;
    case tls::expiry_stage::renew: return "renew";
    case tls::expiry_stage::week: return "week";
    case tls::expiry_stage::day: return "day";
    case tls::expiry_stage::expired: return "expired";
    }
    return "fine";
}

json describe(const tls::certificate& certificate, const std::string& cname) {
    const auto now = std::chrono::system_clock::now();
    const auto left = certificate.not_after() - now;
    return {{"cname", cname},
            {"expiry", expiry_of(certificate, now)},
            {"names", certificate.names()},
            {"serial", certificate.serial()},
            {"key_type", certificate.key_type()},
            {"not_before", to_text(certificate.not_before())},
            {"not_after", to_text(certificate.not_after())},
            {"days_left", std::chrono::floor<std::chrono::days>(left).count()}};
}

json describe(const control::reload_history& past) {
    json unit{{"succeeded", past.succeeded}, {"failed", past.failed}};
    if (past.last_at != std::chrono::system_clock::time_point{}) {
        unit["last_at"] = to_text(past.last_at);
        unit["last_result"] = past.last_succeeded ? "succeeded" : "failed";
    }
    for (const auto& each : past.last_problems) unit["problems"].push_back(to_string(each));
    return unit;
}

// What keeps requests from a replica. `failure`: of its last probe, empty if that was good or none was made.
std::string why(const routing::deployment::replica_state& one, const std::string& failure) {
    if (!one.resolved) return "its name does not resolve, or not yet";
    switch (one.standing) {
    case routing::standing::ready: break;
    case routing::standing::starting: return "no probe has succeeded yet" + (failure.empty() ? "" : ": " + failure);
    case routing::standing::unready: return "its probes fail" + (failure.empty() ? "" : ": " + failure);
    case routing::standing::ejected: return "requests to it failed in a row";
    case routing::standing::half_open: return "requests to it failed in a row; one at a time tries it";
    }
    return {};
}

} // namespace

std::vector<std::string> process::scoring_uris() const {
    const auto& settings = reloader_.running();
    std::vector<std::string> uris;
    for (const auto& service : settings.services) {
        const auto path = "/api/v1/service/" + service.name + "/score";
        if (!settings.certificates.empty()) {
            uris.push_back(http::https_location(settings.certificates.front().cname,
                                                settings.listen_on.public_https_port, path, ""));
            continue;
        }
        for (const auto& each : entries_)
            if (each.through == proxy::entrance::http) uris.push_back("http://" + each.socket.address + path);
    }
    return uris;
}

std::string process::metrics_text() const {
    const auto counts = assembly_.counts();
    std::vector<const telemetry::service_metrics*> services{unmatched_.get()};
    std::vector<telemetry::deployment_load> loads;
    std::map<std::pair<std::string_view, std::string_view>, unsigned> traffic;
    for (const auto& service : reloader_.running().services)
        for (const auto& each : service.deployments) traffic[{service.name, each.name}] = each.traffic;
    for (const auto& each : counts) {
        services.push_back(each.metrics.get());
        if (!each.replicas) continue;
        const auto state = each.replicas->look();
        auto& load = loads.emplace_back(
            telemetry::deployment_load{each.metrics.get(), state.queued, state.leaving, state.slots,
                                       traffic[{each.metrics->service(), each.metrics->deployment()}]});
        for (const auto& replica : state.replicas) {
            load.busy += replica.in_flight;
            load.replicas.push_back({replica.url, replica.usable()});
        }
    }
    std::vector<const telemetry::core_metrics*> cores;
    for (const auto& each : cores_) cores.push_back(&each->metrics);
    std::vector<std::chrono::nanoseconds> core_cpu;
    for (const auto& each : thread_clocks_) core_cpu.push_back(each.spent());
    std::vector<telemetry::certificate_expiry> certificates;
    std::set<std::pair<std::string, std::string>> listed; // a series must not be there twice
    for (const auto& each : tls_.pairs())
        if (each->value && listed.emplace(each->files.cname, each->value->serial()).second)
            certificates.push_back({each->files.cname, each->value->serial(),
                                    std::chrono::floor<std::chrono::seconds>(each->value->not_after()),
                                    std::chrono::floor<std::chrono::seconds>(each->value->not_before())});
    std::vector<telemetry::reload_counts> reloads;
    for (const auto* unit : reload_units())
        reloads.push_back({unit->name(), unit->past().succeeded, unit->past().failed, unit->past().last_succeeded});

    telemetry::observations seen;
    seen.version = SCOREGATE_VERSION;
    seen.services = services;
    seen.loads = loads;
    seen.cores = cores;
    seen.core_cpu = core_cpu;
    seen.certificates = certificates;
    seen.reloads = reloads;
    if (access_log_) {
        seen.access_log_dropped = access_log_->dropped();
        seen.access_log_write_errors = access_log_->write_errors();
        seen.access_log_left_out = access_log_->left_out();
    }
    if (traces_) {
        seen.traces_exported = traces_->exported();
        seen.traces_dropped = traces_->dropped();
    }
    if (acme_orders_) seen.acme = telemetry::acme_counts{acme_orders_->succeeded(), acme_orders_->failed()};
    seen.short_of_memory = memory_.is_short();
    seen.short_of_descriptors = short_of_descriptors_;
    seen.process = telemetry::read_process_usage();
    return telemetry::prometheus_text(seen);
}

json process::status() const {
    const auto& settings = reloader_.running();
    const auto failures = prober_.failures();
    json status;
    status["version"] = SCOREGATE_VERSION;
    status["started_at"] = to_text(started_at_);
    status["uptime_s"] =
        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - started_at_).count();
    status["ready"] = is_ready();
    status["draining"] = stage_ == stage::grace || stage_ == stage::draining;
    status["workers"] = core_count_;
    status["log_level"] = telemetry::log_level();
    std::size_t connections = 0;
    for (const auto& core : cores_) connections += core->open_connections();
    status["connections"] = {{"open", connections}, {"most", dealing_.most_connections}};
    const auto most = most_memory();
    status["overload"] = {{"memory", memory_.is_short()},
                          {"descriptors", short_of_descriptors_},
                          {"resident_bytes", telemetry::resident_bytes()},
                          {"most_memory_bytes", most ? json(*most) : json()}};
    status["certificates"] = json::array();
    for (const auto& each : tls_.pairs())
        if (each->value) status["certificates"].push_back(describe(*each->value, each->files.cname));
    if (acme_orders_) status["acme"] = acme_orders_->status();
    status["scoring_uris"] = scoring_uris();
    for (const auto& service : settings.services) {
        for (const auto& each : service.deployments) {
            auto& deployment = status["services"][service.name]["deployments"][each.name];
            const auto state = assembly_.state_of(service.name, each.name);
            deployment["traffic"] = each.traffic;
            deployment["queued"] = state.queued;
            deployment["slots"] = state.slots ? json(*state.slots) : json();
            deployment["replicas"] = json::array();
            for (const auto& one : state.replicas) {
                const auto failed = failures.find({service.name, each.name, one.url});
                auto& replica = deployment["replicas"].emplace_back(json{{"url", one.url},
                                                                         {"ready", one.usable()},
                                                                         {"standing", routing::to_string(one.standing)},
                                                                         {"since", to_text(one.since)},
                                                                         {"in_flight", one.in_flight}});
                auto reason = why(one, failed == failures.end() ? std::string() : failed->second);
                if (!reason.empty()) replica["why"] = std::move(reason);
            }
        }
    }
    for (const auto* unit : reload_units()) status["reloads"][unit->name()] = describe(unit->past());
    return status;
}

// Messages may quote bytes of a broken file that are not UTF-8.
std::string process::status_text() const { return status().dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

std::string process::history_text(std::uint64_t since) const {
    auto history = recorder_.report(since);
    history["started_at"] = to_text(started_at_);
    history["health"] = control::to_json(control::findings_of(status(), history));
    return history.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// Each core's go the way of all that crosses threads: posted, by value.
void process::gather_errors() {
    for (auto& core : cores_)
        core->post([this, &core = *core] {
            auto taken = core.errors.take();
            if (taken.empty()) return;
            base::asio::post(where(), [this, some = std::move(taken)] { recorder_.add(some); });
        });
}

// Who still asks here after a hand-over asks about the address, and there the successor is ready.
bool process::is_ready() const { return (stage_ == stage::serving && !tls_.awaits_issue()) || followed_; }

std::string process::unready_because() const { return tls_.awaits_issue() ? "no certificate has been issued yet" : ""; }

control::admin_operations process::operations() {
    return {[this] { return is_ready(); },
            [this] { return metrics_text(); },
            [this] { return status_text(); },
            [this] { return reload(); },
            [this] { ask_to_drain(); },
            [this] { return keys_.admin_token(); },
            [this](std::uint64_t since) { return history_text(since); },
            [this] { return unready_because(); }};
}

std::vector<const control::reload_unit*> process::reload_units() const {
    std::vector<const control::reload_unit*> units{&reloader_.unit()};
    for (const auto& each : tls_.pairs()) units.push_back(&each->unit);
    for (const auto& [service, each] : keys_.units()) units.push_back(&each->unit);
    for (const auto* each : {&tls_.tickets(), &tls_.clients()})
        if (*each) units.push_back(&**each);
    return units;
}

} // namespace scoregate::app
