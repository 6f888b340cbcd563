#include "telemetry/otlp.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <utility>

namespace scoregate::telemetry {

namespace {

using nlohmann::json;
using steady_time = std::chrono::steady_clock::time_point;

// SpanKind and Status.StatusCode of opentelemetry/proto/trace/v1/trace.proto.
constexpr int kind_internal = 1, kind_server = 2, kind_client = 3;
constexpr int status_error = 2;

template <std::size_t Size>
std::string text_of(const std::array<char, Size>& id) {
    return {id.data(), id.size()};
}

// A list of KeyValue; what is not known is left out.
class attributes {
public:
    void text(const char* key, std::string value) {
        if (!value.empty()) add(key, {{"stringValue", std::move(value)}});
    }
    void number(const char* key, std::uint64_t value) { // an int64 there
        constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
        add(key, {{"intValue", std::to_string(std::min(value, most))}});
    }
    json take() { return std::move(list_); }

private:
    void add(const char* key, json value) { list_.push_back({{"key", key}, {"value", std::move(value)}}); }

    json list_ = json::array();
};

class encoder {
public:
    explicit encoder(const trace& of) : of_(of) {}

    void append(json& spans) const {
        spans.push_back(request());
        for (const auto& each : of_.stages) spans.push_back(stage_of(each));
    }

private:
    // The clock that never goes back measures, the other one tells when it began.
    std::string nanoseconds(steady_time when) const {
        using std::chrono::nanoseconds;
        const auto at = std::chrono::duration_cast<nanoseconds>(of_.began_at.time_since_epoch()) +
                        std::chrono::duration_cast<nanoseconds>(when - of_.began);
        return std::to_string(at.count());
    }

    json span(const span_id& id, std::string name, int kind, steady_time begin, steady_time end) const {
        return {{"traceId", text_of(of_.id)},
                {"spanId", text_of(id)},
                {"name", std::move(name)},
                {"kind", kind},
                {"startTimeUnixNano", nanoseconds(begin)},
                {"endTimeUnixNano", nanoseconds(end)}};
    }

    std::string method() const { return of_.known_method ? of_.method : "_OTHER"; }
    void add_method(attributes& to) const {
        if (of_.method.empty()) return;
        to.text("http.request.method", method());
        if (!of_.known_method) to.text("http.request.method_original", of_.method);
    }

    // What went wrong, if anything: a client's own fault is no error of a server's span.
    static void judge(json& made, attributes& to, base::fault why, unsigned status, unsigned first_error) {
        const bool failed = status >= first_error;
        if (why != base::fault::none) {
            const auto blame = base::row(why).blame;
            to.text("error.type", std::string(base::token(why)));
            to.text("scoregate.side", std::string(base::to_string(blame)));
            if (!failed && blame == base::side::client) return;
            made["status"] = {{"code", status_error}, {"message", std::string(base::token(why))}};
        } else if (failed) {
            to.text("error.type", std::to_string(status));
            made["status"] = {{"code", status_error}};
        }
    }

    json request() const {
        const auto named = of_.known_method && !of_.method.empty() ? of_.method : std::string("HTTP");
        auto made =
            span(of_.own, of_.route.empty() ? named : named + " " + of_.route, kind_server, of_.began, of_.ended);
        if (of_.parent) made["parentSpanId"] = text_of(*of_.parent);
        attributes to;
        add_method(to);
        to.text("url.path", of_.path);
        to.text("url.scheme", of_.scheme);
        to.text("http.route", of_.route);
        if (of_.protocol.starts_with("HTTP/")) to.text("network.protocol.version", of_.protocol.substr(5));
        if (of_.status != 0) to.number("http.response.status_code", of_.status);
        to.text("client.address", of_.client_ip);
        to.text("user_agent.original", of_.user_agent);
        to.text("scoregate.service", of_.service);
        to.text("scoregate.deployment", of_.deployment);
        to.text("scoregate.request_id", of_.request_id);
        to.text("scoregate.client_request_id", of_.client_request_id);
        to.number("scoregate.attempts", of_.attempts);
        to.number("scoregate.bytes_in", of_.bytes_in);
        to.number("scoregate.bytes_out", of_.bytes_out);
        judge(made, to, of_.fault, of_.status, 500);
        made["attributes"] = to.take();
        return made;
    }

    json stage_of(const stage_span& one) const {
        const bool model = one.what == stage::model;
        auto made = span(one.id,
                         model ? (of_.known_method ? of_.method : std::string("HTTP"))
                               : std::string(one.what == stage::queue ? "queue" : "connect"),
                         model ? kind_client : kind_internal, one.begin, one.end);
        made["parentSpanId"] = text_of(of_.own);
        attributes to;
        to.text("scoregate.stage", one.what == stage::queue ? "queue" : model ? "model" : "connect");
        to.text("scoregate.service", of_.service);
        to.text("scoregate.deployment", of_.deployment);
        to.text("scoregate.replica", one.replica);
        add_server(to, one.replica);
        if (model) {
            add_method(to);
            if (one.replica.starts_with("http://") || one.replica.starts_with("https://"))
                to.text("url.full", one.replica + of_.replica_path);
            if (one.tries_before != 0) to.number("http.request.resend_count", one.tries_before);
            if (one.status != 0) to.number("http.response.status_code", one.status);
            auto events = json::array();
            const auto add = [&](const char* name, const std::optional<steady_time>& when) {
                if (when) events.push_back({{"name", name}, {"timeUnixNano", nanoseconds(*when)}});
            };
            add("request sent", one.request_sent);
            add("reply head", one.head);
            if (!events.empty()) made["events"] = std::move(events);
        }
        judge(made, to, one.why, model ? one.status : 0, 400);
        made["attributes"] = to.take();
        return made;
    }

    // server.address and server.port of what the configuration calls http://HOST[:PORT] or http+unix:///PATH.
    static void add_server(attributes& to, std::string_view url) {
        const auto scheme_end = url.find("://");
        if (scheme_end == std::string_view::npos) return;
        const auto scheme = url.substr(0, scheme_end);
        auto rest = url.substr(scheme_end + 3);
        if (scheme == "http+unix") return to.text("server.address", std::string(rest));
        if (scheme != "http" && scheme != "https") return;
        unsigned port = scheme == "https" ? 443 : 80;
        const auto colon = rest.rfind(':');
        const auto bracket = rest.rfind(']');
        if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
            std::from_chars(rest.data() + colon + 1, rest.data() + rest.size(), port);
            rest = rest.substr(0, colon);
        }
        if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
        to.text("server.address", std::string(rest));
        to.number("server.port", port);
    }

    const trace& of_;
};

} // namespace

std::string otlp_json(const trace_log::traces& all, const trace_source& source) {
    attributes resource;
    resource.text("service.name", source.service_name);
    resource.text("service.version", source.version);
    resource.text("service.instance.id", source.instance);
    auto spans = json::array();
    for (const auto& each : all) encoder(*each).append(spans);
    json of_scope{{"scope", {{"name", "scoregate"}, {"version", source.version}}}, {"spans", std::move(spans)}};
    json of_resource{{"resource", {{"attributes", resource.take()}}},
                     {"scopeSpans", json::array({std::move(of_scope)})}};
    const json whole{{"resourceSpans", json::array({std::move(of_resource)})}};
    return whole.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace scoregate::telemetry
