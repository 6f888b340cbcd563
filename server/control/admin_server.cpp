#include "control/admin_server.hpp"

#include "telemetry/registry.hpp"

#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace scoregate::control {

namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr std::chrono::seconds longest_wait{5};
constexpr std::size_t most_connections = 64;

// The host of a Host field, without port and brackets.
std::string_view host_name(std::string_view host) {
    if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
    return host.substr(0, host.find(':'));
}

std::string to_json(const config::problems& problems) {
    auto list = nlohmann::json::array();
    for (const auto& each : problems)
        list.push_back({{"file", each.file}, {"pointer", each.pointer}, {"message", each.message}});
    return nlohmann::json{{"result", problems.empty() ? "in force" : "refused"}, {"problems", list}}.dump(
               2, ' ', false, nlohmann::json::error_handler_t::replace) +
           "\n";
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
        const bool taken = !ec && serving_.inside() <= most_connections;
        if (taken) base::spawn(where_, serving_, serve(std::move(socket)));
        if (left_) co_return;
        if (taken) continue;
        // Out of descriptors, or too many at once: a moment later is soon enough.
        pause.expires_after(std::chrono::milliseconds(100));
        co_await pause.async_wait(base::awaited);
    }
}

base::task<> admin_server::serve(base::tcp_socket socket) {
    base::error_code ec;
    const auto peer = socket.remote_endpoint(ec);
    auto address = peer.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
    const bool from_loopback = !ec && address.is_loopback();

    beast::basic_stream<base::tcp, base::executor> stream(std::move(socket));
    beast::flat_buffer buffer;
    for (bool keep_alive = true; keep_alive;) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(16384);
        parser.body_limit(65536);
        stream.expires_after(longest_wait);
        const auto [failed, n] = co_await http::async_read(stream, buffer, parser, base::awaited);
        if (failed) break;
        auto reply = co_await answer(parser.release(), from_loopback);
        keep_alive = reply.keep_alive();
        stream.expires_after(longest_wait);
        const auto [unsent, m] = co_await http::async_write(stream, reply, base::awaited);
        if (std::exchange(to_drain_, false)) does_.drain();
        if (unsent) break;
    }
    stream.socket().shutdown(base::tcp_socket::shutdown_send, ec);
}

bool admin_server::believed(std::string_view host) const {
    const auto name = host_name(host);
    base::error_code ec;
    boost::asio::ip::make_address(std::string(name), ec);
    return !ec || beast::iequals(name, "localhost") ||
           std::any_of(hosts_.begin(), hosts_.end(), [&](const auto& each) { return beast::iequals(name, each); });
}

base::task<admin_server::response> admin_server::answer(request asked, bool from_loopback) {
    response reply(http::status::ok, asked.version());
    reply.keep_alive(asked.keep_alive() && !left_);
    reply.set(http::field::cache_control, "no-store");
    const auto say = [&](http::status status, std::string_view type, std::string text) {
        reply.result(status);
        reply.set(http::field::content_type, beast::string_view(type.data(), type.size()));
        reply.body() = std::move(text);
    };
    const std::string_view path(asked.target().data(), std::min(asked.target().size(), asked.target().find('?')));
    const auto host = asked[http::field::host];
    const bool reads = asked.method() == http::verb::get || asked.method() == http::verb::head;
    const bool open = path == "/healthz" || path == "/readyz" || path == "/metrics";
    const bool changes = path == "/reload" || path == "/drain";

    if (!believed({host.data(), host.size()}))
        say(http::status::forbidden, "text/plain",
            "The Host of the request is neither an IP literal nor localhost nor in admin.hosts\n");
    else if (!open && !from_loopback)
        say(http::status::forbidden, "text/plain", "Only health, readiness and metrics are answered beyond loopback\n");
    else if (changes ? asked.method() != http::verb::post : !reads) {
        say(http::status::method_not_allowed, "text/plain", "Wrong method\n");
        reply.set(http::field::allow, changes ? "POST" : "GET, HEAD");
    } else if (changes && asked.count(http::field::origin) != 0)
        // A browser sends it with every POST: any page may have one sent to an IP literal.
        say(http::status::forbidden, "text/plain", "Not for web pages\n");
    else if (path == "/healthz")
        say(http::status::ok, "text/plain", "alive\n");
    else if (path == "/readyz") {
        const bool ready = does_.ready();
        say(ready ? http::status::ok : http::status::service_unavailable, "text/plain",
            ready ? "ready\n" : "not ready\n");
    } else if (path == "/metrics")
        say(http::status::ok, telemetry::prometheus_content_type, does_.metrics());
    else if (path == "/status")
        say(http::status::ok, "application/json", does_.status());
    else if (path == "/reload") {
        const auto problems = co_await does_.reload();
        say(problems.empty() ? http::status::ok : http::status::unprocessable_entity, "application/json",
            to_json(problems));
    } else if (path == "/drain") {
        to_drain_ = true;
        say(http::status::ok, "application/json", "{\"result\": \"draining\"}\n");
    } else
        say(http::status::not_found, "text/plain", "GET /healthz, /readyz, /metrics, /status; POST /reload, /drain\n");

    reply.content_length(reply.body().size());
    if (asked.method() == http::verb::head) reply.body().clear();
    co_return reply;
}

} // namespace scoregate::control
