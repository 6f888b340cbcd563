// Heads of HTTP/1.1 messages (RFC 9112): found, parsed strictly and kept as spans into the bytes they stand in. What
// could be read in two ways is refused here, before anything is routed. No I/O; one object is reused for every head of
// a core.
//
// Own code instead of beast::http::basic_parser: docs/decisions/0003-own-head-parser.md has the reasons and the
// figures.
#pragma once

#include "base/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::http {

using base::fault;
using base::result;

// Fields that the front-end looks at; the others are only passed on.
enum class field_id : std::uint8_t {
    other,
    access_control, // Access-Control-*: ours to say where CORS is on
    authorization,
    azureml_model_deployment,
    connection,
    content_length,
    date,
    expect,
    hop_by_hop, // Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Upgrade
    host,
    origin,
    request_headers, // Access-Control-Request-Headers
    request_method,  // Access-Control-Request-Method
    forwarded_for,   // X-Forwarded-For, -Host, -Proto: ours to say, from what a trusted proxy has said
    forwarded_host,
    forwarded_proto,
    forwarding,  // Forwarded, other X-Forwarded-*, X-Real-IP, Client-Cert, Client-Cert-Chain, Proxy: ours alone to say
    fault_token, // X-Scoregate-Fault: ours alone to say
    request_id,  // X-Request-Id, X-MS-Request-Id: ours alone to say
    client_request_id,
    traceparent,
    tracestate,
    transfer_encoding,
    transport_security, // Strict-Transport-Security: ours to say where it is set
    user_agent,
};

// Recognises a field name, in any case.
field_id identify(std::string_view name);
bool equals_ignoring_case(std::string_view a, std::string_view b);

struct field {
    std::string_view name, value; // value without surrounding white space
    field_id id = field_id::other;
    bool as_we_write = false; // its line is "name: value" CRLF in one piece, from name.data() on
};

struct head_limits {
    std::size_t bytes = 65536; // start line and fields together
    std::size_t fields = 100;
};

// Length of the head that begins at `bytes`, its last empty line included; empty: more is needed. `scanned` remembers
// between calls how far was looked (start with 0). Refuses bare LF and heads over the limit.
result<std::optional<std::size_t>> find_head_end(std::string_view bytes, std::size_t& scanned, const head_limits&);

// The same length of body for both directions (RFC 9112 6.3).
struct body_framing {
    enum class kind : std::uint8_t { none, length, chunked, until_close } how = kind::none;
    std::uint64_t length = 0;
};

// `remove` is DELETE.
enum class method : std::uint8_t { get, head, post, put, patch, remove, options, other };

// The method of that name, which is case-sensitive (RFC 9110 9.1).
method method_of(std::string_view name);

class request_head {
public:
    // `bytes` is exactly one head as found by find_head_end and must stay where it is while this is looked at.
    result<void> parse(std::string_view bytes, const head_limits&);

    method verb = method::other;
    std::string_view method_name;
    std::string_view path;  // normalised (http/path), without query
    std::string_view query; // with its '?', empty if there is none
    int minor_version = 1;
    std::string_view host; // as sent, with port; empty only with HTTP/1.0
    std::string_view client_request_id, traceparent, forced_deployment, user_agent;
    std::string_view authorization;
    bool authorization_repeated = false;
    // X-Forwarded-Host and -Proto, where there is one and it is well-formed: a host; http or https. To be believed of a
    // trusted proxy only.
    std::string_view forwarded_host, forwarded_proto;
    std::string_view origin, preflight_method, preflight_headers; // https://fetch.spec.whatwg.org/#http-requests
    body_framing body;
    bool keep_alive = true;
    bool expects_continue = false;
    std::vector<field> fields;
    std::vector<std::string_view> nominated; // fields named by Connection, to be dropped

private:
    result<void> parse_request_line(std::string_view line);
    result<void> note(const field&);
    result<void> finish();
    bool has_length_ = false, has_encoding_ = false, has_host_ = false;
    bool connection_close_ = false, connection_keep_alive_ = false;
    bool has_forwarded_host_ = false, has_forwarded_proto_ = false;
    std::string_view authority_; // of an absolute-form target
    std::string decoded_path_;   // where `path` is not as it was sent
};

class response_head {
public:
    // `to` is the method of the request that is answered: a reply to HEAD has no body.
    result<void> parse(std::string_view bytes, const head_limits&, method to);

    unsigned status = 0;
    std::string_view reason;
    int minor_version = 1;
    body_framing body;
    std::optional<std::uint64_t> announced_length; // Content-Length, also where there is no body
    bool keep_alive = true;
    std::optional<std::chrono::seconds> idle_limit; // Keep-Alive: timeout=, as the replica announces it
    bool has_date = false;
    std::vector<field> fields;
    std::vector<std::string_view> nominated;

private:
    result<void> parse_status_line(std::string_view line);
};

// True if the field must not be passed on because `nominated` (a Connection field) names it.
bool is_nominated(const field&, const std::vector<std::string_view>& nominated);

} // namespace scoregate::http
