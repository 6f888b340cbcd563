#include "control/admin_server.hpp"
#include "control/page.hpp"
#include "telemetry/log.hpp"
#include "telemetry/registry.hpp"
#include "unit/control/configurations.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace scoregate;
using namespace scoregate::control;
namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

using reply = http::response<http::string_body>;

int listen_on(const std::string& address, std::uint16_t& port) {
    asio::io_context io{1};
    base::tcp_acceptor acceptor(io, {asio::ip::make_address(address), 0});
    acceptor.non_blocking(true);
    port = acceptor.local_endpoint().port();
    return acceptor.release();
}

// An admin server on a thread of its own; the test talks to it as any client does.
class fixture {
public:
    explicit fixture(const std::string& address = "127.0.0.1", std::vector<std::string> hosts = {"gate.internal"})
        : address_(address),
          server_(io_.get_executor(), listen_on(address, port_), std::move(hosts),
                  {[this] { return ready; }, [] { return std::string("scoregate_up 1\n"); },
                   [] { return std::string("{\"version\":\"x\"}\n"); }, [this] { return reload(); },
                   [this] { ++drains; }, [this] { return token; },
                   [](std::uint64_t since) { return "{\"since\":" + std::to_string(since) + "}\n"; }}) {
        server_.start();
    }
    ~fixture() {
        io_.stop();
        if (thread_.joinable()) thread_.join();
    }

    // Fields set before the first request; no lock, the thread starts with it.
    bool ready = true;
    config::problems problems{};
    std::shared_ptr<const auth::service_keys> token{};
    int reloads = 0;
    std::atomic<int> drains{0};

    reply ask(http::verb verb, const std::string& target, const std::string& host = "localhost:9001") {
        http::request<http::string_body> request(verb, target, 11);
        if (!host.empty()) request.set(http::field::host, host);
        request.keep_alive(false);
        request.prepare_payload();
        auto socket = connect();
        http::write(socket, request);
        return read(socket, verb);
    }
    // With these fields besides.
    reply ask_with(http::verb verb, const std::string& target,
                   const std::vector<std::pair<std::string, std::string>>& fields) {
        http::request<http::empty_body> request(verb, target, 11);
        request.set(http::field::host, "127.0.0.1:9001");
        for (const auto& [name, value] : fields) request.insert(name, value);
        request.prepare_payload();
        auto socket = connect();
        http::write(socket, request);
        return read(socket, verb);
    }
    base::tcp_socket connect() {
        if (!thread_.joinable()) thread_ = std::thread([this] { io_.run(); });
        base::tcp_socket socket(client_);
        socket.connect({asio::ip::make_address(address_ == "::" ? "127.0.0.1" : address_), port_});
        return socket;
    }
    static reply read(base::tcp_socket& socket, http::verb verb) {
        http::response_parser<http::string_body> parser;
        parser.skip(verb == http::verb::head);
        boost::beast::flat_buffer buffer;
        http::read(socket, buffer, parser);
        return parser.release();
    }

private:
    base::task<config::problems> reload() {
        ++reloads;
        co_return problems;
    }

    std::string address_;
    std::uint16_t port_ = 0;
    asio::io_context io_{1}, client_{1};
    admin_server server_;
    std::thread thread_;
};

// Whether the peer ends the connection without another byte.
bool ended(base::tcp_socket& socket) {
    std::array<char, 64> rest{};
    base::error_code ec;
    return socket.read_some(asio::buffer(rest), ec) == 0 &&
           (ec == asio::error::eof || ec == asio::error::connection_reset);
}

unsigned status_of(const reply& of) { return of.result_int(); }
std::string type_of(const reply& of) { return std::string(of[http::field::content_type]); }

} // namespace

TEST_CASE("what is shown at each path") {
    fixture admin;
    const auto alive = admin.ask(http::verb::get, "/healthz");
    CHECK(status_of(alive) == 200);
    CHECK(alive.body() == "alive\n");
    const auto ready = admin.ask(http::verb::get, "/readyz");
    CHECK(status_of(ready) == 200);
    CHECK(ready.body() == "ready\n");
    const auto metrics = admin.ask(http::verb::get, "/metrics");
    CHECK(status_of(metrics) == 200);
    CHECK(metrics.body() == "scoregate_up 1\n");
    CHECK(type_of(metrics) == telemetry::prometheus_content_type);
    const auto status = admin.ask(http::verb::get, "/status?pretty");
    CHECK(status_of(status) == 200);
    CHECK(type_of(status) == "application/json");
    CHECK(status.body() == "{\"version\":\"x\"}\n");
    CHECK(status[http::field::cache_control] == "no-store");
    for (const std::string unknown :
         {"/x", "/index.html", "/statusx", "/status/", "/metrics/x", "/drains", "/historys"})
        CHECK(status_of(admin.ask(http::verb::get, unknown)) == 404);
}

TEST_CASE("GET / is the page, under a policy of its own") {
    fixture admin;
    const auto page = admin.ask(http::verb::get, "/");
    CHECK(status_of(page) == 200);
    CHECK(type_of(page) == "text/html; charset=utf-8");
    CHECK(page.body() == the_page().html);
    CHECK(page.count("Content-Security-Policy") == 1);
    CHECK(std::string(page["Content-Security-Policy"]) == the_page().policy);
    CHECK(page["X-Content-Type-Options"] == "nosniff");
    CHECK(page[http::field::cache_control] == "no-store");
    CHECK(status_of(admin.ask(http::verb::post, "/")) == 405);
    CHECK(status_of(admin.ask(http::verb::get, "/", "evil.example")) == 403);
    CHECK(admin.ask(http::verb::head, "/").body().empty());
}

TEST_CASE("GET /history tells what came after a turn") {
    fixture admin;
    for (const auto& [query, since] : {std::pair("", "0"),
                                       {"?since=7", "7"},
                                       {"?since=18446744073709551615", "18446744073709551615"},
                                       {"?since=x", "0"},
                                       {"?since=-1", "0"},
                                       {"?since=18446744073709551616", "0"},
                                       {"?other=1", "0"}}) {
        INFO(query);
        const auto history = admin.ask(http::verb::get, std::string("/history") + query);
        CHECK(status_of(history) == 200);
        CHECK(type_of(history) == "application/json");
        CHECK(history.body() == std::string("{\"since\":") + since + "}\n");
    }
    CHECK(status_of(admin.ask(http::verb::post, "/history")) == 405);
    CHECK(status_of(admin.ask_with(http::verb::get, "/history", {{"Sec-Fetch-Site", "cross-site"}})) == 403);
}

TEST_CASE("not ready is 503, but alive") {
    fixture admin;
    admin.ready = false;
    const auto ready = admin.ask(http::verb::get, "/readyz");
    CHECK(status_of(ready) == 503);
    CHECK(ready.body() == "not ready\n");
    CHECK(status_of(admin.ask(http::verb::get, "/healthz")) == 200);
}

TEST_CASE("HEAD gets the same without the body") {
    fixture admin;
    const auto head = admin.ask(http::verb::head, "/status");
    CHECK(status_of(head) == 200);
    CHECK(head.body().empty());
    CHECK(head[http::field::content_length] == "16");
}

TEST_CASE("methods: reading reads, POST /reload reloads") {
    fixture admin;
    for (const std::string path : {"/healthz", "/readyz", "/metrics", "/status"}) {
        const auto wrong = admin.ask(http::verb::post, path);
        CHECK(status_of(wrong) == 405);
        CHECK(wrong[http::field::allow] == "GET, HEAD");
    }
    for (const auto verb : {http::verb::get, http::verb::head, http::verb::put}) {
        const auto wrong = admin.ask(verb, "/reload");
        CHECK(status_of(wrong) == 405);
        CHECK(wrong[http::field::allow] == "POST");
    }
    CHECK(admin.reloads == 0);
    const auto done = admin.ask(http::verb::post, "/reload");
    CHECK(status_of(done) == 200);
    CHECK(admin.reloads == 1);
    CHECK(nlohmann::json::parse(done.body()) ==
          nlohmann::json{{"result", "in force"}, {"problems", nlohmann::json::array()}});
}

TEST_CASE("POST /drain drains, as often as it is asked for") {
    fixture admin;
    const auto wrong = admin.ask(http::verb::get, "/drain");
    CHECK(status_of(wrong) == 405);
    CHECK(wrong[http::field::allow] == "POST");
    CHECK(admin.drains == 0);
    for (int asked = 1; asked != 3; ++asked) {
        const auto done = admin.ask(http::verb::post, "/drain");
        CHECK(status_of(done) == 200);
        CHECK(nlohmann::json::parse(done.body()) == nlohmann::json{{"result", "draining"}});
        CHECK(status_of(admin.ask(http::verb::get, "/healthz")) == 200); // the answer comes before the drain
        CHECK(admin.drains == asked);
    }
}

TEST_CASE("PUT /log-level sets the level of the log, and nothing else does") {
    fixture admin;
    for (const auto verb : {http::verb::get, http::verb::post}) {
        const auto wrong = admin.ask(verb, "/log-level?level=debug");
        CHECK(status_of(wrong) == 405);
        CHECK(wrong[http::field::allow] == "PUT");
    }
    for (const std::string unknown : {"", "?", "?level", "?level=", "?level=loud", "?level=DEBUG", "?level=debug&x=1",
                                      "?x=1&level=debug", "?level=off"})
        CHECK(status_of(admin.ask(http::verb::put, "/log-level" + unknown)) == 400);
    CHECK(status_of(admin.ask_with(http::verb::put, "/log-level?level=debug", {{"Origin", "http://127.0.0.1:9001"}})) ==
          403); // as for POST: no page changes it
    CHECK(telemetry::log_level() == "info");
    for (const std::string level : {"debug", "warning", "error", "info"}) {
        const auto done = admin.ask(http::verb::put, "/log-level?level=" + level);
        CHECK(status_of(done) == 200);
        CHECK(nlohmann::json::parse(done.body()) == nlohmann::json{{"log_level", level}});
        CHECK(telemetry::log_level() == level);
    }
}

TEST_CASE("the log level is not for who has no token") {
    fixture admin;
    admin.token = std::make_shared<const auth::service_keys>("0123456789abcdef0123456789abcdef", std::nullopt);
    CHECK(status_of(admin.ask(http::verb::put, "/log-level?level=debug")) == 401);
    CHECK(telemetry::log_level() == "info");
}

// A page may send a POST to 127.0.0.1 without asking, though it cannot read the answer.
TEST_CASE("what changes something is not done for a web page") {
    fixture admin;
    for (const std::string path : {"/reload", "/drain"})
        for (const std::string origin : {"http://evil.example", "null"}) {
            http::request<http::empty_body> request(http::verb::post, path, 11);
            request.set(http::field::host, "127.0.0.1:9001");
            request.set(http::field::origin, origin);
            request.prepare_payload();
            auto socket = admin.connect();
            http::write(socket, request);
            CHECK(status_of(fixture::read(socket, http::verb::post)) == 403);
        }
    CHECK(admin.reloads == 0);
    CHECK(admin.drains == 0);
}

// Nor read for one: what it may not see, its script could still time. Fetch Metadata is what browsers say of it, and
// Origin what older ones say.
TEST_CASE("nothing is told to a page of another origin") {
    fixture admin;
    for (const std::string path : {"/status", "/metrics", "/healthz", "/"}) {
        INFO(path);
        for (const std::string site : {"cross-site", "same-site", "Same-Origin", "nonsense"})
            CHECK(status_of(admin.ask_with(http::verb::get, path, {{"Sec-Fetch-Site", site}})) == 403);
        for (const std::string origin :
             {"http://evil.example", "null", "http://127.0.0.1:9002", "https://127.0.0.1:9001"})
            CHECK(status_of(admin.ask_with(http::verb::get, path, {{"Origin", origin}})) == 403);
    }
    CHECK(status_of(admin.ask_with(http::verb::post, "/reload", {{"Sec-Fetch-Site", "cross-site"}})) == 403);
    CHECK(status_of(admin.ask_with(http::verb::post, "/drain", {{"Origin", "http://127.0.0.1:9001"}})) == 403);
    CHECK(admin.reloads == 0);
    CHECK(admin.drains == 0);
    // The operator's own address bar, and a page of this port's.
    for (const std::string site : {"none", "same-origin"})
        CHECK(status_of(admin.ask_with(http::verb::get, "/status", {{"Sec-Fetch-Site", site}})) == 200);
    CHECK(status_of(admin.ask_with(http::verb::get, "/status", {{"Origin", "http://127.0.0.1:9001"}})) == 200);
}

TEST_CASE("no reply may be read by another origin, guessed at, framed or kept") {
    fixture admin;
    for (const auto& [verb, path, status] : {std::tuple(http::verb::get, "/status", 200U),
                                             {http::verb::get, "/x", 404U},
                                             {http::verb::options, "/status", 405U}}) {
        const auto answer = admin.ask(verb, path);
        INFO(path);
        CHECK(status_of(answer) == status);
        CHECK(answer["X-Content-Type-Options"] == "nosniff");
        CHECK(answer["Referrer-Policy"] == "no-referrer");
        CHECK(answer["Cross-Origin-Resource-Policy"] == "same-origin");
        CHECK(answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'");
        CHECK(answer[http::field::cache_control] == "no-store");
        for (const auto& field : answer)
            CHECK_FALSE(boost::beast::iequals(field.name_string().substr(0, 15), "access-control-"));
    }
}

TEST_CASE("with a token, more than health and counts is for who sends it") {
    fixture admin;
    const std::string token = "0123456789abcdef0123456789abcdef";
    admin.token = std::make_shared<const auth::service_keys>(token, std::nullopt);
    const auto ask = [&](http::verb verb, const std::string& path, const std::string& authorization) {
        return admin.ask_with(verb, path, {{"Authorization", authorization}});
    };
    for (const std::string path : {"/healthz", "/readyz", "/metrics"})
        CHECK(status_of(admin.ask(http::verb::get, path)) == 200);
    for (const std::string path : {"/status", "/history", "/", "/nothing"}) {
        const auto without = admin.ask(http::verb::get, path);
        CHECK(status_of(without) == 401);
        CHECK(without[http::field::www_authenticate] == "Bearer");
        CHECK(without.body().find(token) == std::string::npos);
    }
    // A browser shows the page all the same, which asks for the token.
    CHECK(admin.ask(http::verb::get, "/").body() == the_page().html);
    CHECK(status_of(ask(http::verb::get, "/", "Bearer " + token)) == 200);
    CHECK(status_of(ask(http::verb::get, "/history", "Bearer " + token)) == 200);
    for (const std::string wrong :
         {"Bearer x", "Bearer 0123456789abcdef0123456789abcdeF", "Bearer 0123456789abcdef0123456789abcde"}) {
        const auto refused = ask(http::verb::post, "/reload", wrong);
        CHECK(status_of(refused) == 401);
        CHECK(refused[http::field::www_authenticate] == "Bearer error=\"invalid_token\"");
    }
    for (const auto& malformed : {"Basic " + token, token, "Bearer " + token + " x", std::string("Bearer")})
        CHECK(status_of(ask(http::verb::post, "/reload", malformed)) == 401);
    CHECK(status_of(admin.ask_with(http::verb::post, "/reload",
                                   {{"Authorization", "Bearer " + token}, {"Authorization", "Bearer " + token}})) ==
          401);
    CHECK(admin.reloads == 0);
    CHECK(status_of(ask(http::verb::get, "/status", "Bearer " + token)) == 200);
    CHECK(status_of(ask(http::verb::post, "/reload", "bearer  " + token)) == 200);
    CHECK(admin.reloads == 1);
    CHECK(status_of(admin.ask_with(http::verb::post, "/reload",
                                   {{"Authorization", "Bearer " + token}, {"Origin", "http://evil.example"}})) == 403);
}

// A client that says nothing, or half of a request, holds its place for 5 s: with as many of them as there are places
// nobody else would be served.
TEST_CASE("who keeps the port waiting makes room for who comes") {
    fixture admin;
    CHECK(status_of(admin.ask(http::verb::get, "/healthz")) == 200);
    std::vector<base::tcp_socket> silent;
    const auto began = std::chrono::steady_clock::now();
    for (int n = 0; n < 200; ++n) {
        silent.push_back(admin.connect());
        if (n % 2 == 0) asio::write(silent.back(), asio::buffer(std::string("GET /status HTTP/1.1\r\nHost: ")));
    }
    for (int n = 0; n < 5; ++n) CHECK(status_of(admin.ask(http::verb::get, "/status")) == 200);
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(4)); // not by their time running out
    char byte = 0;
    base::error_code ec;
    silent.front().read_some(asio::buffer(&byte, 1), ec); // closed; it would wait for 5 s else
    CHECK(ec);
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(4));
}

TEST_CASE("a connection that is accepted while the socket is left is served") {
    asio::io_context io{1};
    std::uint16_t port = 0;
    const int listening = listen_on("127.0.0.1", port);
    const int successors = ::dup(listening);
    admin_server server(io.get_executor(), listening, {},
                        {[] { return true; }, [] { return std::string(); }, [] { return std::string(); }, {}, [] {}});
    base::tcp_socket client(io);
    client.connect({asio::ip::make_address("127.0.0.1"), port});
    asio::write(client, asio::buffer(std::string("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")));
    server.start();
    io.run_one(); // the accept has succeeded, and whoever waits for it is not told yet
    server.leave();

    std::string answer;
    base::error_code ended;
    asio::async_read(client, asio::dynamic_buffer(answer), [&](base::error_code ec, std::size_t) { ended = ec; });
    io.run();
    CHECK(ended == asio::error::eof);
    CHECK(answer.starts_with("HTTP/1.1 200 "));
    CHECK(answer.find("Connection: close") != std::string::npos);
    CHECK(::accept4(successors, nullptr, nullptr, SOCK_NONBLOCK) < 0); // so it was not left in the queue
    ::close(successors);
}

TEST_CASE("a refused reload lists every problem") {
    fixture admin;
    admin.problems = {{"/etc/scoregate.json", "/limits/max_headers", "is \"less\" than 1"},
                      {"/etc/scoregate.json", "", "two\nlines"}};
    const auto done = admin.ask(http::verb::post, "/reload");
    CHECK(status_of(done) == 422);
    CHECK(type_of(done) == "application/json");
    const auto told = nlohmann::json::parse(done.body());
    CHECK(told.at("result") == "refused");
    REQUIRE(told.at("problems").size() == 2);
    CHECK(told["problems"][0] == nlohmann::json{{"file", "/etc/scoregate.json"},
                                                {"pointer", "/limits/max_headers"},
                                                {"message", "is \"less\" than 1"}});
    CHECK(told["problems"][1]["message"] == "two\nlines");
}

// A page in a browser can send requests to loopback under a name of its own (DNS rebinding).
TEST_CASE("Host must be an IP literal, localhost or configured") {
    fixture admin;
    for (const std::string believed : {"localhost", "LocalHost:9001", "127.0.0.1", "127.0.0.1:9001", "10.1.2.3:1",
                                       "[::1]", "[::1]:9001", "gate.internal", "Gate.Internal:9001"}) {
        INFO(believed);
        CHECK(status_of(admin.ask(http::verb::get, "/status", believed)) == 200);
    }
    for (const std::string strange :
         {"evil.example", "localhost.evil.example", "gate.internal.evil.example", "", "127.0.0.1.evil.example",
          "internal", "xlocalhost", "[evil.example]:1", "[::1]x.evil.example", "[127.0.0.1]evil.example", "[::1"}) {
        INFO(strange);
        for (const std::string path : {"/status", "/metrics", "/healthz"})
            CHECK(status_of(admin.ask(http::verb::get, path, strange)) == 403);
        CHECK(status_of(admin.ask(http::verb::post, "/reload", strange)) == 403);
    }
    CHECK(admin.reloads == 0);
    // Two of them: somebody before us may have believed the other one.
    CHECK(status_of(admin.ask_with(http::verb::get, "/status", {{"Host", "localhost"}})) == 403);
}

TEST_CASE("IPv4 clients of an IPv6 socket are told apart by their real address") {
    fixture admin("::");
    CHECK(status_of(admin.ask(http::verb::get, "/status")) == 200);
}

TEST_CASE("several requests on one connection, then nonsense ends it") {
    fixture admin;
    auto socket = admin.connect();
    for (const std::string target : {"/healthz", "/metrics"}) {
        http::request<http::empty_body> request(http::verb::get, target, 11);
        request.set(http::field::host, "localhost");
        http::write(socket, request);
        const auto answer = fixture::read(socket, http::verb::get);
        CHECK(status_of(answer) == 200);
        CHECK(answer.keep_alive());
    }
    asio::write(socket, asio::buffer(std::string("nonsense\r\n\r\n")));
    const auto answer = fixture::read(socket, http::verb::get);
    CHECK(status_of(answer) == 400);
    CHECK_THAT(answer.body(), Catch::Contains("The request cannot be read"));
    CHECK(answer["Cache-Control"] == "no-store");
    CHECK(ended(socket));
    CHECK(status_of(admin.ask(http::verb::get, "/healthz")) == 200); // the others are served on
}

TEST_CASE("who ends in the middle of a request is told nothing") {
    fixture admin;
    auto socket = admin.connect();
    asio::write(socket, asio::buffer(std::string("GET /healthz HTTP/1.1\r\nHost: local")));
    socket.shutdown(base::tcp_socket::shutdown_send);
    CHECK(ended(socket));
}

TEST_CASE("a request of any size but a small one is refused") {
    fixture admin;
    auto socket = admin.connect();
    SECTION("the body, before any of it is read") {
        asio::write(socket, asio::buffer(std::string("POST /reload HTTP/1.1\r\nHost: localhost\r\n"
                                                     "Content-Length: 65537\r\n\r\n")));
        CHECK(status_of(fixture::read(socket, http::verb::post)) == 413);
    }
    SECTION("the head") {
        asio::write(socket,
                    asio::buffer("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + std::string(16384, 'x')));
        CHECK(status_of(fixture::read(socket, http::verb::get)) == 431);
    }
    CHECK(admin.reloads == 0);
}
