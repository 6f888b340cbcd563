// Replies of our own: a fault in the one error form of the contract, the public health answer, the redirect to HTTPS.
#pragma once

#include "base/fault.hpp"
#include "http/write.hpp"

#include <string>
#include <string_view>

namespace scoregate::http {

struct own_reply {
    const request_identity& identity;
    std::string_view date;
    bool close = false;     // says Connection: close
    bool head_only = false; // the request was HEAD (RFC 9110 9.3.2)
    base::error_mapping mapping = base::error_mapping::aks;
    bool cors = false;                     // whether it depends on the page that asks
    std::string_view allowed_origin{};     // of a page that may read it
    std::string_view transport_security{}; // a line, see write.hpp; empty: none
};

// {"error":{"code","message","side","request_id"}} with x-scoregate-fault, and Allow, Retry-After or
// WWW-Authenticate where the status wants it. `service` may be empty. Allocates: errors are not the hot path.
std::string fault_reply(const base::failure&, std::string_view service, const own_reply&);
// 200 `Healthy` as the scoring container gives it.
std::string healthy_reply(const own_reply&);
// 200 with what proves to an ACME provider that the name is ours (RFC 8555 8.3).
std::string challenge_reply(std::string_view key_authorization, const own_reply&);
// 204 to a preflight of an allowed origin (https://fetch.spec.whatwg.org/#cors-preflight-fetch). `methods` are those of
// the route, `fields` the ones that the page asks to send.
std::string preflight_reply(std::string_view methods, std::string_view fields, const own_reply&);
// 308 to `location` (RFC 9110 15.4.9).
std::string redirect_reply(std::string_view location, const own_reply&);
// Where the redirect points: the configured name, never the client's Host. 443 is left out (RFC 3986 6.2.3).
std::string https_location(std::string_view cname, unsigned port, std::string_view path, std::string_view query);
// For bytes that are HTTP where a TLS record should be: readable, and closing.
std::string plain_http_on_tls_reply(std::string_view date);

} // namespace scoregate::http
