#include "config/forms.hpp"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace scoregate::config {
namespace {

// ASCII only: what the C locale functions answer depends on the process's locale.
bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string lower(std::string_view text) {
    std::string out{text};
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

// The one way to write an address, so that equal addresses compare equal.
std::optional<std::string> canonical_ip(int family, std::string_view text) {
    std::array<unsigned char, 16> bytes{};
    std::array<char, INET6_ADDRSTRLEN> out{};
    if (text.find('\0') != std::string_view::npos) return {};
    if (inet_pton(family, std::string{text}.c_str(), bytes.data()) != 1) return {};
    return inet_ntop(family, bytes.data(), out.data(), out.size());
}

// RFC 1123, section 2.1, and RFC 1035, section 2.3.4. A last label of digits only is a mistyped IPv4 address. Container
// networks resolve names with '_', public names and certificates never have one.
enum class underscores { refused, allowed };

bool valid_dns_name(std::string_view text, underscores rule) {
    if (text.empty() || text.size() > 253) return false;
    while (true) {
        const auto dot = text.find('.');
        const auto label = text.substr(0, dot);
        const auto fits = [rule](char c) {
            return letter(c) || digit(c) || c == '-' || (c == '_' && rule == underscores::allowed);
        };
        if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
        if (!std::all_of(label.begin(), label.end(), fits)) return false;
        if (dot == std::string_view::npos) return !std::all_of(label.begin(), label.end(), digit);
        text.remove_prefix(dot + 1);
    }
}

struct authority {
    std::string_view host; // without brackets
    bool bracketed = false;
    std::optional<std::string_view> port;
};

std::optional<authority> split_authority(std::string_view text, std::string& wrong) {
    authority parts;
    std::string_view rest;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == std::string_view::npos) {
            wrong = "lacks the ] after the IPv6 address";
            return {};
        }
        parts.bracketed = true;
        parts.host = text.substr(1, close - 1);
        rest = text.substr(close + 1);
    } else {
        const auto colon = text.find(':');
        if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos) {
            wrong = "has more than one colon: write an IPv6 address in brackets, such as [::1]";
            return {};
        }
        parts.host = text.substr(0, colon);
        rest = text.substr(parts.host.size());
    }
    if (rest.empty()) return parts;
    if (!rest.starts_with(':')) {
        wrong = "has text between ] and the port: remove it";
        return {};
    }
    parts.port = rest.substr(1);
    return parts;
}

std::optional<std::uint16_t> parse_port(std::string_view text, unsigned minimum, std::string& wrong) {
    unsigned port = 0;
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    const bool padded = text.size() > 1 && text.front() == '0';
    if (text.empty() || padded || error != std::errc{} || stop != end || port < minimum || port > 65535) {
        wrong = "has the port \"" + std::string{text} + "\": it must be a number from " + std::to_string(minimum) +
                " to 65535";
        return {};
    }
    return static_cast<std::uint16_t>(port);
}

std::optional<endpoint> parse_address(std::string_view text, std::string& wrong) {
    constexpr auto example = "write an IP address and a port, such as 127.0.0.1:8443 or [::]:8443";
    const auto parts = split_authority(text, wrong);
    if (!parts) return {};
    const auto ip = canonical_ip(parts->bracketed ? AF_INET6 : AF_INET, parts->host);
    if (!ip) {
        wrong = std::string{"is not an address to listen on: "} + example;
        return {};
    }
    if (!parts->port) {
        wrong = std::string{"has no port: "} + example;
        return {};
    }
    const auto port = parse_port(*parts->port, 0, wrong);
    if (!port) return {};
    return endpoint{*ip, *port};
}

// RFC 4632 3.1, RFC 4291 2.3. Bits beyond the length mean that one of the two is a mistake.
std::optional<base::network> parse_network(std::string_view text, std::string& wrong) {
    constexpr auto example =
        "is not a network: write an IP address with the length of its prefix, such as 10.0.0.0/8 or "
        "2001:db8::/32, or one address";
    const auto slash = text.find('/');
    const auto address = base::parse_ip(text.substr(0, slash));
    if (!address) {
        wrong = example;
        return {};
    }
    // Of ::ffff:10.0.0.0/104 the first 96 bits say that it is IPv4.
    const bool mapped = address->is_v4() && text.find(':') < slash;
    const unsigned least = mapped ? 96 : 0, most = address->is_v4() ? least + 32 : 128;
    unsigned length = most;
    if (slash != std::string_view::npos) {
        const auto digits = text.substr(slash + 1);
        const auto* const end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, length);
        const bool padded = digits.size() > 1 && digits.front() == '0';
        if (digits.empty() || padded || error != std::errc{} || stop != end || length < least || length > most) {
            wrong = "has the length \"" + std::string{digits} + "\": it must be a number from " +
                    std::to_string(least) + " to " + std::to_string(most);
            return {};
        }
    }
    const base::network parsed{*address, length - least};
    if (!parsed.begins_at(*address)) {
        wrong = "has bits set beyond its length: write " + parsed.to_string() + ", or another length";
        return {};
    }
    return parsed;
}

std::optional<std::string> parse_host(std::string_view text, std::string& wrong) {
    const bool bracketed = text.size() >= 2 && text.front() == '[' && text.back() == ']';
    if (const auto ip = canonical_ip(AF_INET6, bracketed ? text.substr(1, text.size() - 2) : text)) return ip;
    if (!bracketed) {
        if (const auto ip = canonical_ip(AF_INET, text)) return ip;
        if (valid_dns_name(text, underscores::refused)) return lower(text);
    }
    wrong = "is neither a DNS name nor an IP address: write it without scheme, port, path or wildcard, such as "
            "iris.contoso.com";
    return {};
}

std::optional<endpoint> parse_dns_server(std::string_view text, std::string& wrong) {
    constexpr auto form = "is not a DNS server: write its IP address, with a port if that is not 53, such as 10.0.0.10 "
                          "or [fd00::a]:5353";
    if (const auto ip = canonical_ip(AF_INET6, text)) return endpoint{*ip, 53};
    const auto parts = split_authority(text, wrong);
    const auto ip = parts ? canonical_ip(parts->bracketed ? AF_INET6 : AF_INET, parts->host) : std::nullopt;
    if (!ip) {
        wrong = form;
        return {};
    }
    if (!parts->port) return endpoint{*ip, 53};
    const auto port = parse_port(*parts->port, 1, wrong);
    if (!port) return {};
    return endpoint{*ip, *port};
}

constexpr std::string_view unix_scheme = "http+unix://", dns_scheme = "dns://", srv_scheme = "srv+http://";

std::optional<replica> parse_unix_socket(std::string_view text, std::string& wrong) {
    const auto path = text.substr(unix_scheme.size());
    // The path stands in logs, metrics and /status, where a line break would be somebody's own line.
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::any_of(path.begin(), path.end(), control)) {
        wrong = "has a control character in its path: a socket's path is printable, such as "
                "http+unix:///run/model.sock";
        return {};
    }
    if (!path.starts_with('/') || path.ends_with('/')) {
        wrong = "does not name a socket: write its absolute path behind http+unix://, such as "
                "http+unix:///run/model.sock";
        return {};
    }
    constexpr auto longest = sizeof(sockaddr_un::sun_path) - 1;
    if (path.size() > longest) {
        wrong = "has a path of " + std::to_string(path.size()) + " bytes: a Unix socket's has at most " +
                std::to_string(longest) + ", so put it into a shorter one";
        return {};
    }
    return replica{.url = std::string{text}, .host = std::string{path}, .source = replica_source::unix_socket};
}

std::optional<replica> parse_dns(std::string_view text, std::string& wrong) {
    constexpr auto form = "write dns://NAME:PORT, such as dns://iris-blue.models.svc:5001";
    const auto parts = split_authority(text.substr(dns_scheme.size()), wrong);
    if (!parts) return {};
    if (parts->bracketed || canonical_ip(AF_INET, parts->host)) {
        wrong = "has an address as NAME, of which nothing can be looked up: write http:// before it";
        return {};
    }
    if (!valid_dns_name(parts->host, underscores::allowed)) {
        wrong = std::string{"does not hold a DNS name: "} + form;
        return {};
    }
    if (!parts->port) {
        wrong = std::string{"has no port: "} + form;
        return {};
    }
    const auto port = parse_port(*parts->port, 1, wrong);
    if (!port) return {};
    return replica{.url = std::string{text}, .host = lower(parts->host), .port = *port, .source = replica_source::dns};
}

std::optional<replica> parse_srv(std::string_view text, std::string& wrong) {
    const auto name = text.substr(srv_scheme.size());
    if (!valid_dns_name(name, underscores::allowed)) {
        wrong = "does not hold the name of SRV records alone, whose ports they tell: write srv+http://NAME, such as "
                "srv+http://_score._tcp.iris.models.svc";
        return {};
    }
    return replica{.url = std::string{text}, .host = lower(name), .source = replica_source::srv};
}

std::optional<replica> parse_replica(std::string_view text, std::string& wrong) {
    if (text.starts_with(unix_scheme)) return parse_unix_socket(text, wrong);
    if (text.starts_with(dns_scheme)) return parse_dns(text, wrong);
    if (text.starts_with(srv_scheme)) return parse_srv(text, wrong);
    replica to{.url = std::string{text}, .host = {}};
    to.tls = text.starts_with("https://");
    if (to.tls) to.port = 443;
    const std::string scheme = to.tls ? "https://" : "http://", form = scheme + "HOST[:PORT]";
    if (!text.starts_with(scheme)) {
        wrong = "is not a replica: write " + form +
                ", such as http://127.0.0.1:5001, or https://HOST[:PORT], dns://NAME:PORT, "
                "srv+http://NAME or http+unix:///PATH";
        return {};
    }
    const auto rest = text.substr(scheme.size());
    if (rest.find('@') != std::string_view::npos) {
        wrong = "has a user or password in it: write " + form + " only";
        return {};
    }
    if (rest.find_first_of("/?#") != std::string_view::npos) {
        wrong = "has a path, query or fragment: write " + form + " only, the route is added to it";
        return {};
    }
    const auto parts = split_authority(rest, wrong);
    if (!parts) return {};
    if (const auto ip = canonical_ip(parts->bracketed ? AF_INET6 : AF_INET, parts->host)) {
        to.host = *ip;
    } else if (!parts->bracketed && valid_dns_name(parts->host, underscores::allowed)) {
        to.host = lower(parts->host);
    } else {
        wrong = "has \"" + std::string{parts->host} +
                "\" as host, which is neither a DNS name nor an IP address: write " + form;
        return {};
    }
    if (parts->port) {
        const auto port = parse_port(*parts->port, 1, wrong);
        if (!port) return {};
        to.port = *port;
    }
    return to;
}

std::optional<std::string> parse_name(std::string_view text, std::string& wrong) {
    const auto fits = [](char c) { return letter(c) || digit(c) || c == '-'; };
    if (!text.empty() && text.size() <= 63 && letter(text.front()) && std::all_of(text.begin(), text.end(), fits)) {
        return std::string{text};
    }
    wrong = "is not a name: use 1 to 63 letters, digits and dashes, a letter first";
    return {};
}

std::optional<std::string> parse_path(std::string_view text, std::string& wrong) {
    if (!text.empty() && text.find('\0') == std::string_view::npos && !holds_pem(text)) return std::string{text};
    wrong = "is not a path: write one, relative to the configuration file's folder or absolute";
    return {};
}

// What follows "syslog:".
bool names_syslog(std::string_view place) {
    constexpr auto longest = sizeof(sockaddr_un::sun_path) - 1;
    if (place.starts_with('/')) return place.size() <= longest && place.find('\0') == std::string_view::npos;
    std::string ignored;
    const auto address = parse_address(place, ignored);
    return address && address->port != 0;
}

std::optional<std::string> parse_log_path(std::string_view text, std::string& wrong) {
    if (text.starts_with(syslog_prefix) && !names_syslog(text.substr(syslog_prefix.size()))) {
        wrong =
            "names no syslog daemon: write \"syslog\" for the one of this machine, or syslog:ADDRESS:PORT with an IP "
            "address, such as syslog:10.0.0.9:514, or syslog:/PATH with the absolute path of its socket, of at most "
            "107 bytes";
        return {};
    }
    const auto path = parse_path(text, wrong);
    if (!path)
        wrong = "is not a place for a log: write the path of a file, \"-\" for stdout, \"syslog\", or null for no log";
    return path;
}

std::optional<std::string> parse_host_header(std::string_view text, std::string& wrong) {
    constexpr auto form = "is not what a Host field holds: write HOST or HOST:PORT, such as models.contoso.com:8080";
    const auto parts = split_authority(text, wrong);
    const bool host = parts && (parts->bracketed ? canonical_ip(AF_INET6, parts->host).has_value()
                                                 : valid_dns_name(parts->host, underscores::allowed));
    std::string ignored;
    if (host && (!parts->port || parse_port(*parts->port, 1, ignored))) return std::string{text};
    wrong = form;
    return {};
}

// https://url.spec.whatwg.org/#concept-url-origin, as browsers serialise it.
std::optional<std::string> parse_origin(std::string_view text, std::string& wrong) {
    if (text == "*") return std::string{text};
    wrong = "is not an origin: write https://HOST or https://HOST:PORT without a path, or \"*\" for every page";
    const bool secure = text.starts_with("https://");
    if (!secure && !text.starts_with("http://")) return {};
    const auto authority = text.substr(text.find("//") + 2);
    std::string ignored;
    if (!parse_host_header(authority, ignored)) return {};
    if (authority.ends_with(secure ? ":443" : ":80")) {
        wrong = "names the port that browsers leave out: write it without";
        return {};
    }
    return lower(text);
}

std::optional<std::string> parse_method(std::string_view text, std::string& wrong) {
    for (const std::string_view known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
        if (text == known) return std::string{text};
    wrong = text == "OPTIONS" ? "is answered by cors, not by a route: remove it"
                              : "is not a method of routes: write GET, HEAD, POST, PUT, PATCH or DELETE";
    return {};
}

// A path that can be read in one way only: RFC 3986 3.3 without escapes, dot segments and empty segments.
bool is_plain_path(std::string_view path) {
    for (std::size_t begin = 0; begin <= path.size();) {
        const auto end = std::min(path.find('/', begin), path.size());
        const auto segment = path.substr(begin, end - begin);
        if (segment.empty() || segment == "." || segment == "..") return false;
        for (const char c : segment)
            if (!letter(c) && !digit(c) && std::string_view("-._~!$&'()+,;=:@").find(c) == std::string_view::npos)
                return false;
        begin = end + 1;
    }
    return true;
}

bool is_route(std::string_view text) {
    if (text == "*") return true;
    return is_plain_path(text.ends_with("/*") ? text.substr(0, text.size() - 2) : text);
}

std::optional<std::string> parse_route(std::string_view text, std::string& wrong) {
    if (is_route(text)) return std::string{text};
    wrong = "is not a route: write the path behind the service's name without its first slash, such as \"score\" or "
            "\"v1/models/*\" for everything beneath";
    return {};
}

std::optional<std::string> parse_replica_path(std::string_view text, std::string& wrong) {
    if (text == "/" || (text.starts_with('/') && is_route(text.substr(1)))) return std::string{text};
    wrong = "is not a path of a replica: write it with its first slash and without a query, such as \"/score\" or "
            "\"/v1/models/*\"";
    return {};
}

std::optional<std::string> parse_claim(std::string_view text, std::string& wrong) {
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (!text.empty() && text.size() <= 1024 && std::none_of(text.begin(), text.end(), control))
        return std::string{text};
    wrong = "cannot be in a token: write 1 to 1024 characters, exactly as the issuer does";
    return {};
}

// Whether there is such a user, the machine decides that it runs on.
std::optional<std::string> parse_user(std::string_view text, std::string& wrong) {
    const auto named = [](std::string_view name) {
        const auto fits = [](char c) { return letter(c) || digit(c) || c == '_' || c == '-' || c == '.'; };
        return !name.empty() && name.size() <= 256 && name.front() != '-' &&
               std::all_of(name.begin(), name.end(), fits);
    };
    const auto colon = text.find(':');
    if (named(text.substr(0, colon)) && (colon == std::string_view::npos || named(text.substr(colon + 1))))
        return std::string{text};
    wrong = "is not a user: write its name, and its group if that is not the user's own, such as scoregate or "
            "scoregate:tls";
    return {};
}

// RFC 9112 3.2.1 without a fragment; sent as it is written.
std::optional<std::string> parse_probe_path(std::string_view text, std::string& wrong) {
    const auto fits = [](char c) { return c > ' ' && c < 0x7f && c != '#'; };
    if (text.starts_with('/') && text.size() <= 1024 && std::all_of(text.begin(), text.end(), fits))
        return std::string{text};
    wrong = "is not a path to ask for: write it with its first slash and without spaces, such as \"/health\"";
    return {};
}

std::optional<status_codes> parse_codes(std::string_view text, std::string& wrong) {
    const auto code = [](std::string_view digits) -> std::optional<std::uint16_t> {
        if (digits.size() != 3 || !std::all_of(digits.begin(), digits.end(), digit)) return {};
        const int value = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
        if (value < 200 || value > 599) return {};
        return static_cast<std::uint16_t>(value);
    };
    const auto dash = text.find('-');
    const auto first = code(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : code(text.substr(dash + 1));
    if (first && last && *first <= *last) return status_codes{*first, *last};
    wrong = "is not a status code to expect: write one from 200 to 599, or a range such as \"200-399\"";
    return {};
}

// RFC 9110 5.6.2. What frames the probe or belongs to its connection is scoregate's own to say.
std::optional<std::string> parse_probe_field(std::string_view text, std::string& wrong) {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    const auto fits = [&](char c) { return letter(c) || digit(c) || marks.find(c) != std::string_view::npos; };
    if (text.empty() || text.size() > 256 || !std::all_of(text.begin(), text.end(), fits)) {
        wrong = "is not the name of a header field: write it without a colon, such as X-Api-Key";
        return {};
    }
    const auto name = lower(text);
    if (name == "host") {
        wrong = "is set by host_header: write it there";
        return {};
    }
    for (const std::string_view own :
         {"connection", "content-length", "transfer-encoding", "expect", "keep-alive", "proxy-connection", "te",
          "trailer", "upgrade", "http2-settings", "proxy-authenticate", "proxy-authorization"})
        if (name == own) {
            wrong = "is about the connection or the length of a message, which scoregate says itself: remove it";
            return {};
        }
    return std::string{text};
}

// RFC 9110 5.5.
std::optional<std::string> parse_field_value(std::string_view text, std::string& wrong) {
    const auto control = [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f; };
    const auto blank = [](char c) { return c == ' ' || c == '\t'; };
    const bool padded = !text.empty() && (blank(text.front()) || blank(text.back()));
    if (text.size() <= 8192 && !padded && std::none_of(text.begin(), text.end(), control)) return std::string{text};
    wrong = "cannot be the value of a header field: write at most 8192 bytes on one line, no white space around them";
    return {};
}

} // namespace

const form<endpoint> address_form{"address", parse_address};
const form<std::string> host_form{"host", parse_host};
const form<replica> replica_form{"replica", parse_replica};
const form<endpoint> dns_server_form{"dns_server", parse_dns_server};
const form<base::network> network_form{"network", parse_network};
const form<std::string> name_form{"name", parse_name};
const form<std::string> path_form{"path", parse_path};
const form<std::string> log_path_form{"log_path", parse_log_path};
const form<std::string> host_header_form{"host_header", parse_host_header};
const form<std::string> origin_form{"origin", parse_origin};
const form<std::string> method_form{"method", parse_method};
const form<std::string> route_form{"route", parse_route};
const form<std::string> replica_path_form{"replica_path", parse_replica_path};
const form<std::string> claim_form{"claim", parse_claim};
const form<std::string> user_form{"user", parse_user};
const form<std::string> probe_path_form{"probe_path", parse_probe_path};
const form<status_codes> codes_form{"status_codes", parse_codes};
const form<std::string> probe_field_form{"probe_field", parse_probe_field};
const form<std::string> field_value_form{"field_value", parse_field_value};

bool holds_pem(std::string_view text) {
    constexpr std::string_view begin = "-----BEGIN", begin_in_base64 = "LS0tLS1CRUdJTi";
    return text.find(begin) != std::string_view::npos || text.find(begin_in_base64) != std::string_view::npos;
}

std::string to_text(const status_codes& codes) {
    const auto first = std::to_string(codes.first);
    return codes.first == codes.last ? first : first + "-" + std::to_string(codes.last);
}

std::string to_text(const endpoint& e) {
    const bool ip6 = e.host.find(':') != std::string::npos;
    return (ip6 ? "[" + e.host + "]" : e.host) + ":" + std::to_string(e.port);
}

bool overlap(const endpoint& a, const endpoint& b) {
    const auto covers = [](const endpoint& wide, const endpoint& narrow) {
        const bool ip4 = narrow.host.find(':') == std::string::npos;
        return wide.host == narrow.host || wide.host == "::" || (wide.host == "0.0.0.0" && ip4);
    };
    return a.port != 0 && a.port == b.port && (covers(a, b) || covers(b, a));
}

} // namespace scoregate::config
