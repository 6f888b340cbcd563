// What an operator can set, after defaults, checked by load.cpp. Plain values, no behaviour; each field's comment is
// its documentation and is repeated, with default and range, in docs/configuration.md (tests/unit/config holds them
// together). Built on the control thread, immutable afterwards.
#pragma once

#include "base/fault.hpp"
#include "base/network.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace scoregate::config {

using std::chrono::milliseconds;

// A TCP address to listen on: "127.0.0.1:8443", "[::]:8443" (both families where the host is dual-stack).
struct endpoint {
    std::string host; // IP literal without brackets
    std::uint16_t port = 0;

    friend bool operator==(const endpoint&, const endpoint&) = default;
};

// Where one pair of certificate and key is: two files, or one directory that holds both.
struct certificate_files {
    std::string certificate;  // PEM, full chain, leaf first; absolute path; empty with `secret`
    std::string key;          // PEM without passphrase; absolute path; empty with `secret`
    std::string cname;        // must be among the leaf's SANs (RFC 6125)
    std::string secret = {};  // directory with cert.pem + key.pem (Azure) or tls.crt + tls.key (cert-manager); absolute
    std::string pointer = {}; // of the object in the configuration that names it: "", "/certificates/0" or "/acme"
    bool awaited = false;     // a provider issues it: it may not be there yet

    // The same pair, wherever it stands in the configuration.
    friend bool operator==(const certificate_files& a, const certificate_files& b) {
        return a.certificate == b.certificate && a.key == b.key && a.cname == b.cname && a.secret == b.secret;
    }
};

// Whether connections begin with a header that tells whose they are (PROXY protocol, versions 1 and 2). It is never
// guessed: a client could write one too.
enum class proxy_protocol : std::uint8_t { off, required };

struct listen {
    std::vector<endpoint> https{{"::", 8443}};
    std::vector<endpoint> http{{"::", 8080}};
    std::uint16_t public_https_port = 443; // what a 308 from HTTP names; left out of the URL when 443
    config::proxy_protocol proxy_protocol = config::proxy_protocol::off; // of both; from trusted_proxies alone

    friend bool operator==(const listen&, const listen&) = default;
};

struct admin {
    std::optional<endpoint> listen = endpoint{"127.0.0.1", 9001}; // null: no admin port
    std::optional<std::string> token_file; // absolute; who has its token may do everything; null: loopback may
    std::vector<std::string> hosts;        // Host names believed besides IP literals and localhost; lower case

    friend bool operator==(const admin&, const admin&) = default;
};

struct limits {
    std::uint32_t max_connections = 50000;
    std::uint32_t max_connections_per_ip = 0;      // of IPv6 addresses the /64; 0: off
    std::uint32_t max_handshakes = 4096;           // TLS handshakes in progress, PROXY headers included
    std::uint32_t max_requests_per_connection = 0; // the last reply closes it; 0: off
    std::optional<std::uint64_t> max_memory_bytes; // resident; null: 90 % of the cgroup's limit, if it has one
    std::uint32_t max_header_bytes = 65536;        // request line and fields together
    std::uint32_t max_headers = 100;               // fields of one request
    std::uint64_t max_request_bytes = 104857600;   // body, after chunked decoding
    std::uint32_t request_buffer_bytes = 65536;    // of a body that are collected before a replica is asked for
    std::uint64_t buffer_memory_bytes = 268435456; // of all such bodies together
    std::uint32_t min_body_rate = 16384; // bytes/s a client must keep over 10 s past request_buffer_bytes; 0: off
    std::uint32_t min_reply_rate = 1024; // bytes/s in which a client must take replies, over 10 s of waiting; 0: off
    std::vector<base::network> allow;    // of clients; empty: all
    std::vector<base::network> deny;     // wins over allow
};

struct timeouts {
    milliseconds handshake{10000};    // TCP accept to TLS finished
    milliseconds header{10000};       // first byte of a request to the end of its head
    milliseconds body_idle{30000};    // each pause in a request body
    milliseconds keep_alive{75000};   // idle client connection
    milliseconds connect{2000};       // TCP connect to a replica
    milliseconds stream_idle{300000}; // each pause in a reply after its head
    milliseconds drain_grace{0};      // SIGTERM: still accepting, readiness already off
    milliseconds drain{30000};        // then: longest wait for requests in flight
};

// Whose certificates clients show to scoregate.
struct client_ca {
    enum class demand : std::uint8_t { request, require };

    std::string file;              // certificates of authorities in PEM, absolute
    demand mode = demand::require; // whether a client may also come without one

    friend bool operator==(const client_ca&, const client_ca&) = default;
};

// What Strict-Transport-Security tells browsers (RFC 6797): to come by HTTPS alone.
struct strict_transport_security {
    std::chrono::seconds max_age{31536000}; // how long from each reply on; 0: forget it
    bool include_subdomains = false;        // and to those of the name
    bool preload = false;                   // the name may be built into browsers, which is not soon undone
};

// A certificate that a provider issues and renews (ACME, RFC 8555), by the challenge http-01 on listen.http.
struct acme {
    std::string directory;                         // its URL, https://
    std::string contact;                           // mail address of the account
    std::optional<std::string> domain_suffix;      // the domain that names are drawn in
    std::optional<std::string> leaf_domain_label;  // what a drawn name begins with; null: sslCname is the name
    std::optional<std::chrono::days> renew_before; // the end; null: a third of the lifetime, at most 30 days
    std::optional<std::string> webroot;            // absolute; where challenges are; null: state_dir/webroot
    std::string state_dir;                         // absolute; account, certificates, the drawn name
    std::optional<std::string> ca_file;            // absolute; what the directory has to prove; null: the system's
    std::string domain = {};                       // what is ordered; empty: not drawn yet
    std::string other_domain = {};                 // drawn and kept, of another label or suffix: nothing starts by it

    std::string challenges() const { return webroot ? *webroot : state_dir + "/webroot"; }

    friend bool operator==(const acme&, const acme&) = default;
};

enum class log_format : std::uint8_t { json, text };

// Of syslog messages (RFC 5424 6.2.1), by their numbers.
enum class log_facility : std::uint8_t {
    user = 1,
    daemon = 3,
    local0 = 16,
    local1,
    local2,
    local3,
    local4,
    local5,
    local6,
    local7,
};

struct access_log {
    // "-" stdout, null off, "syslog", "syslog:/SOCKET" and "syslog:ADDRESS:PORT" a syslog daemon, else a file appended
    // to: absolute
    std::optional<std::string> path = "-";
    log_format format = log_format::json;
    std::uint32_t sample_successes = 1;           // one in so many is written; failures and what is slow always
    milliseconds slow{1000};                      // a request that takes as long is
    log_facility facility = log_facility::local0; // of syslog alone

    friend bool operator==(const access_log&, const access_log&) = default;
};

// Of the operational log: what is less than that is not written.
enum class log_level : std::uint8_t { debug, info, warning, error };

// Traces of requests, exported by OTLP over HTTP.
struct tracing {
    std::string endpoint;                    // of the collector: http://127.0.0.1:4318/v1/traces
    double ratio = 0;                        // of the traces that begin here, how many are recorded: 0..1
    std::string service_name = "scoregate";  // service.name of what is exported
    std::optional<std::string> headers_file; // absolute; "Name: value" lines to send along; null: none
    std::optional<std::string> ca_file;      // absolute; what an https:// endpoint has to prove; null: the system's

    friend bool operator==(const tracing&, const tracing&) = default;
};

// How names are looked up.
struct dns {
    std::vector<endpoint> servers;                // empty: those of the system (resolv.conf)
    std::chrono::seconds min_ttl{1}, max_ttl{60}; // an answer is used for its TTL within these
};

// What a text among a deployment's replicas stands for.
enum class replica_source : std::uint8_t {
    host,        // one replica; several addresses of its name are tried in order
    dns,         // as many as its name has addresses
    srv,         // as many as the targets of its SRV records have addresses
    unix_socket, // one on this machine
};

struct replica {
    std::string url;         // as written; its name in logs and metrics if it is one replica
    std::string host;        // name or IP literal without brackets; of a unix_socket its path
    std::uint16_t port = 80; // means nothing for srv and unix_socket
    bool tls = false;        // https://, and then 443 is the port that need not be written
    replica_source source = replica_source::host;

    friend bool operator==(const replica&, const replica&) = default;
};

// What becomes of a request at a replica whose client has gone or whose time is up.
enum class on_abandon : std::uint8_t {
    finish, // its reply is read and dropped, and its slot stays taken until then: for workers that do not notice
    cancel, // the connection is closed and the slot is free: for servers that stop when hung up on
};

struct request_settings {
    milliseconds request_timeout{5000};        // last request byte written to the replica .. its reply head
    std::optional<milliseconds> total_timeout; // whole request; null: none
    // Azure's max_concurrent_requests_per_instance: model functions running on one replica at once; null: no cap
    std::optional<std::uint32_t> max_concurrent_requests = 1;
    milliseconds max_queue_wait{500};
    std::optional<std::uint32_t> max_queue_length; // null: cap x known replicas; 0: no queue
    config::on_abandon on_abandon = config::on_abandon::finish;
    milliseconds abandon_max{300000}; // longest time that a slot stays taken for nobody
};

// What https:// replicas have to prove.
struct replica_tls {
    std::optional<std::string> ca_file;     // absolute; null: the system's certificates
    std::optional<std::string> server_name; // null: the host of the replica's URL
    std::string pointer = {};               // of the object in the configuration, or of where it would be
    std::string file = {};                  // that has it, if that is not the main one
};

// HTTP status codes from first to last.
struct status_codes {
    std::uint16_t first = 200, last = 399;

    friend bool operator==(const status_codes&, const status_codes&) = default;
};

// How replicas are asked whether they are ready; Azure's names and units.
struct readiness_probe {
    std::string path = "/";                     // with a query, if one is wanted
    std::chrono::seconds initial_delay{10};     // failures of a new replica do not count for so long
    std::chrono::seconds period{10};            // from one probe to the next
    std::chrono::seconds timeout{2};            // connection to the end of the reply
    unsigned success_threshold = 1;             // in a row, to be ready
    unsigned failure_threshold = 3;             // in a row, to be unready
    std::vector<status_codes> expected{{}};     // at least one
    std::map<std::string, std::string> headers; // name -> value, which may be a secret: never shown

    friend bool operator==(const readiness_probe&, const readiness_probe&) = default;
};

struct deployment {
    std::string name;
    std::vector<replica> replicas; // at least one
    config::replica_tls replica_tls;
    request_settings settings;
    std::optional<config::readiness_probe> readiness_probe; // null: every replica counts as ready
    std::optional<std::string> host_header;                 // Host towards the replica; null: the client's
    unsigned traffic = 0;                                   // percent of the requests that force no deployment
    unsigned mirror_traffic = 0; // percent of them that are copied to it; one of a service, without traffic
};

// Where a service's keys are; what is in the files is not looked at here.
struct key_files {
    std::string primary;                  // absolute path
    std::optional<std::string> secondary; // absolute path; null: only the primary is accepted
    std::string pointer = {};             // of the object in the configuration that names them: /services/iris/keys
    std::string file = {};                // of services_dir that this is in; empty: the configuration's own

    // The same files, whichever service names them.
    friend bool operator==(const key_files& a, const key_files& b) {
        return a.primary == b.primary && a.secondary == b.secondary;
    }
};

// Which tokens a service takes; what is in the file of keys is not looked at here.
struct token_settings {
    std::string jwks_file;                 // absolute path: the public keys of the issuer (RFC 7517)
    std::string issuer;                    // what the claim `iss` has to be
    std::string audience;                  // what the claim `aud` has to be or to contain
    std::string service_claim = "service"; // the claim that has to be or to contain the name of the service
    std::string pointer = {};              // of the object in the configuration: /services/iris/token
    std::string file = {};                 // that has it, if that is not the main one

    // The same tokens, whichever service takes them.
    friend bool operator==(const token_settings& a, const token_settings& b) {
        return a.jwks_file == b.jwks_file && a.issuer == b.issuer && a.audience == b.audience &&
               a.service_claim == b.service_claim;
    }
};

enum class auth_mode : std::uint8_t { key, aml_token, none };

using base::error_mapping;

// How often each caller of a service is let in.
struct rate_limit {
    double requests_per_second = 1;
    std::optional<std::uint32_t> burst; // requests at once after a pause; null: those of one second, at least 1
    enum class caller : std::uint8_t { key, address } by = caller::key; // of IPv6 addresses the /64

    friend bool operator==(const rate_limit&, const rate_limit&) = default;
};

// A path of a service and the one that its replicas know it by.
struct route {
    std::string path;         // after the prefix, with its leading slash: "/score"; without "/*" for a subtree
    std::string replica_path; // the same
    bool subtree = false;     // and everything beneath: the rest of the path is kept
    std::vector<std::string> methods{"GET", "HEAD", "POST"};
    bool idempotent = false; // sent twice, it does no harm: what a retry may assume

    friend bool operator==(const route&, const route&) = default;
};

struct service {
    std::string name;
    std::vector<std::string> hosts; // lower case, IPv6 without brackets; on these the whole path is the route
    bool require_tls = true;
    config::auth_mode auth = auth_mode::key;
    std::optional<key_files> keys;                // exactly with auth_mode key
    std::optional<token_settings> token;          // exactly with auth_mode aml_token
    std::optional<config::rate_limit> rate_limit; // null: none
    bool forward_authorization = false;           // whether the replica sees the client's Authorization
    config::error_mapping error_mapping = config::error_mapping::aks;
    std::vector<std::string> cors_origins; // scheme://host[:port] as browsers send it, or "*" alone; empty: CORS is off
    std::vector<route> routes{{"/score", "/score", false, {"GET", "HEAD", "POST"}, true},
                              {"/swagger.json", "/swagger.json", false, {"GET", "HEAD", "POST"}, true}};
    std::vector<deployment> deployments; // sorted by name; traffic sums to 0 or 100
};

struct settings {
    bool allow_insecure_connections = false;
    // The default first. Empty with allow_insecure_connections, and before acme's name has been drawn.
    std::vector<certificate_files> certificates;
    bool refuse_expired = false;
    std::optional<std::string> ticket_keys_dir; // absolute; null: own keys
    std::optional<config::acme> acme;           // null: certificates of one's own
    std::optional<config::client_ca> client_ca; // null: clients are asked for no certificate
    // Sent with every reply over TLS, in place of a replica's own; null: not sent, a replica's passes.
    std::optional<config::strict_transport_security> strict_transport_security;
    listen listen_on;
    config::admin admin;
    std::vector<base::network> trusted_proxies; // whose PROXY header and X-Forwarded-* are believed
    unsigned workers = 0;                       // 0: one per core this process may use (cgroup quota counted)
    std::optional<std::string> user; // NAME or NAME:GROUP to go on as once everything is bound; null: who started it
    config::limits limits;
    config::timeouts timeouts;
    config::access_log access_log;
    config::log_level log_level = config::log_level::info; // until PUT /log-level sets another
    std::optional<config::tracing> tracing;                // null: off
    config::dns dns;
    std::vector<service> services;              // sorted by name
    std::optional<std::string> services_dir;    // as written; null: none
    std::optional<std::string> default_service; // one of them: gets what names no other
    std::string file;                           // the configuration's own path, for messages
};

} // namespace scoregate::config
