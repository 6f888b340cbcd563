#include "app/status_report.hpp"

#include "app/printable.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::app {

namespace {

using nlohmann::json;

constexpr std::size_t most_errors = 10;

// The member, or null: also of what is no object.
const json& member(const json& of, const char* name) {
    static const json nothing;
    if (!of.is_object()) return nothing;
    const auto found = of.find(name);
    return found == of.end() ? nothing : *found;
}

std::string text(const json& of, const char* name) {
    const auto& found = member(of, name);
    return found.is_string() ? printable(found.get_ref<const std::string&>()) : std::string();
}

double number(const json& of, const char* name) {
    const auto& found = member(of, name);
    return found.is_number() ? found.get<double>() : 0;
}

bool flag(const json& of, const char* name, bool otherwise) {
    const auto& found = member(of, name);
    return found.is_boolean() ? found.get<bool>() : otherwise;
}

std::string shown(double value, int decimals) {
    char digits[64];
    std::snprintf(digits, sizeof digits, "%.*f", decimals, std::clamp(value, -1e12, 1e12));
    return digits;
}

std::string whole(const json& of, const char* name) {
    return member(of, name).is_number() ? shown(number(of, name), 0) : "-";
}

std::string rate(const json& of, const char* name) {
    if (!member(of, name).is_number()) return "-";
    const auto value = number(of, name);
    return shown(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

std::string percent(const json& of, const char* name) {
    return member(of, name).is_number() ? shown(number(of, name) * 100, 1) + " %" : "-";
}

std::string milliseconds(const json& of, const char* name) {
    if (!member(of, name).is_number()) return "-";
    const auto value = number(of, name);
    return value < 1000 ? shown(value, value < 10 ? 2 : 0) + " ms" : shown(value / 1000, 2) + " s";
}

std::string duration(double seconds) {
    const auto minutes = static_cast<long>(std::clamp(seconds, 0.0, 1e10)) / 60;
    if (minutes >= 24 * 60)
        return std::to_string(minutes / (24 * 60)) + " d " + std::to_string(minutes / 60 % 24) + " h";
    if (minutes >= 60) return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " min";
    return minutes > 0 ? std::to_string(minutes) + " min" : shown(seconds, 0) + " s";
}

enum class tone : std::uint8_t { plain, strong, good, warning, bad };

struct cell {
    std::string text;
    tone how = tone::plain;
};
using row = std::vector<cell>;

// Code points, as good as columns for what stands here.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

class writer {
public:
    explicit writer(colours how) : ansi_(how == colours::ansi) {}

    void line(const row& cells) {
        for (const auto& each : cells) add(each);
        out_ += '\n';
    }
    void heading(std::string_view what) {
        out_ += '\n';
        line({{std::string(what), tone::strong}});
    }
    // Columns as wide as their widest cell, two spaces apart.
    void table(const std::vector<row>& rows) {
        std::vector<std::size_t> widths;
        for (const auto& each : rows) {
            widths.resize(std::max(widths.size(), each.size()));
            for (std::size_t i = 0; i < each.size(); ++i) widths[i] = std::max(widths[i], width(each[i].text));
        }
        for (const auto& each : rows) {
            out_ += "  ";
            for (std::size_t i = 0; i < each.size(); ++i) {
                add(each[i]);
                if (i + 1 < each.size()) out_.append(widths[i] - width(each[i].text) + 2, ' ');
            }
            out_ += '\n';
        }
    }
    std::string take() { return std::move(out_); }

private:
    void add(const cell& each) {
        constexpr std::string_view codes[] = {"", "\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[31m"};
        const bool coloured = ansi_ && each.how != tone::plain;
        if (coloured) out_ += codes[static_cast<std::size_t>(each.how)];
        out_ += each.text;
        if (coloured) out_ += "\x1b[0m";
    }

    bool ansi_;
    std::string out_;
};

tone tone_of(std::string_view level) {
    return level == "good" ? tone::good : level == "warning" ? tone::warning : level == "bad" ? tone::bad : tone::plain;
}

row titles(std::vector<std::string> names) {
    row made;
    made.reserve(names.size());
    for (auto& each : names) made.push_back({std::move(each), tone::strong});
    return made;
}

void write_health(writer& out, const json& status, const json& history) {
    const auto& health = member(history, "health");
    const auto level = text(health, "level");
    const auto word = level == "good"      ? "healthy"
                      : level == "warning" ? "healthy, with warnings"
                      : level == "bad"     ? "not healthy"
                                           : "health not known";
    out.line({{"scoregate " + text(status, "version") + ": "},
              {word, tone_of(level)},
              {flag(status, "draining", false) ? " (draining)"
               : flag(status, "ready", true)   ? ""
                                               : " (not ready)"},
              {", up " + duration(number(status, "uptime_s")) + ", " + whole(member(status, "connections"), "open") +
               " connections"}});
    for (const auto& each : member(health, "findings")) {
        const auto how = tone_of(text(each, "level"));
        out.line({{how == tone::bad ? "  ! " : "  - ", how}, {text(each, "text")}});
    }
}

void write_services(writer& out, const json& history) {
    const auto& services = member(history, "services");
    if (!services.is_object()) return;
    std::vector<row> rows{titles({"SERVICE", "REQ/S", "ERRORS", "P50", "P99", "QUEUE", "IN FLIGHT", "15 MIN: REQ/S",
                                  "ERRORS", "P50", "P99", "QUEUE"})};
    const auto errors = [](const json& of) {
        return cell{percent(of, "error_ratio"), number(of, "errors") > 0 ? tone::bad : tone::plain};
    };
    for (const auto& [name, each] : services.items()) {
        const auto& now = member(each, "now");
        const auto& recent = member(each, "recent");
        if (name.empty() && number(recent, "requests") == 0) continue;
        rows.push_back({{name.empty() ? "(no service)" : printable(name)},
                        {rate(now, "rate")},
                        errors(now),
                        {milliseconds(now, "p50_ms")},
                        {milliseconds(now, "p99_ms")},
                        {whole(now, "queued")},
                        {whole(now, "in_flight")},
                        {rate(recent, "rate")},
                        errors(recent),
                        {milliseconds(recent, "p50_ms")},
                        {milliseconds(recent, "p99_ms")},
                        {whole(recent, "queued")}});
    }
    out.heading("Services");
    out.table(rows);
    if (const auto left_out = number(history, "services_left_out"); left_out > 0)
        out.line({{"  and " + shown(left_out, 0) + " more, without history"}});
}

void write_replicas(writer& out, const json& status) {
    std::vector<row> rows{titles({"REPLICA", "DEPLOYMENT", "STATE", "SINCE", "IN FLIGHT", "WHY"})};
    const auto& services = member(status, "services");
    if (!services.is_object()) return;
    for (const auto& [service, what] : services.items()) {
        const auto& deployments = member(what, "deployments");
        if (!deployments.is_object()) continue;
        for (const auto& [deployment, of] : deployments.items())
            for (const auto& each : member(of, "replicas")) {
                const bool ready = flag(each, "ready", false);
                auto standing = text(each, "standing");
                if (!ready && standing == "ready") standing = "unresolved";
                rows.push_back({{text(each, "url")},
                                {printable(service) + '/' + printable(deployment)},
                                {standing, ready ? tone::good : tone::bad},
                                {text(each, "since")},
                                {whole(each, "in_flight")},
                                {text(each, "why")}});
            }
    }
    out.heading("Replicas");
    out.table(rows);
}

void write_certificates(writer& out, const json& status) {
    const auto& certificates = member(status, "certificates");
    if (!certificates.is_array() || certificates.empty()) return;
    std::vector<row> rows{titles({"CERTIFICATE", "DAYS LEFT", "EXPIRES", "SERIAL"})};
    for (const auto& each : certificates) {
        const auto expiry = text(each, "expiry");
        const auto how = expiry == "fine" || expiry.empty()      ? tone::good
                         : expiry == "renew" || expiry == "week" ? tone::warning
                                                                 : tone::bad;
        rows.push_back({{text(each, "cname")},
                        {whole(each, "days_left"), how},
                        {text(each, "not_after")},
                        {text(each, "serial")}});
    }
    out.heading("Certificates");
    out.table(rows);
}

void write_reloads(writer& out, const json& status) {
    const auto& reloads = member(status, "reloads");
    if (!reloads.is_object()) return;
    std::vector<row> rows{titles({"RELOAD UNIT", "LAST", "AT", "SUCCEEDED", "FAILED", "PROBLEM"})};
    for (const auto& [unit, of] : reloads.items()) {
        const auto last = text(of, "last_result");
        const auto& problems = member(of, "problems");
        std::string first;
        if (problems.is_array() && !problems.empty() && problems.front().is_string())
            first = printable(problems.front().get_ref<const std::string&>());
        rows.push_back({{printable(unit)},
                        {last.empty() ? "-" : last, last == "failed" ? tone::bad : tone::plain},
                        {text(of, "last_at")},
                        {whole(of, "succeeded")},
                        {whole(of, "failed")},
                        {first}});
    }
    out.heading("Reloads");
    out.table(rows);
}

void write_errors(writer& out, const json& history) {
    const auto& errors = member(history, "errors");
    if (!errors.is_array() || errors.empty()) return;
    std::vector<row> rows{titles({"TIME", "TOKEN", "SIDE", "STATUS", "DEPLOYMENT", "REPLICA", "REQUEST ID"})};
    for (const auto& each : errors) {
        if (rows.size() > most_errors) break;
        const auto deployment = text(each, "deployment");
        rows.push_back({{text(each, "at")},
                        {text(each, "token").empty() ? "(the model's)" : text(each, "token")},
                        {text(each, "side")},
                        {number(each, "status") > 0 ? whole(each, "status") : "cut"},
                        {text(each, "service") + (deployment.empty() ? "" : '/' + deployment)},
                        {text(each, "replica")},
                        {text(each, "request_id")}});
    }
    out.heading("Last errors");
    out.table(rows);
}

} // namespace

std::string to_report(const json& status, const json& history, colours how) {
    writer out(how);
    write_health(out, status, history);
    write_services(out, history);
    write_replicas(out, status);
    write_certificates(out, status);
    write_reloads(out, status);
    write_errors(out, history);
    return out.take();
}

} // namespace scoregate::app
