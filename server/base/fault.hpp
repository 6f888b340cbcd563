// Every way a request can fail, and the one table that says what each means to the client, the log and the metrics.
// A fault without a row does not compile. Plain constants; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace scoregate::base {

enum class fault : std::uint8_t {
    none,
    bad_request,
    header_too_large,
    uri_too_long,
    body_too_large,
    client_timeout,
    auth_missing,
    auth_malformed,
    auth_wrong,
    auth_expired,
    forbidden,
    https_required,
    no_route,
    no_deployment,
    method_not_allowed,
    rate_limited,
    queue_full,
    queue_timeout,
    no_ready_replica,
    connect_failed,
    connect_timeout,
    replica_closed,
    replica_bad_response,
    replica_stalled,
    request_timeout,
    total_timeout,
    model_error,
    overloaded,
    draining,
    internal_error,
    client_gone,
    stream_idle_timeout,
    stream_broken,
};
inline constexpr std::size_t fault_count = static_cast<std::size_t>(fault::stream_broken) + 1;

// What the client sees of a failing model or replica: the statuses of AKS, of managed endpoints, or the model's own.
enum class error_mapping : std::uint8_t { aks, managed, passthrough };

// Whose doing it was. Stable words in replies and logs.
enum class side : std::uint8_t { none, client, replica, proxy };

struct fault_row {
    fault kind;
    std::string_view token; // stable name in replies, logs, metrics
    std::uint16_t status;   // what the client gets; 499 (nobody left to tell) and 0 (after the head) are log-only
    std::uint16_t managed;  // the same with error_mapping managed
    side blame;
    std::string_view message; // {service}, {limit} and {detail} are replaced when the reply is written
};

// Order of the enum; the check below makes a missing or misplaced row a compile error.
inline constexpr std::array<fault_row, fault_count> fault_table{{
    {fault::none, "", 200, 200, side::none, ""},
    {fault::bad_request, "bad_request", 400, 400, side::client, "{detail}"},
    {fault::header_too_large, "header_too_large", 431, 431, side::client,
     "The request head is over the limit: {detail} {limit}"},
    {fault::uri_too_long, "uri_too_long", 414, 414, side::client,
     "The request line does not fit limits.max_header_bytes of {limit} bytes"},
    {fault::body_too_large, "body_too_large", 413, 413, side::client,
     "The request body is over limits.max_request_bytes of {limit} bytes"},
    {fault::client_timeout, "client_timeout", 408, 408, side::client, "The request came too slowly: {detail}"},
    {fault::auth_missing, "auth_missing", 401, 401, side::client,
     "Service {service} needs a key or token: send it as Authorization: Bearer KEY"},
    {fault::auth_malformed, "auth_malformed", 401, 401, side::client,
     "The Authorization field is not of the form Bearer KEY, once"},
    {fault::auth_wrong, "auth_wrong", 401, 401, side::client, "The key or token is not one of service {service}"},
    {fault::auth_expired, "auth_expired", 401, 401, side::client, "The token has expired: get a new one"},
    {fault::forbidden, "forbidden", 403, 403, side::client, "{detail}"},
    {fault::https_required, "https_required", 403, 403, side::client, "This service is served over HTTPS only"},
    {fault::no_route, "no_route", 404, 404, side::client,
     "No route found or no valid deployments to route to, please check the path: {detail}"},
    {fault::no_deployment, "no_deployment", 404, 404, side::client,
     "No route found or no valid deployments to route to, please check that {detail}"},
    {fault::method_not_allowed, "method_not_allowed", 405, 405, side::client, "The route takes {detail}"},
    {fault::rate_limited, "rate_limited", 429, 429, side::client,
     "Too many requests for service {service} from this caller: its rate_limit is reached"},
    {fault::queue_full, "queue_full", 503, 429, side::proxy, "Too many requests for service {service} (overloaded)"},
    {fault::queue_timeout, "queue_timeout", 503, 429, side::proxy,
     "Too many requests for service {service} (overloaded): no slot was free within max_queue_wait_ms"},
    {fault::no_ready_replica, "no_ready_replica", 503, 503, side::replica, "No ready replicas for service {service}"},
    {fault::connect_failed, "connect_failed", 502, 502, side::replica,
     "The connection to a replica of service {service} was refused or failed"},
    {fault::connect_timeout, "connect_timeout", 504, 504, side::replica,
     "No replica of service {service} took the connection within timeouts.connect_ms"},
    {fault::replica_closed, "replica_closed", 502, 424, side::replica, "Replica closed connection before replying"},
    {fault::replica_bad_response, "replica_bad_response", 502, 424, side::replica,
     "The replica's reply is not well-formed HTTP: {detail}"},
    {fault::replica_stalled, "replica_stalled", 504, 408, side::replica,
     "The replica stopped reading the request for longer than request_timeout_ms"},
    {fault::request_timeout, "request_timeout", 504, 408, side::replica,
     "The replica did not begin its reply within request_timeout_ms"},
    {fault::total_timeout, "total_timeout", 504, 408, side::replica, "The request took longer than total_timeout_ms"},
    {fault::model_error, "model_error", 502, 424, side::replica, "The model answered with an error"},
    {fault::overloaded, "overloaded", 503, 503, side::proxy, "This front-end is overloaded: {detail}"},
    {fault::draining, "draining", 503, 503, side::proxy, "This front-end is shutting down"},
    {fault::internal_error, "internal_error", 500, 500, side::proxy, "An internal invariant broke; see the log"},
    {fault::client_gone, "client_gone", 499, 499, side::client, "The client closed its connection"},
    {fault::stream_idle_timeout, "stream_idle_timeout", 0, 0, side::replica,
     "The reply paused for longer than timeouts.stream_idle_ms"},
    {fault::stream_broken, "stream_broken", 0, 0, side::replica, "The replica closed before its reply was whole"},
}};

constexpr const fault_row& row(fault kind) { return fault_table[static_cast<std::size_t>(kind)]; }
constexpr unsigned status(fault kind, error_mapping how) {
    return how == error_mapping::managed ? row(kind).managed : row(kind).status;
}
constexpr std::string_view token(fault kind) { return row(kind).token; }

constexpr std::string_view to_string(side who) {
    constexpr std::array<std::string_view, 4> words{"", "client", "replica", "proxy"};
    return words[static_cast<std::size_t>(who)];
}

static_assert([] {
    for (std::size_t i = 0; i < fault_count; ++i)
        if (static_cast<std::size_t>(fault_table[i].kind) != i || (i != 0 && fault_table[i].token.empty()))
            return false;
    return true;
}());

// A fault with what is known of this occurrence. `detail` is a string literal, or in the snapshot
// that the request has pinned: it needs no escaping in JSON and outlives the reply.
struct failure {
    fault kind = fault::none;
    const char* detail = "";
    std::uint64_t limit = 0;
    unsigned retry_after = 0; // seconds until another try may succeed; 0: not known
};

} // namespace scoregate::base
