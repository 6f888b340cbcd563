// Everything that is counted, as Prometheus text format 0.0.4: what GET /metrics answers. Knows names, help texts and
// escaping; where the numbers live is the caller's business. Control thread; the result is a page, built per scrape.
// Own serialiser: the format is a page of rules, and Debian 12 has no prometheus-cpp worth a dependency.
#pragma once

#include "telemetry/core_metrics.hpp"
#include "telemetry/process_usage.hpp"
#include "telemetry/service_metrics.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::telemetry {

struct certificate_expiry {
    std::string cname;  // sslCname of the pair
    std::string serial; // hexadecimal
    std::chrono::sys_seconds not_after;
    std::chrono::sys_seconds not_before{};
};

// One reload unit: "configuration" and, later, each certificate pair, key file and the like.
struct reload_counts {
    std::string unit;
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    bool last_succeeded = true; // also before the first reload
};

// Orders of certificates from a provider.
struct acme_counts {
    std::uint64_t succeeded = 0, failed = 0;
};

// How busy a deployment is now.
struct deployment_load {
    const service_metrics* of = nullptr; // names it
    std::uint64_t queued = 0;            // requests that wait for a slot
    std::uint64_t busy = 0;              // slots taken, those of abandoned requests too
    std::optional<std::uint64_t> slots;  // null: no cap
    unsigned traffic = 0;                // percent of the requests that force no deployment
    struct replica {
        std::string url;
        bool healthy = true; // may be used
    };
    std::vector<replica> replicas = {};
};

// What a scrape reads. All of it outlives the call only.
struct observations {
    std::string_view version{};
    std::span<const service_metrics* const> services{}; // each (service, deployment) once
    std::span<const deployment_load> loads{};           // each deployment once
    std::span<const core_metrics* const> cores{};
    std::span<const std::chrono::nanoseconds> core_cpu{}; // spent, by the core's index
    std::span<const certificate_expiry> certificates{};
    std::span<const reload_counts> reloads{};
    std::optional<acme_counts> acme{};                          // empty: certificates of one's own
    std::uint64_t access_log_dropped = 0;                       // lines
    std::uint64_t access_log_write_errors = 0;                  // failed writes
    std::uint64_t access_log_left_out = 0;                      // requests, by sampling
    std::uint64_t traces_exported = 0, traces_dropped = 0;      // requests
    bool short_of_memory = false, short_of_descriptors = false; // so that new connections are refused
    process_usage process{};
};

inline constexpr std::string_view prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

std::string prometheus_text(const observations&);

} // namespace scoregate::telemetry
