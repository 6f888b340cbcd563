#include "telemetry/registry.hpp"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <map>
#include <string_view>
#include <utility>

namespace scoregate::telemetry {
namespace {

using std::chrono::nanoseconds;

struct label {
    std::string_view name;
    std::string_view value;
};
using labels = std::initializer_list<label>;

template <class Integer>
std::string to_text(Integer value) {
    char digits[24];
    return {digits, std::to_chars(std::begin(digits), std::end(digits), value).ptr};
}

// Exactly, without the detour over double: 2500 us is "0.0025".
std::string to_seconds(nanoseconds duration) {
    auto text = to_text(duration.count() / 1'000'000'000);
    auto fraction = to_text(1'000'000'000 + duration.count() % 1'000'000'000);
    fraction.front() = '.';
    fraction.erase(fraction.find_last_not_of('0') + 1);
    if (fraction != ".") text += fraction;
    return text;
}

class page {
public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        append({"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"});
    }

    void sample(labels with, std::string_view value, std::string_view suffix = {}) {
        append({name_, suffix});
        char separator = '{';
        for (const auto& [name, text] : with) {
            out_ += std::exchange(separator, ',');
            append({name, "=\""});
            escape(text);
            out_ += '"';
        }
        append({with.size() ? "} " : " ", value, "\n"});
    }

    std::string take() { return std::move(out_); }

private:
    void append(std::initializer_list<std::string_view> parts) {
        for (const auto part : parts) out_ += part;
    }

    void escape(std::string_view text) {
        for (const char c : text) {
            if (c == '\n') {
                out_ += "\\n";
                continue;
            }
            if (c == '\\' || c == '"') out_ += '\\';
            out_ += c;
        }
    }

    std::string out_;
    std::string_view name_;
};

using slot = service_metrics::per_core;

void requests(page& out, const observations& seen) {
    out.family("scoregate_requests_total", "counter",
               "Finished requests by final status code; fault is empty unless scoregate gave up on the request.");
    for (const auto* of : seen.services) {
        std::map<std::pair<base::fault, std::uint16_t>, std::uint64_t> sums;
        for (const auto& core : of->cores())
            core.requests.for_each([&](base::fault fault, std::uint16_t status, std::uint64_t count) {
                sums[{fault, status}] += count;
            });
        for (const auto& [pair, count] : sums)
            out.sample({{"service", of->service()},
                        {"deployment", of->deployment()},
                        {"code", to_text(pair.second)},
                        {"fault", base::token(pair.first)}},
                       to_text(count));
    }
}

// What scoregate's own limits refused, from the same counts.
void rejected(page& out, const observations& seen) {
    using base::fault;
    out.family("scoregate_rejected_total", "counter", "Requests refused by scoregate's own limits.");
    for (const auto* of : seen.services)
        for (const auto kind : {fault::rate_limited, fault::queue_full, fault::queue_timeout, fault::overloaded}) {
            std::uint64_t sum = 0;
            for (const auto& core : of->cores())
                core.requests.for_each([&](fault each, std::uint16_t, std::uint64_t count) {
                    if (each == kind) sum += count;
                });
            if (sum != 0)
                out.sample({{"service", of->service()}, {"deployment", of->deployment()}, {"fault", base::token(kind)}},
                           to_text(sum));
        }
}

// From the same counts, and there from the start: a rate over it misses no first failure. A 5xx that a model has given
// itself is no fault, but its replica is what to look at.
void errors(page& out, const observations& seen) {
    using base::side;
    out.family("scoregate_errors_total", "counter", "Requests that failed, by whose doing it was.");
    for (const auto* of : seen.services) {
        std::uint64_t client = 0, replica = 0, proxy = 0;
        for (const auto& core : of->cores())
            core.requests.for_each([&](base::fault fault, std::uint16_t status, std::uint64_t count) {
                const auto blame = base::row(fault).blame;
                if (blame == side::client) client += count;
                if (blame == side::replica || (blame == side::none && status >= 500)) replica += count;
                if (blame == side::proxy) proxy += count;
            });
        for (const auto& [who, sum] :
             {std::pair{side::client, client}, std::pair{side::replica, replica}, std::pair{side::proxy, proxy}})
            out.sample({{"service", of->service()}, {"deployment", of->deployment()}, {"side", base::to_string(who)}},
                       to_text(sum));
    }
}

void durations(page& out, const observations& seen, histogram slot::*which, std::string_view name,
               std::string_view help) {
    out.family(name, "histogram", help);
    for (const auto* of : seen.services) {
        histogram::reading sum;
        for (const auto& core : of->cores()) (core.*which).add_to(sum);
        const auto& bounds = (of->cores().front().*which).bounds();
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < sum.counts.size(); ++i) {
            total += sum.counts[i];
            out.sample({{"service", of->service()},
                        {"deployment", of->deployment()},
                        {"le", i < bounds.size() ? to_seconds(bounds[i]) : "+Inf"}},
                       to_text(total), "_bucket");
        }
        const labels of_service{{"service", of->service()}, {"deployment", of->deployment()}};
        out.sample(of_service, to_seconds(sum.sum), "_sum");
        out.sample(of_service, to_text(total), "_count");
    }
}

template <class Number>
void per_service(page& out, const observations& seen, Number slot::*which, std::string_view name, std::string_view type,
                 std::string_view help) {
    out.family(name, type, help);
    for (const auto* of : seen.services) {
        decltype((of->cores().front().*which).value()) sum = 0;
        for (const auto& core : of->cores()) sum += (core.*which).value();
        out.sample({{"service", of->service()}, {"deployment", of->deployment()}}, to_text(sum));
    }
}

template <class Number>
auto over_cores(const observations& seen, Number core_metrics::*which) {
    decltype((std::declval<core_metrics>().*which).value()) sum = 0;
    for (const auto* core : seen.cores) sum += (core->*which).value();
    return sum;
}

void services(page& out, const observations& seen) {
    requests(out, seen);
    rejected(out, seen);
    errors(out, seen);
    durations(out, seen, &slot::request_duration, "scoregate_request_duration_seconds",
              "First byte of a request to the last byte of its reply.");
    durations(out, seen, &slot::time_to_first_byte, "scoregate_time_to_first_byte_seconds",
              "Request head complete to the first byte of the reply written.");
    durations(out, seen, &slot::overhead, "scoregate_overhead_seconds",
              "Time scoregate itself adds: neither the client, the queue nor the model.");
    durations(out, seen, &slot::queue_wait, "scoregate_queue_wait_seconds",
              "Wait for a slot, of the requests that had to wait.");
    per_service(out, seen, &slot::abandoned, "scoregate_abandoned_total", "counter",
                "Requests that a replica was left to finish for nobody.");
    per_service(out, seen, &slot::abandon_expired, "scoregate_abandon_expired_total", "counter",
                "Abandoned requests that took longer than abandon_max_ms.");
    per_service(out, seen, &slot::in_flight, "scoregate_in_flight", "gauge", "Requests being served now.");
    per_service(out, seen, &slot::client_gone, "scoregate_client_gone_total", "counter",
                "Requests whose client went away before its reply was whole.");
    per_service(out, seen, &slot::replica_connects, "scoregate_replica_connects_total", "counter",
                "Connections opened to replicas.");
    per_service(out, seen, &slot::bytes_in, "scoregate_request_bytes_total", "counter",
                "Bytes of requests read from clients, heads included, TLS not.");
    per_service(out, seen, &slot::bytes_out, "scoregate_reply_bytes_total", "counter",
                "Bytes of replies written to clients, heads included, TLS not.");
}

void mirrored(page& out, const observations& seen) {
    out.family("scoregate_mirrored_total", "counter", "Requests that were to be copied to a deployment, by result.");
    for (const auto* of : seen.services) {
        if (of->deployment().empty()) continue;
        std::array<std::uint64_t, mirror_results.size()> sums{};
        for (const auto& core : of->cores())
            for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += core.mirrored[i].value();
        if (std::ranges::all_of(sums, [](auto sum) { return sum == 0; })) continue; // few deployments get copies
        for (std::size_t i = 0; i < sums.size(); ++i)
            out.sample({{"service", of->service()}, {"deployment", of->deployment()}, {"result", mirror_results[i]}},
                       to_text(sums[i]));
    }
}

void retries(page& out, const observations& seen) {
    out.family("scoregate_retries_total", "counter", "Further tries of requests, by reason.");
    for (const auto* of : seen.services) {
        if (of->deployment().empty()) continue;
        for (std::size_t i = 0; i < retry_reasons.size(); ++i) {
            std::uint64_t sum = 0;
            for (const auto& core : of->cores()) sum += core.retries[i].value();
            out.sample({{"service", of->service()}, {"deployment", of->deployment()}, {"reason", retry_reasons[i]}},
                       to_text(sum));
        }
    }
}

// Counted before a deployment is chosen.
void authentication(page& out, const observations& seen) {
    out.family("scoregate_auth_total", "counter",
               "Requests let in by a key or token; a key that nobody uses can be replaced.");
    for (const auto* of : seen.services) {
        if (of->service().empty() || !of->deployment().empty()) continue;
        std::uint64_t primary = 0, secondary = 0, token = 0;
        for (const auto& core : of->cores()) {
            primary += core.auth_primary.value();
            secondary += core.auth_secondary.value();
            token += core.auth_token.value();
        }
        out.sample({{"service", of->service()}, {"key", "primary"}}, to_text(primary));
        out.sample({{"service", of->service()}, {"key", "secondary"}}, to_text(secondary));
        out.sample({{"service", of->service()}, {"key", "aml_token"}}, to_text(token));
    }
}

// Three decimals: a ratio.
std::string to_ratio(std::uint64_t part, std::uint64_t whole) {
    const auto thousandths = whole == 0 ? 0 : (part * 1000 + whole / 2) / whole;
    auto fraction = to_text(1000 + thousandths % 1000);
    fraction.front() = '.';
    return to_text(thousandths / 1000) + fraction;
}

void loads(page& out, const observations& seen) {
    const auto each = [&](std::string_view name, std::string_view help, auto value) {
        out.family(name, "gauge", help);
        for (const auto& load : seen.loads)
            if (const std::string text = value(load); !text.empty())
                out.sample({{"service", load.of->service()}, {"deployment", load.of->deployment()}}, text);
    };
    each("scoregate_queue_depth", "Requests that wait for a slot now.",
         [](const deployment_load& load) { return to_text(load.queued); });
    each("scoregate_busy_slots", "Slots taken now, also by requests whose client has gone.",
         [](const deployment_load& load) { return to_text(load.busy); });
    each("scoregate_slots", "Requests that the reachable replicas take at once; absent without a cap.",
         [](const deployment_load& load) { return load.slots ? to_text(*load.slots) : std::string(); });
    each("scoregate_traffic_ratio", "Part of its service's requests that the deployment gets.",
         [](const deployment_load& load) { return to_ratio(load.traffic, 100); });
    each("scoregate_utilization_ratio", "(busy + queued) / slots; absent without a cap.",
         [](const deployment_load& load) {
             return load.slots ? to_ratio(load.busy + load.queued, *load.slots) : std::string();
         });
}

void health(page& out, const observations& seen) {
    out.family("scoregate_replica_healthy", "gauge", "1 if the replica may be used now, else 0.");
    for (const auto& load : seen.loads)
        for (const auto& each : load.replicas)
            out.sample({{"service", load.of->service()}, {"deployment", load.of->deployment()}, {"replica", each.url}},
                       each.healthy ? "1" : "0");
    out.family("scoregate_replica_ejections_total", "counter",
               "Times that a replica was ejected because requests to it failed in a row.");
    for (const auto& load : seen.loads)
        out.sample({{"service", load.of->service()}, {"deployment", load.of->deployment()}},
                   to_text(load.of->health.ejections.value()));
    out.family("scoregate_probes_total", "counter", "Probes of replicas that were due, by result.");
    for (const auto& load : seen.loads) {
        const auto& probes = load.of->health.probes;
        if (std::ranges::all_of(probes, [](const auto& each) { return each.value() == 0; })) continue;
        for (std::size_t i = 0; i < probes.size(); ++i)
            out.sample(
                {{"service", load.of->service()}, {"deployment", load.of->deployment()}, {"result", probe_results[i]}},
                to_text(probes[i].value()));
    }
}

void connections(page& out, const observations& seen) {
    out.family("scoregate_connections", "gauge", "Client connections open now.");
    out.sample({}, to_text(over_cores(seen, &core_metrics::connections)));
    out.family("scoregate_connections_accepted_total", "counter", "Client connections accepted.");
    out.sample({}, to_text(over_cores(seen, &core_metrics::connections_accepted)));
    out.family("scoregate_accept_errors_total", "counter", "Connections that could not be accepted.");
    out.sample({}, to_text(over_cores(seen, &core_metrics::accept_errors)));

    const auto by_reason = [&](const auto& reasons, auto which) {
        for (std::size_t i = 0; i < reasons.size(); ++i) {
            std::uint64_t sum = 0;
            for (const auto* core : seen.cores) sum += (core->*which)[i].value();
            out.sample({{"reason", reasons[i]}}, to_text(sum));
        }
    };
    out.family("scoregate_connections_refused_total", "counter", "New client connections closed at once, by reason.");
    by_reason(refusals, &core_metrics::refused);
    out.family("scoregate_connections_evicted_total", "counter",
               "Client connections that waited and had to make way for others, by reason.");
    by_reason(evictions, &core_metrics::evicted);
    out.family("scoregate_overload_state", "gauge", "1 while new connections are refused for want of it, else 0.");
    out.sample({{"resource", "descriptors"}}, seen.short_of_descriptors ? "1" : "0");
    out.sample({{"resource", "memory"}}, seen.short_of_memory ? "1" : "0");

    out.family("scoregate_tls_handshakes_total", "counter", "TLS handshakes finished.");
    out.sample({{"resumed", "false"}}, to_text(over_cores(seen, &core_metrics::handshakes_full)));
    out.sample({{"resumed", "true"}}, to_text(over_cores(seen, &core_metrics::handshakes_resumed)));
    out.family("scoregate_tls_handshake_failures_total", "counter", "TLS handshakes that did not finish.");
    for (std::size_t i = 0; i < handshake_failure_count; ++i) {
        std::uint64_t sum = 0;
        for (const auto* core : seen.cores) sum += core->handshake_failures[i].value();
        out.sample({{"reason", to_string(static_cast<handshake_failure>(i))}}, to_text(sum));
    }
    out.family("scoregate_certificate_not_after_timestamp_seconds", "gauge",
               "When the certificate in use expires, in seconds since the Unix epoch.");
    for (const auto& each : seen.certificates)
        out.sample({{"cname", each.cname}, {"serial", each.serial}},
                   to_text(each.not_after.time_since_epoch().count()));
    out.family("scoregate_certificate_not_before_timestamp_seconds", "gauge",
               "When the certificate in use became valid, in seconds since the Unix epoch.");
    for (const auto& each : seen.certificates)
        out.sample({{"cname", each.cname}, {"serial", each.serial}},
                   to_text(each.not_before.time_since_epoch().count()));
}

void reloads(page& out, const observations& seen) {
    out.family("scoregate_reloads_total", "counter", "Reloads of each unit.");
    for (const auto& each : seen.reloads) {
        out.sample({{"unit", each.unit}, {"result", "success"}}, to_text(each.succeeded));
        out.sample({{"unit", each.unit}, {"result", "failure"}}, to_text(each.failed));
    }
    out.family("scoregate_last_reload_successful", "gauge", "1 if the last reload of the unit succeeded, else 0.");
    for (const auto& each : seen.reloads) out.sample({{"unit", each.unit}}, each.last_succeeded ? "1" : "0");
    out.family("scoregate_config_last_reload_successful", "gauge", "1 if the last reload of every unit succeeded.");
    out.sample({}, std::ranges::all_of(seen.reloads, &reload_counts::last_succeeded) ? "1" : "0");
}

void acme(page& out, const observations& seen) {
    out.family("scoregate_acme_orders_total", "counter", "Orders of certificates from the provider of acme.");
    if (!seen.acme) return;
    out.sample({{"result", "success"}}, to_text(seen.acme->succeeded));
    out.sample({{"result", "failure"}}, to_text(seen.acme->failed));
}

void process(page& out, const observations& seen) {
    out.family("scoregate_build_info", "gauge", "Always 1; the version is the label.");
    out.sample({{"version", seen.version}}, "1");
    out.family("scoregate_access_log_dropped_total", "counter",
               "Access log lines lost because the output did not keep up or failed.");
    out.sample({}, to_text(seen.access_log_dropped));
    out.family("scoregate_access_log_write_errors_total", "counter", "Failed writes to the access log.");
    out.sample({}, to_text(seen.access_log_write_errors));
    out.family("scoregate_access_log_left_out_total", "counter",
               "Requests without a line in the access log because it samples successes.");
    out.sample({}, to_text(seen.access_log_left_out));

    out.family("scoregate_traces_exported_total", "counter", "Traces of requests that the collector has taken.");
    out.sample({}, to_text(seen.traces_exported));
    out.family("scoregate_traces_dropped_total", "counter",
               "Traces of requests lost because the collector did not take them or not fast enough.");
    out.sample({}, to_text(seen.traces_dropped));

    out.family("scoregate_core_cpu_seconds_total", "counter", "User and system CPU time that each core has spent.");
    for (std::size_t i = 0; i < seen.core_cpu.size(); ++i)
        out.sample({{"core", to_text(i)}}, to_seconds(seen.core_cpu[i]));

    const auto& usage = seen.process;
    out.family("process_start_time_seconds", "gauge", "When the process started, in seconds since the Unix epoch.");
    out.sample({}, to_seconds(usage.start_time));
    out.family("process_cpu_seconds_total", "counter", "User and system CPU time spent.");
    out.sample({}, to_seconds(usage.cpu));
    out.family("process_resident_memory_bytes", "gauge", "Resident memory.");
    out.sample({}, to_text(usage.resident_bytes));
    out.family("process_virtual_memory_bytes", "gauge", "Virtual memory.");
    out.sample({}, to_text(usage.virtual_bytes));
    out.family("process_open_fds", "gauge", "Open file descriptors.");
    out.sample({}, to_text(usage.open_fds));
    out.family("process_max_fds", "gauge", "Most file descriptors the process may open.");
    out.sample({}, to_text(usage.max_fds));
}

} // namespace

std::string prometheus_text(const observations& seen) {
    page out;
    services(out, seen);
    mirrored(out, seen);
    retries(out, seen);
    authentication(out, seen);
    loads(out, seen);
    health(out, seen);
    connections(out, seen);
    reloads(out, seen);
    acme(out, seen);
    process(out, seen);
    return out.take();
}

} // namespace scoregate::telemetry
