// Heads as they go out: the request to a replica, the reply to the client, and replies of our own. One pass into a
// buffer that already has a block; nothing is allocated. Ambiguity was refused before (http/head), so every line
// written here is well-formed and carries exactly one framing.
#pragma once

#include "base/buffer.hpp"
#include "http/body.hpp"
#include "http/head.hpp"
#include "http/identifiers.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace scoregate::http {

struct request_identity {
    guid id;
    client_id client; // empty if the client gave none
    trace_parent trace;
};

// What is ours to say about where a request came from.
struct forwarded {
    std::string_view addresses;     // the client's, then those of the proxies after it
    std::string_view proto;         // "http" or "https"
    std::string_view host;          // as the client sent it
    bool authorization = false;     // whether its Authorization is passed on
    std::string_view certificate{}; // the client's that was verified, as X-Forwarded-Client-Cert has it; empty: none
};

// The path at the replica: what the route maps to, and the rest of the client's path beneath a subtree.
struct replica_target {
    replica_target(std::string_view mapped, std::string_view rest_of_path = {}) : path(mapped), rest(rest_of_path) {}
    std::string_view path, rest;
};

// What a head grows by at most, in bytes: names, ids, timings, numbers and a client's certificate (1 KiB at most) that
// are added, together.
inline constexpr std::size_t room_for_ours = 2048;
// Room in bytes that write_request_head may need.
std::size_t room_for(const request_head&, const replica_target&, std::string_view host);
// The request as the replica gets it. `host` is the Host field to send.
void write_request_head(base::buffer& out, const request_head&, const replica_target&, std::string_view host,
                        const forwarded&, const request_identity&);

// Milliseconds in Server-Timing (https://www.w3.org/TR/server-timing/).
struct timings {
    std::chrono::nanoseconds queue{0}, connect{0}, model{0};
};

// How a reply's body is delimited towards the client, and whether the connection lives on.
struct reply_framing {
    body_framing body;
    bool close = false;
    bool announce_keep_alive = false; // an HTTP/1.0 client that asked for it
};

// What is told of a reply beside its status.
struct reply_marks {
    std::string_view fault_token{};    // model_error, where the status was changed
    bool model_status = false;         // then tell the model's own, as managed endpoints do
    bool cors = false;                 // it is ours to say who may read it: the replica's own word on it is dropped
    std::string_view allowed_origin{}; // Access-Control-Allow-Origin
    // Strict-Transport-Security as a line, or nothing; null: the replica's own passes.
    std::optional<std::string_view> transport_security{};
};

std::size_t room_for(const response_head&);
// Access-Control-Allow-Origin and what belongs to it (https://fetch.spec.whatwg.org/#http-responses), as lines. Empty:
// only that another origin would get another answer, which no cache may mix up.
std::string cors_lines(std::string_view allowed_origin);
// Strict-Transport-Security (RFC 6797 6.1) as a line.
std::string transport_security_line(std::chrono::seconds max_age, bool include_subdomains, bool preload);
// The replica's reply as the client gets it, under `status` (ours where the fault table changes it). `date` is the Date
// to add where the replica sent none (RFC 9110 6.6.1), `deployment` goes into azureml-model-deployment.
void write_reply_head(base::buffer& out, const response_head&, unsigned status, const reply_marks&,
                      const reply_framing&, std::string_view deployment, std::string_view date, const timings&,
                      const request_identity&);
// A 1xx of the replica (RFC 9110 15.2).
void write_interim_head(base::buffer& out, const response_head&);

std::string_view reason_phrase(unsigned status);

} // namespace scoregate::http
