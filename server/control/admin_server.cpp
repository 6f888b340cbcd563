#include "control/admin_server.hpp"

#include "auth/bearer.hpp"
#include "base/network.hpp"
#include "control/page.hpp"
#include "telemetry/log.hpp"
#include "telemetry/registry.hpp"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <unistd.h>
#include <utility>
#include <variant>

namespace scoregate::control {

namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr std::chrono::seconds longest_wait{5};
constexpr std::size_t most_connections = 64;

// The host of a Host field, HOST[:PORT], without brackets; empty if there is something else behind a bracket.
std::string_view host_name(std::string_view host) {
    if (!host.starts_with('[')) return host.substr(0, host.find(':'));
    const auto end = host.find(']');
    if (end == std::string_view::npos || (end + 1 < host.size() && host[end + 1] != ':')) return {};
    return host.substr(1, end - 1);
}

std::string to_json(const config::problems& problems) {
    auto list = nlohmann::json::array();
    for (const auto& each : problems)
        list.push_back({{"file", each.file}, {"pointer", each.pointer}, {"message", each.message}});
    return nlohmann::json{{"result", problems.empty() ? "in force" : "refused"}, {"problems", list}}.dump(
               2, ' ', false, nlohmann::json::error_handler_t::replace) +
           "\n";
}

enum class standing : std::uint8_t { good, missing, wrong };

standing standing_of(const http::request<http::string_body>& asked, const auth::service_keys& token) {
    if (asked.count(http::field::authorization) != 1) return standing::missing;
    const auto field = asked[http::field::authorization];
    const auto presented = auth::parse_bearer({field.data(), field.size()});
    const auto* const found = std::get_if<std::string_view>(&presented);
    if (found == nullptr) return standing::missing;
    return token.match(*found) == auth::key_name::none ? standing::wrong : standing::good;
}

void say(http::response<http::string_body>& reply, http::status status, std::string_view type, std::string text) {
    reply.result(status);
    reply.set(http::field::content_type, beast::string_view(type.data(), type.size()));
    reply.body() = std::move(text);
}

// Its own policy replaces that of the other answers: what it is made of, by digest, and this port's JSON.
void show_page(http::response<http::string_body>& reply) {
    const auto& shown = the_page();
    reply.set(http::field::content_type, "text/html; charset=utf-8");
    reply.set("Content-Security-Policy", shown.policy);
    reply.body() = shown.html;
}

// N of "?since=N"; 0 where there is none.
std::uint64_t since_of(const http::request<http::string_body>& asked) {
    constexpr std::string_view name = "?since=";
    const std::string_view target(asked.target().data(), asked.target().size());
    const auto at = target.find(name);
    std::uint64_t since = 0;
    if (at != std::string_view::npos) {
        const auto digits = target.substr(at + name.size());
        std::from_chars(digits.data(), digits.data() + digits.size(), since);
    }
    return since;
}

std::string_view path_of(const http::request<http::string_body>& asked) {
    return {asked.target().data(), std::min(asked.target().size(), asked.target().find('?'))};
}

bool is_open(std::string_view path) { return path == "/healthz" || path == "/readyz" || path == "/metrics"; }

// How something is changed at `path`; nothing where there is only something to read.
std::optional<http::verb> changed_by(std::string_view path) {
    if (path == "/reload" || path == "/drain") return http::verb::post;
    if (path == "/log-level") return http::verb::put;
    return std::nullopt;
}

bool reads(http::verb method) { return method == http::verb::get || method == http::verb::head; }

// What to say to a peer whose request could not be read; nothing where it is the connection that failed or ended.
std::optional<http::status> refusal_of(const base::error_code& failed) {
    if (failed == http::error::header_limit) return http::status::request_header_fields_too_large;
    if (failed == http::error::body_limit) return http::status::payload_too_large;
    if (failed == http::error::end_of_stream || failed == http::error::partial_message) return std::nullopt;
    if (failed.category() != make_error_code(http::error::bad_method).category()) return std::nullopt;
    return http::status::bad_request;
}

// For browsers: nothing here is to be kept, guessed at, framed, or told to others.
http::response<http::string_body> begun(http::status status, unsigned version) {
    http::response<http::string_body> reply(status, version);
    reply.set(http::field::cache_control, "no-store");
    reply.set("X-Content-Type-Options", "nosniff");
    reply.set("Referrer-Policy", "no-referrer");
    reply.set("Cross-Origin-Resource-Policy", "same-origin");
    reply.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    return reply;
}

http::response<http::string_body> refused(http::status status, const base::error_code& failed) {
    auto reply = begun(status, 11);
    say(reply, status, "text/plain", "The request cannot be read: " + failed.message() + "\n");
    reply.keep_alive(false);
    reply.prepare_payload();
    return reply;
}

void change_log_level(const http::request<http::string_body>& asked, http::response<http::string_body>& reply) {
    constexpr std::string_view before = "/log-level?level=";
    const std::string_view target(asked.target().data(), asked.target().size());
    const auto level = target.starts_with(before) ? target.substr(before.size()) : std::string_view();
    if (!telemetry::change_log_level(level, "the admin port was asked for it")) {
        say(reply, http::status::bad_request, "text/plain",
            "PUT /log-level?level=debug, or info, warning or error in its place\n");
        return;
    }
    say(reply, http::status::ok, "application/json", "{\"log_level\": \"" + std::string(level) + "\"}\n");
}

} // namespace

admin_server::admin_server(base::executor where, int descriptor, std::vector<std::string> hosts, admin_operations does)
    : where_(where), acceptor_(where, base::tcp::v6(), descriptor), hosts_(std::move(hosts)), does_(std::move(does)) {}

void admin_server::start() { base::spawn(where_, serving_, accept()); }

// See proxy::listener::close().
void admin_server::leave() {
    left_ = true;
    base::error_code ec;
    const int descriptor = acceptor_.release(ec);
    if (!ec) ::close(descriptor);
}

base::task<> admin_server::accept() {
    base::tick_timer pause(where_);
    for (;;) {
        base::tcp_socket socket(where_);
        const auto [ec] = co_await acceptor_.async_accept(socket, base::awaited);
        const bool taken = !ec && (serving_.inside() <= most_connections || make_room());
        if (taken) base::spawn(where_, serving_, serve(std::move(socket)));
        if (left_) co_return;
        if (taken) continue;
        // Out of descriptors, or too many at once: a moment later is soon enough.
        pause.expires_after(std::chrono::milliseconds(100));
        co_await pause.async_wait(base::awaited);
    }
}

// Nobody may keep operators out by opening connections and saying nothing. False: all are being answered just now.
bool admin_server::make_room() {
    if (waiting_.empty()) return false;
    waiting_.front()->cancel();
    waiting_.pop_front();
    return true;
}

base::task<> admin_server::serve(base::tcp_socket socket) {
    base::error_code ec;
    const auto peer = socket.remote_endpoint(ec);
    const bool from_loopback = !ec && base::unmapped(peer.address()).is_loopback();

    stream peer_stream(std::move(socket));
    beast::flat_buffer buffer;
    for (bool keep_alive = true; keep_alive;) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(16384);
        parser.body_limit(65536);
        peer_stream.expires_after(longest_wait);
        waiting_.push_back(&peer_stream);
        const auto [failed, n] = co_await http::async_read(peer_stream, buffer, parser, base::awaited);
        waiting_.remove(&peer_stream);
        const auto refusal = refusal_of(failed);
        if (failed && !refusal) break;
        response reply;
        if (refusal)
            reply = refused(*refusal, failed);
        else
            reply = co_await answer(parser.release(), from_loopback);
        keep_alive = reply.keep_alive();
        peer_stream.expires_after(longest_wait);
        waiting_.push_back(&peer_stream);
        const auto [unsent, m] = co_await http::async_write(peer_stream, reply, base::awaited);
        waiting_.remove(&peer_stream);
        if (std::exchange(to_drain_, false)) does_.drain();
        if (unsent) break;
    }
    peer_stream.socket().shutdown(base::tcp_socket::shutdown_send, ec);
}

bool admin_server::believed(std::string_view host) const {
    const auto name = host_name(host);
    base::error_code ec;
    boost::asio::ip::make_address(std::string(name), ec);
    return !ec || beast::iequals(name, "localhost") ||
           std::any_of(hosts_.begin(), hosts_.end(), [&](const auto& each) { return beast::iequals(name, each); });
}

// Browsers say where a request comes from: in Sec-Fetch-Site always, in Origin where it may change something or is
// asked for by a script. Who sends neither is no browser, or one whose page is ours (RFC 6454 7.3, Fetch Metadata).
bool admin_server::from_elsewhere(const request& asked) const {
    const auto site = asked["Sec-Fetch-Site"];
    if (!site.empty() && site != "same-origin" && site != "none") return true;
    const auto origin = asked[http::field::origin];
    if (asked.count(http::field::origin) == 0) return false;
    return !reads(asked.method()) || origin != "http://" + std::string(asked[http::field::host]);
}

// Whether it is not to be answered; `reply` then says why.
bool admin_server::refuse(const request& asked, bool from_loopback, response& reply) const {
    const auto host = asked[http::field::host];
    const auto path = path_of(asked);
    if (asked.count(http::field::host) != 1 || !believed({host.data(), host.size()})) {
        say(reply, http::status::forbidden, "text/plain",
            "The Host of the request is neither an IP literal nor localhost nor in admin.hosts\n");
        return true;
    }
    if (from_elsewhere(asked)) {
        say(reply, http::status::forbidden, "text/plain", "Not for web pages\n");
        return true;
    }
    const auto token = is_open(path) ? nullptr : does_.token();
    const auto stands = token ? standing_of(asked, *token) : standing::good;
    if (stands != standing::good) {
        say(reply, http::status::unauthorized, "text/plain", "The token of admin.token_file is needed\n");
        reply.set(http::field::www_authenticate,
                  stands == standing::missing ? "Bearer" : "Bearer error=\"invalid_token\"");
        // A browser cannot send the token by itself: the page, which holds nothing, asks for it.
        if (path == "/") show_page(reply);
        return true;
    }
    if (!is_open(path) && !token && !from_loopback) {
        say(reply, http::status::forbidden, "text/plain",
            "Only health, readiness and metrics are answered beyond loopback\n");
        return true;
    }
    const auto changing = changed_by(path);
    if (changing ? asked.method() == *changing : reads(asked.method())) return false;
    say(reply, http::status::method_not_allowed, "text/plain", "Wrong method\n");
    reply.set(http::field::allow, changing ? http::to_string(*changing) : beast::string_view("GET, HEAD"));
    return true;
}

void admin_server::show(const request& asked, response& reply) {
    const auto path = path_of(asked);
    if (path == "/") {
        reply.result(http::status::ok);
        show_page(reply);
    } else if (path == "/healthz") {
        say(reply, http::status::ok, "text/plain", "alive\n");
    } else if (path == "/readyz") {
        const bool ready = does_.ready();
        const auto why = ready ? "" : does_.unready_because();
        say(reply, ready ? http::status::ok : http::status::service_unavailable, "text/plain",
            (ready ? "ready" : "not ready") + (why.empty() ? "" : ": " + why) + "\n");
    } else if (path == "/metrics") {
        say(reply, http::status::ok, telemetry::prometheus_content_type, does_.metrics());
    } else if (path == "/status") {
        say(reply, http::status::ok, "application/json", does_.status());
    } else if (path == "/history") {
        say(reply, http::status::ok, "application/json", does_.history(since_of(asked)));
    } else if (path == "/drain") {
        to_drain_ = true;
        say(reply, http::status::ok, "application/json", "{\"result\": \"draining\"}\n");
    } else {
        say(reply, http::status::not_found, "text/plain",
            "GET /, /healthz, /readyz, /metrics, /status, /history; POST /reload, /drain; PUT /log-level\n");
    }
}

base::task<admin_server::response> admin_server::answer(request asked, bool from_loopback) {
    auto reply = begun(http::status::ok, asked.version());
    reply.keep_alive(asked.keep_alive() && !left_);
    if (!refuse(asked, from_loopback, reply)) {
        if (path_of(asked) == "/reload") {
            const auto problems = co_await does_.reload();
            say(reply, problems.empty() ? http::status::ok : http::status::unprocessable_entity, "application/json",
                to_json(problems));
        } else if (path_of(asked) == "/log-level") {
            change_log_level(asked, reply);
        } else {
            show(asked, reply);
        }
    }
    reply.content_length(reply.body().size());
    if (asked.method() == http::verb::head) reply.body().clear();
    co_return reply;
}

} // namespace scoregate::control
