#include "http/write.hpp"

#include <charconv>

namespace scoregate::http {

namespace {

void number(base::buffer& out, std::uint64_t value) {
    const auto room = out.writable();
    out.commit(
        static_cast<std::size_t>(std::to_chars(room.data(), room.data() + room.size(), value).ptr - room.data()));
}

void line(base::buffer& out, std::string_view name, std::string_view value) {
    out.append(name);
    out.append(": ");
    out.append(value);
    out.append("\r\n");
}

// Milliseconds with three digits behind the point.
void milliseconds(base::buffer& out, std::chrono::nanoseconds duration) {
    const auto us = static_cast<std::uint64_t>(duration.count() > 0 ? duration.count() / 1000 : 0);
    number(out, us / 1000);
    const auto rest = us % 1000;
    const char digits[4] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                            static_cast<char>('0' + rest % 10)};
    out.append({digits, 4});
}

void write_framing(base::buffer& out, const body_framing& body, bool announce_empty) {
    switch (body.how) {
    case body_framing::kind::chunked: out.append("Transfer-Encoding: chunked\r\n"); break;
    case body_framing::kind::length:
        out.append("Content-Length: ");
        number(out, body.length);
        out.append("\r\n");
        break;
    case body_framing::kind::none:
        if (announce_empty) out.append("Content-Length: 0\r\n");
        break;
    case body_framing::kind::until_close: break;
    }
}

std::size_t room_for_fields(const std::vector<field>& fields) {
    std::size_t room = room_for_ours;
    for (const auto& each : fields) room += each.name.size() + each.value.size() + 4;
    return room;
}

} // namespace

std::size_t room_for(const request_head& head, const replica_target& target, std::string_view host) {
    return room_for_fields(head.fields) + head.method_name.size() + target.path.size() + target.rest.size() +
           head.query.size() + host.size() + head.host.size();
}

void write_request_head(base::buffer& out, const request_head& head, const replica_target& target,
                        std::string_view host, const forwarded& from, const request_identity& identity) {
    out.append(head.method_name);
    out.append(" ");
    out.append(target.path);
    out.append(target.rest);
    out.append(head.query);
    out.append(" HTTP/1.1\r\n");
    line(out, "Host", host);
    for (const auto& each : head.fields) {
        switch (each.id) {
        case field_id::authorization:
            if (from.authorization) break;
            continue;
        case field_id::client_request_id:
        case field_id::connection:
        case field_id::content_length:
        case field_id::expect:
        case field_id::forwarded_for:
        case field_id::forwarded_host:
        case field_id::forwarded_proto:
        case field_id::forwarding:
        case field_id::hop_by_hop:
        case field_id::host:
        case field_id::request_id:
        case field_id::traceparent:
        case field_id::transfer_encoding: continue;
        default: break;
        }
        if (!head.nominated.empty() && is_nominated(each, head.nominated)) continue;
        line(out, each.name, each.value);
    }
    line(out, "X-Forwarded-For", from.addresses);
    line(out, "X-Forwarded-Proto", from.proto);
    if (!from.host.empty()) line(out, "X-Forwarded-Host", from.host);
    if (!from.certificate.empty()) line(out, "X-Forwarded-Client-Cert", from.certificate);
    line(out, "X-Request-Id", identity.id.view());
    if (identity.client.size != 0) line(out, "x-ms-client-request-id", identity.client.view());
    line(out, "traceparent", identity.trace.view());
    const bool has_meaning = head.verb == method::post || head.verb == method::put || head.verb == method::patch;
    write_framing(out, head.body, has_meaning); // RFC 9110 8.6
    out.append("\r\n");
}

std::size_t room_for(const response_head& head) { return room_for_fields(head.fields) + head.reason.size(); }

void write_reply_head(base::buffer& out, const response_head& head, unsigned status, const reply_marks& marks,
                      const reply_framing& framing, std::string_view deployment, std::string_view date,
                      const timings& spent, const request_identity& identity) {
    out.append("HTTP/1.1 ");
    number(out, status);
    out.append(" ");
    out.append(status == head.status ? head.reason : reason_phrase(status));
    out.append("\r\n");
    for (const auto& each : head.fields) {
        switch (each.id) {
        case field_id::access_control:
            if (marks.cors) continue;
            break;
        case field_id::transport_security:
            if (marks.transport_security) continue;
            break;
        case field_id::azureml_model_deployment:
        case field_id::fault_token:
        case field_id::client_request_id:
        case field_id::connection:
        case field_id::content_length:
        case field_id::hop_by_hop:
        case field_id::request_id:
        case field_id::transfer_encoding: continue;
        default: break;
        }
        if (!head.nominated.empty() && is_nominated(each, head.nominated)) continue;
        line(out, each.name, each.value);
    }
    if (!head.has_date) line(out, "Date", date);
    line(out, "x-request-id", identity.id.view());
    line(out, "x-ms-request-id", identity.id.view());
    if (identity.client.size != 0) line(out, "x-ms-client-request-id", identity.client.view());
    line(out, "azureml-model-deployment", deployment);
    if (!marks.fault_token.empty()) line(out, "x-scoregate-fault", marks.fault_token);
    if (marks.model_status) {
        out.append("ms-azureml-model-error-statuscode: ");
        number(out, head.status);
        out.append("\r\nms-azureml-model-error-reason: model_error\r\n");
    }
    if (marks.cors) out.append(cors_lines(marks.allowed_origin));
    if (marks.transport_security) out.append(*marks.transport_security);
    out.append("Server-Timing: queue;dur=");
    milliseconds(out, spent.queue);
    out.append(", connect;dur=");
    milliseconds(out, spent.connect);
    out.append(", model;dur=");
    milliseconds(out, spent.model);
    out.append("\r\n");
    // 204 has no length at all (RFC 9110 8.6); 304 and replies to HEAD keep the one that was announced.
    if (framing.body.how == body_framing::kind::none && head.announced_length && head.status != 204) {
        out.append("Content-Length: ");
        number(out, *head.announced_length);
        out.append("\r\n");
    } else
        write_framing(out, framing.body, false);
    if (framing.close)
        out.append("Connection: close\r\n");
    else if (framing.announce_keep_alive)
        out.append("Connection: keep-alive\r\n");
    out.append("\r\n");
}

std::string cors_lines(std::string_view allowed_origin) {
    if (allowed_origin.empty()) return "Vary: Origin\r\n";
    std::string lines = "Access-Control-Allow-Origin: ";
    lines.append(allowed_origin);
    lines.append(allowed_origin == "*" ? "\r\n" : "\r\nVary: Origin\r\n");
    return lines.append("Access-Control-Expose-Headers: x-request-id, x-ms-request-id, x-ms-client-request-id, "
                        "x-scoregate-fault, azureml-model-deployment, ms-azureml-model-error-statuscode, "
                        "ms-azureml-model-error-reason, Retry-After, Server-Timing\r\n");
}

std::string transport_security_line(std::chrono::seconds max_age, bool include_subdomains, bool preload) {
    auto line = "Strict-Transport-Security: max-age=" + std::to_string(max_age.count());
    if (include_subdomains) line.append("; includeSubDomains");
    if (preload) line.append("; preload");
    return line.append("\r\n");
}

void write_interim_head(base::buffer& out, const response_head& head) {
    out.append("HTTP/1.1 ");
    number(out, head.status);
    out.append(" ");
    out.append(head.reason);
    out.append("\r\n");
    for (const auto& each : head.fields) {
        switch (each.id) {
        case field_id::access_control:
        case field_id::azureml_model_deployment:
        case field_id::client_request_id:
        case field_id::connection:
        case field_id::content_length:
        case field_id::fault_token:
        case field_id::hop_by_hop:
        case field_id::request_id:
        case field_id::transfer_encoding:
        case field_id::transport_security: continue;
        default: break;
        }
        if (!is_nominated(each, head.nominated)) line(out, each.name, each.value);
    }
    out.append("\r\n");
}

std::string_view reason_phrase(unsigned status) {
    switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 204: return "No Content";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 424: return "Failed Dependency";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "";
    }
}

} // namespace scoregate::http
