#include "http/head.hpp"

#include "base/network.hpp"
#include "http/characters.hpp"
#include "http/path.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace scoregate::http {

namespace {

using base::fail;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

bool is_port(std::string_view digits) {
    std::uint16_t port = 0;
    const auto* const all = digits.data() + digits.size();
    const auto [end, ec] = std::from_chars(digits.data(), all, port);
    return digits.empty() || (ec == std::errc{} && end == all);
}

// In brackets stands nothing but an IPv6 address: who takes the brackets off any other name sees another host.
// IPvFuture (RFC 3986 3.2.2) is no address that anyone has.
bool is_bracketed(std::string_view text) { return text.find(':') != std::string_view::npos && base::parse_ip(text); }

// host [":" port] (RFC 9110 7.2): a name or address that is not empty, a port that there is or none behind the colon.
bool is_host(std::string_view text) {
    const bool address = text.starts_with('[');
    const auto end = address ? text.find(']') : text.find(':');
    if (address && end == std::string_view::npos) return false;
    const auto name = text.substr(0, end).substr(address ? 1 : 0);
    if (address ? !is_bracketed(name) : name.empty() || !all_of(name, host_characters)) return false;
    const auto port = end == std::string_view::npos ? std::string_view{} : text.substr(end + (address ? 1 : 0));
    return port.empty() || (port.front() == ':' && is_port(port.substr(1)));
}

// Calls `visit(element)` for each element of a comma-separated list (RFC 9110 5.6.1), empty ones left out.
template <class Visit>
result<void> each_element(std::string_view list, Visit visit) {
    while (!list.empty()) {
        const auto comma = list.find(',');
        const auto element = trim(list.substr(0, comma));
        list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
        if (element.empty()) continue;
        if (auto r = visit(element); !r) return r;
    }
    return {};
}

result<std::uint64_t> parse_length(std::string_view digits) {
    std::uint64_t length = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    const bool only_digits = !digits.empty() && digits.front() >= '0' && digits.front() <= '9';
    if (!only_digits || ec != std::errc{} || end != digits.data() + digits.size())
        return fail(fault::bad_request, "Content-Length is not one plain decimal number (RFC 9110 8.6)");
    return length;
}

// Splits off the next line without its CRLF. find_head_end has made sure that there is one.
std::string_view take_line(std::string_view& bytes) {
    const auto end = bytes.find('\n');
    const auto line = bytes.substr(0, end - 1);
    bytes.remove_prefix(end + 1);
    return line;
}

result<void> parse_fields(std::string_view bytes, const head_limits& limits, std::vector<field>& fields) {
    fields.clear();
    for (;;) {
        const auto line = take_line(bytes);
        if (line.empty()) return {};
        if (fields.size() == limits.fields) return fail(fault::header_too_large, "limits.max_headers", limits.fields);
        if (line.front() == ' ' || line.front() == '\t')
            return fail(fault::bad_request, "A folded field line (RFC 9112 5.2)");
        const auto colon = line.find(':');
        if (colon == std::string_view::npos || colon == 0)
            return fail(fault::bad_request, "A field line without a name and a colon (RFC 9112 5)");
        const auto name = line.substr(0, colon), value = trim(line.substr(colon + 1));
        const auto id = identify(name);
        const bool known = id != field_id::other && id != field_id::access_control && id != field_id::forwarding;
        if (!known && !all_of(name, token_characters))
            return fail(fault::bad_request,
                        "A field name is not a token, or white space stands before its colon (RFC 9112 5.1)");
        if (!is_value(value)) return fail(fault::bad_request, "A control character in a field value (RFC 9110 5.5)");
        const bool as_we_write = name.size() + 2 + value.size() == line.size() && line[colon + 1] == ' ';
        fields.push_back({name, value, id, as_we_write});
    }
}

// Connection options (RFC 9110 7.6.1). The fields they name are hop-by-hop; those that carry framing, routing or our
// own word may not be named, or a client could strip them.
struct connection_options {
    bool close = false, keep_alive = false;
};

result<void> read_connection(std::string_view value, connection_options& options,
                             std::vector<std::string_view>& nominated) {
    return each_element(value, [&](std::string_view option) -> result<void> {
        if (equals_ignoring_case(option, "close"))
            options.close = true;
        else if (equals_ignoring_case(option, "keep-alive"))
            options.keep_alive = true;
        else {
            switch (identify(option)) {
            case field_id::hop_by_hop: return {}; // dropped anyway
            case field_id::other: break;
            case field_id::tracestate:
            case field_id::user_agent: break;
            default:
                return fail(fault::bad_request, "Connection names a field that is not hop-by-hop (RFC 9110 7.6.1)");
            }
            if (!all_of(option, token_characters))
                return fail(fault::bad_request, "Connection is not a list of tokens (RFC 9110 7.6.1)");
            if (nominated.size() == 16) return fail(fault::bad_request, "Connection names more than 16 fields");
            nominated.push_back(option);
        }
        return {};
    });
}

// The timeout of a Keep-Alive field, "timeout=5, max=100": a convention of HTTP/1.0's servers that many still follow.
// Whatever else the field says is nothing to us.
std::optional<std::chrono::seconds> read_idle_limit(std::string_view value) {
    constexpr std::string_view name = "timeout=";
    std::optional<std::chrono::seconds> found;
    static_cast<void>(each_element(value, [&](std::string_view element) -> result<void> {
        if (!equals_ignoring_case(element.substr(0, name.size()), name)) return {};
        const auto digits = element.substr(name.size());
        std::uint32_t seconds = 0;
        const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
        if (ec == std::errc() && end == digits.data() + digits.size()) found = std::chrono::seconds(seconds);
        return {};
    }));
    return found;
}

} // namespace

method method_of(std::string_view name) {
    if (name == "POST") return method::post;
    if (name == "GET") return method::get;
    if (name == "HEAD") return method::head;
    if (name == "PUT") return method::put;
    if (name == "PATCH") return method::patch;
    if (name == "DELETE") return method::remove;
    if (name == "OPTIONS") return method::options;
    return method::other;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

namespace {

// Whether `name`, as far as `known` goes and no shorter, is the same but for the case of letters. `known` is made of
// small letters and dashes: of these only letters have the bit 0x40, and only with them 0x20 tells nothing.
bool is_same_name(std::string_view name, std::string_view known) {
    using namespace base::eight_bytes;
    const auto differ = [&](std::size_t at) {
        const auto want = load(known.data() + at);
        return (load(name.data() + at) | ((want & all(0x40)) >> 1)) != want;
    };
    const auto size = known.size();
    if (size < 8) return equals_ignoring_case(name.substr(0, size), known);
    for (std::size_t at = 0; at + 8 <= size; at += 8)
        if (differ(at)) return false;
    return !differ(size - 8);
}

} // namespace

field_id identify(std::string_view name) {
    struct known {
        std::string_view name;
        field_id id;
    };
    // By length, so that most names are told apart without looking at them.
    static constexpr auto names = std::to_array<known>({
        {"te", field_id::hop_by_hop},
        {"host", field_id::host},
        {"date", field_id::date},
        {"proxy", field_id::forwarding},
        {"expect", field_id::expect},
        {"origin", field_id::origin},
        {"trailer", field_id::hop_by_hop},
        {"upgrade", field_id::hop_by_hop},
        {"forwarded", field_id::forwarding},
        {"x-real-ip", field_id::forwarding},
        {"connection", field_id::connection},
        {"tracestate", field_id::tracestate},
        {"keep-alive", field_id::hop_by_hop},
        {"user-agent", field_id::user_agent},
        {"client-cert", field_id::forwarding}, // RFC 9440 2.4
        {"traceparent", field_id::traceparent},
        {"x-request-id", field_id::request_id},
        {"authorization", field_id::authorization},
        {"content-length", field_id::content_length},
        {"x-forwarded-for", field_id::forwarded_for},
        {"x-ms-request-id", field_id::request_id},
        {"proxy-connection", field_id::hop_by_hop},
        {"x-forwarded-host", field_id::forwarded_host},
        {"x-forwarded-proto", field_id::forwarded_proto},
        {"client-cert-chain", field_id::forwarding},
        {"transfer-encoding", field_id::transfer_encoding},
        {"x-scoregate-fault", field_id::fault_token},
        {"proxy-authenticate", field_id::hop_by_hop},
        {"proxy-authorization", field_id::hop_by_hop},
        {"x-ms-client-request-id", field_id::client_request_id},
        {"azureml-model-deployment", field_id::azureml_model_deployment},
        {"proxy-authentication-info", field_id::hop_by_hop},
        {"strict-transport-security", field_id::transport_security},
        {"access-control-request-method", field_id::request_method},
        {"access-control-request-headers", field_id::request_headers},
    });
    // Where the names of each length begin.
    static constexpr auto of_length = [] {
        std::array<std::uint8_t, names.back().name.size() + 2> begin{};
        for (std::size_t length = 0; length < begin.size(); ++length)
            while (begin[length] < names.size() && names[begin[length]].name.size() < length) ++begin[length];
        return begin;
    }();
    const auto length = std::min(name.size(), of_length.size() - 1); // none is of the last length
    for (std::size_t i = of_length[length]; i < names.size() && names[i].name.size() == name.size(); ++i) {
        const auto& each = names[i];
        if (is_same_name(name, each.name)) return each.id;
    }
    constexpr std::string_view forwarded_prefix = "x-forwarded-", access_control_prefix = "access-control-";
    if (name.size() >= forwarded_prefix.size() && is_same_name(name, forwarded_prefix)) return field_id::forwarding;
    if (name.size() >= access_control_prefix.size() && is_same_name(name, access_control_prefix))
        return field_id::access_control;
    return field_id::other;
}

bool is_nominated(const field& each, const std::vector<std::string_view>& nominated) {
    return std::any_of(nominated.begin(), nominated.end(),
                       [&](std::string_view name) { return equals_ignoring_case(name, each.name); });
}

result<std::optional<std::size_t>> find_head_end(std::string_view bytes, std::size_t& scanned,
                                                 const head_limits& limits) {
    const auto end = std::min(bytes.size(), limits.bytes);
    while (scanned < end) {
        const auto* const found = static_cast<const char*>(std::memchr(bytes.data() + scanned, '\n', end - scanned));
        if (found == nullptr) {
            scanned = end;
            break;
        }
        const auto at = static_cast<std::size_t>(found - bytes.data());
        if (at == 0 || bytes[at - 1] != '\r')
            return fail(fault::bad_request, "A line ends in LF without CR (RFC 9112 2.2)");
        scanned = at + 1;
        if (at >= 3 && bytes[at - 2] == '\n') return std::optional<std::size_t>(at + 1);
    }
    if (bytes.size() < limits.bytes) return std::optional<std::size_t>();
    const bool in_first_line = std::memchr(bytes.data(), '\n', end) == nullptr;
    if (in_first_line) return fail(fault::uri_too_long, "", limits.bytes);
    return fail(fault::header_too_large, "limits.max_header_bytes", limits.bytes);
}

result<void> request_head::parse(std::string_view bytes, const head_limits& limits) {
    verb = method::other;
    minor_version = 1;
    method_name = path = query = {};
    body = {};
    host = client_request_id = traceparent = forced_deployment = user_agent = authority_ = {};
    authorization = origin = preflight_method = preflight_headers = forwarded_host = forwarded_proto = {};
    has_forwarded_host_ = has_forwarded_proto_ = false;
    authorization_repeated = false;
    expects_continue = has_length_ = has_encoding_ = has_host_ = connection_close_ = connection_keep_alive_ = false;
    nominated.clear();
    if (auto r = parse_request_line(take_line(bytes)); !r) return r;
    if (auto r = parse_fields(bytes, limits, fields); !r) return r;
    for (const auto& each : fields)
        if (auto r = note(each); !r) return r;
    return finish();
}

result<void> request_head::parse_request_line(std::string_view line) {
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    if (first == std::string_view::npos || first == last || first == 0)
        return fail(fault::bad_request, "The request line is not METHOD TARGET HTTP/1.1 (RFC 9112 3)");
    method_name = line.substr(0, first);
    auto target = line.substr(first + 1, last - first - 1);
    const auto version = line.substr(last + 1);
    if (!all_of(method_name, token_characters))
        return fail(fault::bad_request, "The method is not a token (RFC 9110 9.1)");
    if (version != "HTTP/1.1" && version != "HTTP/1.0")
        return fail(fault::bad_request, "The version is not HTTP/1.1 or HTTP/1.0 (RFC 9112 2.3)");
    minor_version = version.back() - '0';
    verb = method_of(method_name);
    if (method_name == "CONNECT") // refused here, because the client may take what follows for its tunnel
        return fail(fault::bad_request, "CONNECT asks for a tunnel, and there are none here (RFC 9110 9.3.6)");
    if (target.empty() || !all_of(target, target_characters))
        return fail(fault::bad_request, "The request target has a forbidden character (RFC 9112 3.2)");
    if (target.front() != '/') {
        // absolute-form (RFC 9112 3.2.2), or the asterisk of OPTIONS (3.2.4), which no route takes.
        const auto scheme_end = target.find("://");
        const bool absolute =
            scheme_end != std::string_view::npos && (equals_ignoring_case(target.substr(0, scheme_end), "http") ||
                                                     equals_ignoring_case(target.substr(0, scheme_end), "https"));
        if (absolute) {
            target.remove_prefix(scheme_end + 3);
            const auto path_begin = target.find_first_of("/?");
            authority_ = target.substr(0, path_begin);
            target = path_begin == std::string_view::npos ? std::string_view("/") : target.substr(path_begin);
            if (authority_.empty())
                return fail(fault::bad_request, "An absolute request target without authority (RFC 9112 3.2.2)");
        } else if (verb != method::options || target != "*")
            return fail(fault::bad_request, "The request target does not begin with a slash (RFC 9112 3.2.1)");
    }
    const auto mark = target.find('?');
    path = mark == 0 ? "/" : target.substr(0, mark); // an empty one of the absolute-form is the root (RFC 9112 3.2.1)
    query = mark == std::string_view::npos ? std::string_view{} : target.substr(mark);
    if (path.front() != '/') return {};
    const auto normalised = normalise_path(path, decoded_path_);
    if (!normalised) return normalised.error();
    path = *normalised;
    return {};
}

result<void> request_head::note(const field& each) {
    switch (each.id) {
    case field_id::other:
    case field_id::access_control: // these two begin so, whatever follows
    case field_id::forwarding:
        if (each.name.find('_') != std::string_view::npos)
            return fail(fault::bad_request, "A field name with an underscore: servers may take it for another field");
        return {};
    case field_id::content_length: {
        if (has_length_) return fail(fault::bad_request, "More than one Content-Length (RFC 9112 6.3)");
        const auto length = parse_length(each.value);
        if (!length) return length.error();
        has_length_ = true;
        body = {*length == 0 ? body_framing::kind::none : body_framing::kind::length, *length};
        return {};
    }
    case field_id::transfer_encoding:
        if (has_encoding_ || !equals_ignoring_case(each.value, "chunked"))
            return fail(fault::bad_request, "Transfer-Encoding is not exactly chunked (RFC 9112 6.1)");
        has_encoding_ = true;
        return {};
    case field_id::host:
        if (has_host_) return fail(fault::bad_request, "More than one Host (RFC 9112 3.2)");
        if (!is_host(each.value))
            return fail(fault::bad_request, "Host is not a valid host name and port (RFC 9112 3.2)");
        has_host_ = true;
        host = each.value;
        return {};
    case field_id::connection: {
        connection_options options;
        if (auto r = read_connection(each.value, options, nominated); !r) return r;
        connection_close_ |= options.close;
        connection_keep_alive_ |= options.keep_alive;
        return {};
    }
    case field_id::expect:
        if (!equals_ignoring_case(each.value, "100-continue"))
            return fail(fault::bad_request, "Expect knows only 100-continue (RFC 9110 10.1.1)");
        expects_continue = true;
        return {};
    case field_id::client_request_id: client_request_id = each.value; return {};
    case field_id::traceparent: // said twice, it is not clear which (https://www.w3.org/TR/trace-context/, 3.2)
        traceparent = traceparent.data() == nullptr ? each.value : std::string_view("-");
        return {};
    case field_id::azureml_model_deployment:
        if (!forced_deployment.empty()) return fail(fault::bad_request, "More than one azureml-model-deployment");
        forced_deployment = each.value;
        return {};
    case field_id::user_agent: user_agent = each.value; return {};
    case field_id::authorization:
        authorization_repeated = authorization.data() != nullptr;
        authorization = each.value;
        return {};
    case field_id::forwarded_host: // said twice, it is not clear whose word it is
        forwarded_host = !has_forwarded_host_ && is_host(each.value) ? each.value : std::string_view{};
        has_forwarded_host_ = true;
        return {};
    case field_id::forwarded_proto:
        forwarded_proto =
            !has_forwarded_proto_ && (each.value == "http" || each.value == "https") ? each.value : std::string_view{};
        has_forwarded_proto_ = true;
        return {};
    case field_id::origin: origin = each.value; return {};
    case field_id::request_method: preflight_method = each.value; return {};
    case field_id::request_headers: preflight_headers = each.value; return {};
    default: return {};
    }
}

result<void> request_head::finish() {
    if (has_encoding_) {
        if (has_length_)
            return fail(fault::bad_request, "Content-Length together with Transfer-Encoding (RFC 9112 6.1)");
        if (minor_version == 0) return fail(fault::bad_request, "Transfer-Encoding with HTTP/1.0 (RFC 9112 6.1)");
        body = {body_framing::kind::chunked, 0};
    }
    if (!has_host_ && minor_version == 1) return fail(fault::bad_request, "Host is missing (RFC 9112 3.2)");
    if (!authority_.empty()) {
        if (has_host_ && !equals_ignoring_case(authority_, host))
            return fail(fault::bad_request, "Host differs from the request target's authority (RFC 9112 3.2.2)");
        if (!is_host(authority_))
            return fail(fault::bad_request, "The request target's authority is not a valid host (RFC 9112 3.2.2)");
        host = authority_;
    }
    if (minor_version == 0) expects_continue = false; // RFC 9110 10.1.1
    keep_alive = minor_version == 1 ? !connection_close_ : connection_keep_alive_ && !connection_close_;
    return {};
}

result<void> response_head::parse_status_line(std::string_view line) {
    // HTTP/1.x SP 3DIGIT [SP reason] (RFC 9112 4); the space before an absent reason is often left out.
    const bool shaped = line.size() >= 12 && line.substr(0, 7) == "HTTP/1." && (line[7] == '0' || line[7] == '1') &&
                        line[8] == ' ' && (line.size() == 12 || line[12] == ' ');
    if (!shaped) return fail(fault::replica_bad_response, "no status line");
    minor_version = line[7] - '0';
    const auto [end, ec] = std::from_chars(line.data() + 9, line.data() + 12, status);
    if (ec != std::errc{} || end != line.data() + 12 || status < 100 || status > 599)
        return fail(fault::replica_bad_response, "no valid status code");
    reason = line.size() > 13 ? line.substr(13) : std::string_view{};
    if (!is_value(reason)) return fail(fault::replica_bad_response, "a control character in the reason");
    return {};
}

result<void> response_head::parse(std::string_view bytes, const head_limits& limits, method to) {
    body = {};
    announced_length.reset();
    idle_limit.reset();
    has_date = false;
    nominated.clear();
    if (auto r = parse_status_line(take_line(bytes)); !r) return r;
    if (auto r = parse_fields(bytes, limits, fields); !r) return fail(fault::replica_bad_response, r.error().detail);
    bool chunked = false;
    connection_options options;
    for (const auto& each : fields) {
        switch (each.id) {
        case field_id::content_length: {
            const auto length = parse_length(each.value);
            if (!length || announced_length)
                return fail(fault::replica_bad_response, "Content-Length is repeated or not a number");
            announced_length = *length;
            break;
        }
        case field_id::transfer_encoding:
            if (chunked || !equals_ignoring_case(each.value, "chunked") || minor_version == 0)
                return fail(fault::replica_bad_response, "Transfer-Encoding is not exactly chunked");
            chunked = true;
            break;
        case field_id::connection:
            // The same rule as for clients: a reply that calls its framing or its Date hop-by-hop is not to be trusted.
            if (auto r = read_connection(each.value, options, nominated); !r)
                return fail(fault::replica_bad_response, r.error().detail);
            break;
        case field_id::date: has_date = true; break;
        case field_id::hop_by_hop:
            if (equals_ignoring_case(each.name, "keep-alive")) idle_limit = read_idle_limit(each.value);
            break;
        default: break;
        }
    }
    if (chunked && announced_length)
        return fail(fault::replica_bad_response, "Content-Length together with Transfer-Encoding");
    keep_alive = minor_version == 1 ? !options.close : options.keep_alive && !options.close;
    const bool bodyless = to == method::head || status < 200 || status == 204 || status == 304;
    // These may not announce a body (RFC 9112 6.1, RFC 9110 8.6), 304 only the length of another reply's. Should one
    // come nevertheless, it must not be there for the next request.
    const bool without = status < 200 || status == 204;
    if ((without && announced_length.value_or(0) != 0) || ((without || status == 304) && chunked)) keep_alive = false;
    if (bodyless)
        body.how = body_framing::kind::none;
    else if (chunked)
        body.how = body_framing::kind::chunked;
    else if (announced_length)
        body = {*announced_length == 0 ? body_framing::kind::none : body_framing::kind::length, *announced_length};
    else {
        body.how = body_framing::kind::until_close;
        keep_alive = false;
    }
    return {};
}

} // namespace scoregate::http
