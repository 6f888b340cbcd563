// What the process tells of itself: metrics, status, scoring URIs. Control thread.
#include "app/process.hpp"

#include "http/reply.hpp"
#include "telemetry/process_usage.hpp"
#include "telemetry/registry.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <ctime>
#include <set>
#include <utility>

namespace scoregate::app {

namespace {

using nlohmann::json;

// RFC 3339, UTC, seconds.
std::string to_text(std::chrono::system_clock::time_point when) {
    const auto seconds = std::chrono::system_clock::to_time_t(when);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

json describe(const tls::certificate& certificate, const std::string& cname) {
    const auto left = certificate.not_after() - std::chrono::system_clock::now();
    return {{"cname", cname},
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
    for (const auto& each : counts) {
        services.push_back(each.metrics.get());
        if (!each.replicas) continue;
        const auto state = each.replicas->look();
        auto& load = loads.emplace_back(
            telemetry::deployment_load{each.metrics.get(), state.queued, state.leaving, state.slots});
        for (const auto& replica : state.replicas) {
            load.busy += replica.in_flight;
            load.replicas.push_back({replica.url, replica.usable()});
        }
    }
    std::vector<const telemetry::core_metrics*> cores;
    for (const auto& each : cores_) cores.push_back(&each->metrics);
    std::vector<telemetry::certificate_expiry> certificates;
    std::set<std::pair<std::string, std::string>> listed; // a series must not be there twice
    for (const auto& each : tls_.pairs())
        if (listed.emplace(each->files.cname, each->value->serial()).second)
            certificates.push_back({each->files.cname, each->value->serial(),
                                    std::chrono::floor<std::chrono::seconds>(each->value->not_after())});
    std::vector<telemetry::reload_counts> reloads;
    for (const auto* unit : reload_units())
        reloads.push_back({unit->name(), unit->past().succeeded, unit->past().failed, unit->past().last_succeeded});

    telemetry::observations seen;
    seen.version = SCOREGATE_VERSION;
    seen.services = services;
    seen.loads = loads;
    seen.cores = cores;
    seen.certificates = certificates;
    seen.reloads = reloads;
    if (access_log_) {
        seen.access_log_dropped = access_log_->dropped();
        seen.access_log_write_errors = access_log_->write_errors();
    }
    seen.short_of_memory = memory_.is_short();
    seen.short_of_descriptors = short_of_descriptors_;
    seen.process = telemetry::read_process_usage();
    return telemetry::prometheus_text(seen);
}

std::string process::status_text() const {
    const auto& settings = reloader_.running();
    json status;
    status["version"] = SCOREGATE_VERSION;
    status["started_at"] = to_text(started_at_);
    status["uptime_s"] =
        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - started_at_).count();
    status["ready"] = is_ready();
    status["draining"] = stage_ == stage::grace || stage_ == stage::draining;
    status["workers"] = core_count_;
    std::size_t connections = 0;
    for (const auto& core : cores_) connections += core->open_connections();
    status["connections"] = {{"open", connections}, {"most", dealing_.most_connections}};
    const auto most = most_memory();
    status["overload"] = {{"memory", memory_.is_short()},
                          {"descriptors", short_of_descriptors_},
                          {"resident_bytes", telemetry::resident_bytes()},
                          {"most_memory_bytes", most ? json(*most) : json()}};
    status["certificates"] = json::array();
    for (const auto& each : tls_.pairs()) status["certificates"].push_back(describe(*each->value, each->files.cname));
    status["scoring_uris"] = scoring_uris();
    for (const auto& service : settings.services) {
        for (const auto& each : service.deployments) {
            auto& deployment = status["services"][service.name]["deployments"][each.name];
            const auto state = assembly_.state_of(service.name, each.name);
            deployment["traffic"] = each.traffic;
            deployment["queued"] = state.queued;
            deployment["slots"] = state.slots ? json(*state.slots) : json();
            deployment["replicas"] = json::array();
            for (const auto& one : state.replicas)
                deployment["replicas"].push_back({{"url", one.url},
                                                  {"ready", one.usable()},
                                                  {"standing", routing::to_string(one.standing)},
                                                  {"in_flight", one.in_flight}});
        }
    }
    for (const auto* unit : reload_units()) status["reloads"][unit->name()] = describe(unit->past());
    // Messages may quote bytes of a broken file that are not UTF-8.
    return status.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

// Who still asks here after a hand-over asks about the address, and there the successor is ready.
bool process::is_ready() const { return stage_ == stage::serving || followed_; }

control::admin_operations process::operations() {
    return {[this] { return is_ready(); }, [this] { return metrics_text(); }, [this] { return status_text(); },
            [this] { return reload(); },   [this] { ask_to_drain(); },        [this] { return keys_.admin_token(); }};
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
