#include "control/trace_exporter.hpp"

#include "auth/read_file.hpp"
#include "config/forms.hpp"
#include "http/body.hpp"
#include "http/head.hpp"
#include "http/identifiers.hpp"
#include "upstream/connection.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>
#include <vector>

namespace scoregate::control {

namespace {

using base::awaited;
using base::error_code;
using base::task;
using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;
namespace asio = boost::asio;

constexpr http::head_limits head_limits{};
constexpr std::size_t most_of_headers_file = 8192, enough_of_reply = 65536; // bytes
constexpr std::chrono::seconds longest_retry_after{60};

// As the OTLP specification has it ("OTLP/HTTP Response", retryable status codes).
bool worth_repeating(unsigned status) {
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

// Only seconds; a date (RFC 9110 10.2.3) is nothing to us.
std::chrono::seconds read_retry_after(const http::response_head& head) {
    for (const auto& each : head.fields) {
        if (!http::equals_ignoring_case(each.name, "retry-after")) continue;
        unsigned seconds = 0;
        const auto* const end = each.value.data() + each.value.size();
        const auto [stop, ec] = std::from_chars(each.value.data(), end, seconds);
        if (ec == std::errc{} && stop == end) return std::min(std::chrono::seconds(seconds), longest_retry_after);
    }
    return std::chrono::seconds(0);
}

// post() writes them; said twice, a collector may refuse both.
bool is_ours(std::string_view name) {
    return http::equals_ignoring_case(name, "content-type") || http::equals_ignoring_case(name, "user-agent");
}

// Its lines as those of a head; what is wrong never shows what stands there.
std::string read_fields(const std::string& path, std::string& wrong, std::vector<std::string>& warnings) {
    std::array<char, most_of_headers_file + 1> room{}; // one more, so that a larger file shows
    const auto read = auth::read_file(path, room, "header fields for the collector", "write one Name: value a line");
    if (!read.defect.empty()) {
        wrong = read.defect;
        return {};
    }
    if (read.size == room.size()) {
        wrong = path + " is larger than 8192 bytes: header fields for a collector are a few lines";
        return {};
    }
    if (read.readable_by_others)
        warnings.push_back(auth::open_to_all(path, "who has what it holds can write to the collector"));
    std::string fields;
    std::string_view text(room.data(), read.size);
    for (unsigned number = 1; !text.empty(); ++number) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() || line.starts_with('#')) continue;
        const auto colon = line.find(':');
        auto value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
        while (value.starts_with(' ')) value.remove_prefix(1);
        std::string hidden;
        const auto name = config::probe_field_form.parse(line.substr(0, colon), hidden);
        if (colon == std::string_view::npos || !name || is_ours(*name) ||
            !config::field_value_form.parse(value, hidden)) {
            wrong = path + ": line " + std::to_string(number) +
                    " is not Name: value, or names a field that is scoregate's to write: mend it";
            return {};
        }
        fields.append(*name).append(": ").append(value).append("\r\n");
    }
    return fields;
}

} // namespace

std::optional<trace_destination> read_trace_destination(const config::tracing& from, const std::string& config_file,
                                                        config::problems& problems,
                                                        std::vector<std::string>& warnings) {
    std::string wrong;
    auto to = config::parse_collector(from.endpoint, wrong);
    if (!to) return {}; // the configuration has told
    trace_destination made{std::move(*to), from.service_name, {}, {}};
    if (from.headers_file) made.fields = read_fields(*from.headers_file, wrong, warnings);
    if (!wrong.empty()) problems.push_back({config_file, "/tracing/headers_file", wrong});
    if (made.to.at.tls) {
        try {
            made.trust = std::make_shared<const tls::replica_trust>(from.ca_file.value_or(""), "", "tracing.ca_file");
        } catch (const std::runtime_error& why) {
            wrong = why.what();
            problems.push_back({config_file, from.ca_file ? "/tracing/ca_file" : "/tracing/endpoint", wrong});
        }
    }
    if (!wrong.empty()) return {};
    return made;
}

trace_exporter::trace_exporter(base::executor where, telemetry::trace_log& from, trace_destination to, options wanted)
    : where_(where),
      log_(from),
      to_(std::move(to)),
      options_(wanted),
      source_{to_.service_name, SCOREGATE_VERSION, std::string(http::identifier_source().make_guid().view())},
      resolver_(where, to_.dns_servers),
      tools_(std::make_shared<equipment>()),
      pause_(where),
      ended_(where),
      random_(std::random_device{}()) {}

task<> trace_exporter::run() {
    running_ = true;
    for (;;) {
        auto batch = log_.take(options_.batch);
        const bool full = batch.size() == options_.batch;
        if (batch.empty() && stopping_) break;
        if (!batch.empty()) co_await deliver(std::move(batch));
        if (!full && !stopping_) co_await rest(options_.interval);
    }
    running_ = false;
    ended_.cancel();
}

task<> trace_exporter::finish(milliseconds patience) {
    stopping_ = true;
    pause_.cancel();
    if (!running_) co_return;
    ended_.expires_after(patience);
    co_await ended_.async_wait(awaited);
}

task<> trace_exporter::rest(milliseconds time) {
    pause_.expires_after(time);
    co_await pause_.async_wait(awaited);
}

task<> trace_exporter::deliver(telemetry::trace_log::traces batch) {
    const auto count = batch.size();
    const auto body = telemetry::otlp_json(batch, source_);
    batch.clear();
    const auto give_up = steady::now() + options_.longest_retry;
    auto pause = options_.first_pause;
    for (;;) {
        const auto said = co_await post(body);
        if (said.status >= 200 && said.status < 300) {
            log_.exported(count);
            if (std::exchange(complained_, false)) telemetry::log().info("traces: the collector takes them again");
            co_return;
        }
        complain(said);
        // Not all at once where many have been waiting for the same collector.
        const auto drawn = pause / 2 + milliseconds(random_() % static_cast<unsigned>(pause.count() / 2 + 1));
        const auto wait = std::max<milliseconds>(drawn, said.retry_after);
        if (!worth_repeating(said.status) || stopping_ || steady::now() + wait > give_up) {
            log_.lost(count);
            co_return;
        }
        co_await rest(wait);
        pause = std::min(2 * pause, options_.longest_pause);
    }
}

void trace_exporter::complain(const answer& said) {
    const auto hidden = complaints_.allow(steady::now());
    if (!hidden) return;
    complained_ = true;
    const auto what = said.status == 0 ? said.why : "it answers " + std::to_string(said.status);
    telemetry::log().warn("traces: {} does not take them: {} ({} more like it; {} traces lost since the start); check "
                          "tracing and the collector's own log",
                          to_.to.at.url, what, *hidden, log_.dropped());
}

task<trace_exporter::answer> trace_exporter::post(const std::string& body) {
    const auto tools = tools_;
    const auto& to = to_.to.at;
    answer said;

    std::vector<base::tcp::endpoint> addresses;
    error_code is_name;
    const auto literal = asio::ip::make_address(to.host, is_name);
    if (!is_name)
        addresses.emplace_back(literal, to.port);
    else {
        const auto found = co_await resolver_.addresses(to.host);
        for (const auto& each : found.addresses) addresses.emplace_back(each, to.port);
        if (addresses.empty()) {
            said.why = "its name is not found (" + found.why + ")";
            co_return said;
        }
    }
    const routing::replica at{0, "tracing.endpoint " + to.url, std::move(addresses), to.host, to.tls, to_.trust, {}};

    const auto link = std::make_shared<upstream::connection>(where_, 0);
    const auto late = std::make_shared<bool>(false);
    base::tick_timer limit(where_);
    limit.expires_after(options_.timeout);
    limit.async_wait([tools, link, late](error_code ec) {
        if (ec) return;
        *late = true;
        link->cancel();
    });
    const auto ended = [&](const char* what, error_code ec) {
        said.status = 0; // an interim one is no answer
        said.why = what + std::string(*late ? " in time" : " (" + ec.message() + ")");
        return said;
    };

    const auto unconnected = co_await link->open(at, tools->buffers);
    if (*late || unconnected) co_return ended("no connection", unconnected);
    const auto request = "POST " + to_.to.path + " HTTP/1.1\r\nHost: " + to.url.substr(to.url.find("://") + 3) +
                         "\r\nUser-Agent: scoregate/" SCOREGATE_VERSION "\r\nContent-Type: application/json\r\n"
                         "Content-Length: " +
                         std::to_string(body.size()) + "\r\nConnection: close\r\n" + to_.fields + "\r\n" + body;
    error_code unsent; // who refuses early has answered, and closed, before it has all
    for (std::string_view left = request; !left.empty() && !unsent;) {
        const auto [failed, n] = co_await link->async_write_some(asio::buffer(left), awaited);
        if (*late) co_return ended("it does not take the request", failed);
        unsent = failed;
        left.remove_prefix(n);
    }

    base::buffer in(tools->buffers);
    in.reserve();
    http::body_decoder reply;
    std::size_t scanned = 0;
    for (std::size_t bytes = 0; bytes < enough_of_reply;) {
        if (said.status < 200) {
            const auto end = http::find_head_end(in.readable(), scanned, head_limits);
            http::response_head head;
            if (!end || (*end && !head.parse(in.readable().substr(0, **end), head_limits, http::method::post))) {
                said.status = 0;
                said.why = "its reply is no HTTP/1.1";
                co_return said;
            }
            if (*end) {
                said.status = head.status;
                said.retry_after = read_retry_after(head);
                reply = http::body_decoder(head.body);
                in.consume(**end);
                scanned = 0;
                continue;
            }
        } else { // the rest of it is read, so that the collector sees an orderly end
            if (reply.done()) co_return said;
            const auto step = reply.decode(in.data(), in.size());
            if (!step || reply.done()) co_return said;
            in.consume(step->consumed);
        }
        if (in.writable().empty()) in.compact();
        if (in.writable().empty()) in.reserve(head_limits.bytes);
        const auto room = in.writable();
        const auto [failed, n] = co_await link->async_read_some(asio::buffer(room.data(), room.size()), awaited);
        in.commit(n);
        bytes += n;
        if ((*late || failed) && said.status >= 200) co_return said;
        if (unsent && failed) co_return ended("it does not take the request", unsent);
        if (*late || failed) co_return ended("no reply", failed);
    }
    if (said.status < 200) {
        said.status = 0;
        said.why = "its reply has no end";
    }
    co_return said;
}

} // namespace scoregate::control
