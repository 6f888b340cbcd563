#include "http/reply.hpp"

namespace scoregate::http {

namespace {

void replace(std::string& text, std::string_view mark, std::string_view with) {
    if (const auto at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), with);
}

std::string whole_reply(unsigned status, std::string_view fields, std::string_view content_type, std::string_view body,
                        const own_reply& about) {
    std::string out = "HTTP/1.1 " + std::to_string(status) + ' ';
    const auto line = [&](std::string_view name, std::string_view value) {
        out.append(name).append(": ").append(value).append("\r\n");
    };
    out.append(reason_phrase(status)).append("\r\n").append(fields);
    line("Date", about.date);
    if (!body.empty()) line("Content-Type", content_type);
    if (status != 204) line("Content-Length", std::to_string(body.size())); // RFC 9110 8.6
    line("x-request-id", about.identity.id.view());
    line("x-ms-request-id", about.identity.id.view());
    if (about.identity.client.size != 0) line("x-ms-client-request-id", about.identity.client.view());
    if (about.cors) out.append(cors_lines(about.allowed_origin));
    out.append(about.transport_security);
    if (about.close) line("Connection", "close");
    out.append("\r\n");
    if (!about.head_only) out.append(body);
    return out;
}

} // namespace

std::string fault_reply(const base::failure& why, std::string_view service, const own_reply& about) {
    const auto& row = base::row(why.kind);
    std::string message(row.message);
    replace(message, "{service}", service);
    replace(message, "{detail}", why.detail);
    replace(message, "{limit}", std::to_string(why.limit));
    // Every part is a constant of ours, a checked name or a number: nothing here needs escaping in JSON.
    std::string body = R"({"error":{"code":")";
    body.append(row.token).append(R"(","message":")").append(message).append(R"(","side":")");
    body.append(base::to_string(row.blame)).append(R"(","request_id":")").append(about.identity.id.view());
    body.append("\"}}\n");

    std::string fields = "x-scoregate-fault: ";
    fields.append(row.token).append("\r\n");
    if (row.status == 401) fields.append("WWW-Authenticate: Bearer\r\n"); // RFC 9110 11.6.1, RFC 6750 3
    if (why.kind == base::fault::method_not_allowed) fields.append("Allow: ").append(why.detail).append("\r\n");
    if (why.retry_after != 0) fields.append("Retry-After: ").append(std::to_string(why.retry_after)).append("\r\n");
    return whole_reply(base::status(why.kind, about.mapping), fields, "application/json", body, about);
}

std::string healthy_reply(const own_reply& about) { return whole_reply(200, "", "text/plain", "Healthy", about); }

std::string challenge_reply(std::string_view key_authorization, const own_reply& about) {
    return whole_reply(200, "", "application/octet-stream", key_authorization, about);
}

std::string preflight_reply(std::string_view methods, std::string_view fields, const own_reply& about) {
    std::string lines = "Access-Control-Allow-Methods: ";
    lines.append(methods).append("\r\n");
    if (!fields.empty()) lines.append("Access-Control-Allow-Headers: ").append(fields).append("\r\n");
    lines.append("Access-Control-Max-Age: 600\r\n");
    return whole_reply(204, lines, "", "", about);
}

std::string redirect_reply(std::string_view location, const own_reply& about) {
    return whole_reply(308, "Location: " + std::string(location) + "\r\n", "", "", about);
}

std::string https_location(std::string_view cname, unsigned port, std::string_view path, std::string_view query) {
    const bool ipv6 = cname.find(':') != std::string_view::npos;
    std::string url = ipv6 ? "https://[" : "https://";
    url.append(cname).append(ipv6 ? "]" : "");
    if (port != 443) url.append(":").append(std::to_string(port));
    return url.append(path).append(query);
}

std::string plain_http_on_tls_reply(std::string_view date) {
    constexpr std::string_view body = "This port speaks HTTPS (TLS 1.2). Use https:// in the URL.\n";
    std::string out = "HTTP/1.1 400 Bad Request\r\nDate: ";
    out.append(date).append("\r\nContent-Type: text/plain\r\nContent-Length: ").append(std::to_string(body.size()));
    out.append("\r\nConnection: close\r\n\r\n").append(body);
    return out;
}

} // namespace scoregate::http
