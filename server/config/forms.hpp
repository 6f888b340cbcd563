// The texts of a configuration that have a form: addresses, host names, replicas, names, paths. Each form has the name
// that config/scoregate.schema.json ($defs) and docs/configuration.md give it. Pure functions; any thread.
#pragma once

#include "base/network.hpp"
#include "config/model.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace scoregate::config {

template <class T>
struct form {
    std::string_view name;
    // Empty when the text is refused; `wrong` then says what is wrong and what to do.
    std::optional<T> (*parse)(std::string_view text, std::string& wrong);
};

extern const form<endpoint> address_form; // "127.0.0.1:8443", "[::]:8443"; port 0: any free one
extern const form<std::string> host_form; // DNS name or IP literal without port -> lower case, IPv6 without brackets
// "http://HOST[:PORT]", https://, "dns://NAME:PORT", "srv+http://NAME", "http+unix:///PATH"
extern const form<replica> replica_form;
extern const form<endpoint> dns_server_form;      // "10.0.0.10", "10.0.0.10:53", "[fd00::a]:53"
extern const form<base::network> network_form;    // "10.0.0.0/8", "2001:db8::/32", or one address
extern const form<std::string> name_form;         // of a service or deployment
extern const form<std::string> path_form;         // of a file or directory; not resolved here
extern const form<std::string> log_path_form;     // of a file, "-", "syslog", "syslog:/PATH", "syslog:ADDRESS:PORT"
extern const form<std::string> user_form;         // "NAME" or "NAME:GROUP", each a name or a number
extern const form<std::string> host_header_form;  // "HOST[:PORT]", as a Host field has it
extern const form<std::string> origin_form;       // "https://HOST[:PORT]" as browsers send it, or "*"
extern const form<std::string> method_form;       // GET, HEAD, POST, PUT, PATCH, DELETE
extern const form<std::string> route_form;        // behind a service's prefix: "score", "v1/models/*", "*"
extern const form<std::string> replica_path_form; // "/score", "/v1/models/*"
extern const form<std::string> claim_form;        // a name or value in a token
extern const form<std::string> probe_path_form;   // "/health", "/health?full=1"
extern const form<status_codes> codes_form;       // "200", "200-399"
extern const form<std::string> probe_field_form;  // name of a header field that a probe may have
extern const form<std::string> field_value_form;  // of a header field; what is wrong never shows it
extern const form<std::string> directory_form;    // "https://HOST[:PORT]/PATH" of an ACME provider (config/acme.cpp)
extern const form<std::string> contact_form;      // "ops@contoso.com"
extern const form<std::string> label_form;        // what a name begins with, six characters short of a whole label
extern const form<std::string> collector_form;    // "http://HOST[:PORT][/PATH]", https:// (config/collector.hpp)

// The text that parses to the value.
std::string to_text(const endpoint&);
inline std::string to_text(const replica& r) { return r.url; }
inline std::string to_text(const std::string& s) { return s; }
inline std::string to_text(const base::network& n) { return n.to_string(); }
std::string to_text(const status_codes&);

// Whether there is PEM in the text, or it is PEM in base64 as Kubernetes has it in a Secret: it may be a private key.
bool holds_pem(std::string_view text);

// Whether the place of a log is a syslog daemon. A file of that name is written "./syslog".
inline constexpr std::string_view syslog_prefix = "syslog:";
constexpr bool is_syslog(std::string_view log_path) {
    return log_path == "syslog" || log_path.starts_with(syslog_prefix);
}

// Whether both cannot be listened on: the same port, and one address stands for the other. "[::]" covers IPv4 too.
bool overlap(const endpoint&, const endpoint&);

} // namespace scoregate::config
