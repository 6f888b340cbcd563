#include "control/recorder.hpp"

#include "control/time_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace scoregate::control {

namespace {

using nlohmann::json;

// Three decimals are enough for who reads it, and keep the answer small.
double rounded(double value) { return std::round(value * 1000) / 1000; }

json milliseconds(const std::optional<std::chrono::nanoseconds>& took) {
    return took ? json(rounded(std::chrono::duration<double, std::milli>(*took).count())) : json();
}

json ratio(std::uint64_t part, std::uint64_t all) {
    return all == 0 ? json() : json(rounded(std::min(1.0, static_cast<double>(part) / static_cast<double>(all))));
}

json describe(const telemetry::history::summary& of) {
    return {{"seconds", rounded(of.length.count())},
            {"requests", of.requests},
            {"rate", rounded(of.rate())},
            {"errors", of.errors},
            {"error_ratio", ratio(of.errors, of.requests)},
            {"client_errors", of.client_errors},
            {"client_error_ratio", ratio(of.client_errors, of.requests)},
            {"p50_ms", milliseconds(of.p50)},
            {"p99_ms", milliseconds(of.p99)},
            {"queued", of.queued},
            {"in_flight", of.in_flight}};
}

json series(const telemetry::history::samples& of, std::size_t count) {
    json made = json::object();
    for (const auto* name : {"requests", "errors", "client_errors", "p50_ms", "p99_ms", "queued", "in_flight"})
        made[name] = json::array();
    for (auto i = of.size() - std::min(count, of.size()); i < of.size(); ++i) {
        const auto& each = of[i];
        telemetry::histogram::reading durations;
        each.add_to(durations);
        made["requests"].push_back(each.requests);
        made["errors"].push_back(each.errors);
        made["client_errors"].push_back(each.client_errors);
        made["p50_ms"].push_back(milliseconds(quantile(durations, telemetry::request_bounds, 0.5)));
        made["p99_ms"].push_back(milliseconds(quantile(durations, telemetry::request_bounds, 0.99)));
        made["queued"].push_back(each.queued);
        made["in_flight"].push_back(each.in_flight);
    }
    return made;
}

json describe(const telemetry::failed_request& of) {
    const bool is_models = of.fault == base::fault::none;
    return {{"at", to_text(of.at)},
            {"token", is_models ? std::string_view() : base::token(of.fault)},
            {"side", base::to_string(is_models ? base::side::replica : base::row(of.fault).blame)},
            {"status", of.status},
            {"service", of.service.view()},
            {"deployment", of.deployment.view()},
            {"replica", of.replica.view()},
            {"request_id", of.request_id.view()}};
}

} // namespace

recorder::recorder(base::executor where, const assembly& of, const telemetry::service_metrics& unmatched,
                   std::function<void()> gather)
    : assembly_(of),
      unmatched_(unmatched),
      gather_(std::move(gather)),
      pause_(where),
      history_(std::chrono::steady_clock::now()) {}

base::task<> recorder::run() {
    auto next = std::chrono::steady_clock::now();
    for (auto next_look = next + telemetry::history::interval;;) {
        // What a pause of the whole machine has missed is not made up for.
        next = std::max(next + between_errors, std::chrono::steady_clock::now());
        pause_.expires_at(next);
        const auto [ec] = co_await pause_.async_wait(base::awaited);
        if (ec) co_return;
        gather_();
        const auto now = std::chrono::steady_clock::now();
        if (now < next_look) continue;
        look(now);
        next_look = std::max(next_look + telemetry::history::interval, now);
    }
}

void recorder::look(time_point now) {
    const auto counts = assembly_.counts();
    std::vector<telemetry::history::source> sources;
    sources.push_back({&unmatched_, 0});
    for (const auto& each : counts)
        sources.push_back({each.metrics.get(), each.replicas ? each.replicas->waiting() : 0});
    history_.observe(sources, now);
}

json recorder::report(std::uint64_t since) const {
    const auto turn = history_.turn();
    const auto wanted = since < turn ? static_cast<std::size_t>(turn - since) : 0;
    const auto& lengths = history_.lengths();
    json made;
    made["at"] = to_text(std::chrono::system_clock::now());
    made["turn"] = turn;
    made["keeps"] = telemetry::history::most_samples;
    made["seconds"] = json::array();
    for (auto i = lengths.size() - std::min(wanted, lengths.size()); i < lengths.size(); ++i)
        made["seconds"].push_back(rounded(std::chrono::duration<double>(lengths[i]).count()));
    made["services"] = json::object();
    for (const auto& [name, kept] : history_.services()) {
        auto& service = made["services"][name];
        service["now"] = describe(history_.last(kept, samples_of_now));
        service["recent"] = describe(history_.last(kept, kept.size()));
        service["now"]["queued"] = kept.empty() ? 0U : kept.back().queued;
        service["samples"] = series(kept, wanted);
    }
    made["services_left_out"] = history_.left_out();
    made["errors"] = json::array();
    for (const auto& each : errors_.newest()) made["errors"].push_back(describe(each));
    return made;
}

} // namespace scoregate::control
