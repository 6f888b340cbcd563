#include "http/write.hpp"

#include "http/trace_state.hpp"

#include <charconv>
#include <cstring>

namespace scoregate::http {

namespace {

// Writes where there is room for all that comes (room_for), and tells the buffer when it is done.
class writer {
public:
    explicit writer(base::buffer& out) : out_(out), at_(out.writable().data()) {}
    ~writer() { out_.commit(static_cast<std::size_t>(at_ - out_.writable().data())); }
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;

    template <std::size_t Size>
    void text(const char (&literal)[Size]) {
        std::memcpy(at_, literal, Size - 1);
        at_ += Size - 1;
    }
    void text(std::string_view bytes) {
        if (bytes.empty()) return; // may have no address, which memcpy must not get
        std::memcpy(at_, bytes.data(), bytes.size());
        at_ += bytes.size();
    }
    void number(std::uint64_t value) { at_ = std::to_chars(at_, at_ + longest_number, value).ptr; }
    // Milliseconds with three digits behind the point.
    void milliseconds(std::chrono::nanoseconds duration) {
        const auto us = static_cast<std::uint64_t>(duration.count() > 0 ? duration.count() / 1000 : 0);
        number(us / 1000);
        const auto rest = us % 1000;
        *at_++ = '.';
        *at_++ = static_cast<char>('0' + rest / 100);
        *at_++ = static_cast<char>('0' + rest / 10 % 10);
        *at_++ = static_cast<char>('0' + rest % 10);
    }
    // `name` ends with a colon and a space.
    template <std::size_t Size>
    void line(const char (&name)[Size], std::string_view value) {
        text(name);
        text(value);
        text("\r\n");
    }

private:
    static constexpr std::size_t longest_number = 20;

    base::buffer& out_;
    char* at_;
};

// Fields that are passed on as they came, which most do: those whose lines stand behind one another go in one piece.
class passed_on {
public:
    explicit passed_on(writer& to) : to_(to) {}

    void add(const field& each) {
        if (each.as_we_write) {
            if (each.name.data() != run_.data() + run_.size()) {
                flush();
                run_ = {each.name.data(), 0};
            }
            run_ = {run_.data(), run_.size() + each.name.size() + 2 + each.value.size() + 2};
            return;
        }
        flush();
        to_.text(each.name);
        to_.text(": ");
        to_.text(each.value);
        to_.text("\r\n");
    }
    void flush() {
        to_.text(run_);
        run_ = {};
    }

private:
    writer& to_;
    std::string_view run_;
};

void write_framing(writer& out, const body_framing& body, bool announce_empty) {
    switch (body.how) {
    case body_framing::kind::chunked: out.text("Transfer-Encoding: chunked\r\n"); break;
    case body_framing::kind::length:
        out.text("Content-Length: ");
        out.number(body.length);
        out.text("\r\n");
        break;
    case body_framing::kind::none:
        if (announce_empty) out.text("Content-Length: 0\r\n");
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
    writer to(out);
    to.text(head.method_name);
    to.text(" ");
    to.text(target.path);
    to.text(target.rest);
    to.text(head.query);
    to.line(" HTTP/1.1\r\nHost: ", host);
    passed_on fields(to);
    bool has_state = false;
    for (const auto& each : head.fields) {
        switch (each.id) {
        case field_id::tracestate: has_state = true; continue;
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
        fields.add(each);
    }
    fields.flush();
    to.line("X-Forwarded-For: ", from.addresses);
    to.line("X-Forwarded-Proto: ", from.proto);
    if (!from.host.empty()) to.line("X-Forwarded-Host: ", from.host);
    if (!from.certificate.empty()) to.line("X-Forwarded-Client-Cert: ", from.certificate);
    to.line("X-Request-Id: ", identity.id.view());
    if (identity.client.size != 0) to.line("x-ms-client-request-id: ", identity.client.view());
    to.line("traceparent: ", identity.trace.view());
    if (has_state && identity.trace.continued) { // another trace's state means nothing
        const auto state = read_trace_state(head.fields, head.nominated);
        if (state.size != 0) to.line("tracestate: ", state.view());
    }
    const bool has_meaning = head.verb == method::post || head.verb == method::put || head.verb == method::patch;
    write_framing(to, head.body, has_meaning); // RFC 9110 8.6
    to.text("\r\n");
}

std::size_t room_for(const response_head& head) { return room_for_fields(head.fields) + head.reason.size(); }

void write_reply_head(base::buffer& out, const response_head& head, unsigned status, const reply_marks& marks,
                      const reply_framing& framing, std::string_view deployment, std::string_view date,
                      const timings& spent, const request_identity& identity) {
    writer to(out);
    to.text("HTTP/1.1 ");
    to.number(status);
    to.text(" ");
    to.text(status == head.status ? head.reason : reason_phrase(status));
    to.text("\r\n");
    passed_on fields(to);
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
        fields.add(each);
    }
    fields.flush();
    if (!head.has_date) to.line("Date: ", date);
    to.line("x-request-id: ", identity.id.view());
    to.line("x-ms-request-id: ", identity.id.view());
    if (identity.client.size != 0) to.line("x-ms-client-request-id: ", identity.client.view());
    to.line("azureml-model-deployment: ", deployment);
    if (!marks.fault_token.empty()) to.line("x-scoregate-fault: ", marks.fault_token);
    if (marks.model_status) {
        to.text("ms-azureml-model-error-statuscode: ");
        to.number(head.status);
        to.text("\r\nms-azureml-model-error-reason: model_error\r\n");
    }
    if (marks.cors) to.text(cors_lines(marks.allowed_origin));
    if (marks.transport_security) to.text(*marks.transport_security);
    to.text("Server-Timing: queue;dur=");
    to.milliseconds(spent.queue);
    to.text(", connect;dur=");
    to.milliseconds(spent.connect);
    to.text(", model;dur=");
    to.milliseconds(spent.model);
    to.text("\r\n");
    // 204 has no length at all (RFC 9110 8.6); 304 and replies to HEAD keep the one that was announced.
    if (framing.body.how == body_framing::kind::none && head.announced_length && head.status != 204) {
        to.text("Content-Length: ");
        to.number(*head.announced_length);
        to.text("\r\n");
    } else
        write_framing(to, framing.body, false);
    if (framing.close)
        to.text("Connection: close\r\n");
    else if (framing.announce_keep_alive)
        to.text("Connection: keep-alive\r\n");
    to.text("\r\n");
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
    writer to(out);
    to.text("HTTP/1.1 ");
    to.number(head.status);
    to.text(" ");
    to.text(head.reason);
    to.text("\r\n");
    passed_on fields(to);
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
        if (!is_nominated(each, head.nominated)) fields.add(each);
    }
    fields.flush();
    to.text("\r\n");
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
