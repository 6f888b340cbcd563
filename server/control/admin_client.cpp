#include "control/admin_client.hpp"

#include "auth/key_file.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"

#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace scoregate::control {

namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

using answer = boost::system::result<admin_reply, std::string>;

bool is_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
    return failed == std::errc() && end == text.data() + text.size() && port != 0;
}

base::task<> ask(base::executor where, std::string authority, http::verb method, std::string path, std::string token,
                 std::chrono::seconds patience, base::error_code& failed, admin_reply& reply) {
    const auto colon = authority.rfind(':');
    auto host = authority.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    base::asio::ip::basic_resolver<base::tcp, base::executor> resolver(where);
    const auto [unknown, found] = co_await resolver.async_resolve(host, authority.substr(colon + 1), base::awaited);
    failed = unknown;
    if (failed) co_return;

    beast::basic_stream<base::tcp, base::executor> stream(where);
    stream.expires_after(patience);
    for (const auto& each : found) {
        base::error_code ignored;
        stream.socket().close(ignored); // of the address before, which may be of another family
        const auto [refused] = co_await stream.async_connect(each.endpoint(), base::awaited);
        failed = refused;
        if (!failed) break;
    }
    if (failed) co_return;
    http::request<http::empty_body> request(method, path, 11);
    request.set(http::field::host, authority);
    if (!token.empty()) request.set(http::field::authorization, "Bearer " + token);
    request.keep_alive(false);
    request.prepare_payload();
    const auto [unsent, sent] = co_await http::async_write(stream, request, base::awaited);
    failed = unsent;
    if (failed) co_return;
    beast::flat_buffer buffer;
    http::response<http::string_body> response;
    const auto [unread, read] = co_await http::async_read(stream, buffer, response, base::awaited);
    failed = unread;
    reply = {response.result_int(), std::move(response.body())};
}

} // namespace

answer ask_admin(const std::string& url, const std::string& method, const std::string& path,
                 const std::string& token_file, std::chrono::seconds patience) {
    constexpr std::string_view scheme = "http://";
    auto authority = url.starts_with(scheme) ? url.substr(scheme.size()) : std::string{};
    while (authority.ends_with('/')) authority.pop_back();
    const auto colon = authority.rfind(':');
    if (colon == 0 || colon == std::string::npos || authority.find('/') != std::string::npos ||
        !is_port(std::string_view(authority).substr(colon + 1)))
        return "\"" + url + "\" is no admin port; write it as http://127.0.0.1:9001";

    std::string token;
    if (!token_file.empty()) {
        const auth::key_file held(token_file);
        if (!held.defect().empty()) return held.defect();
        token = held.key();
    }
    base::asio::io_context loop{1};
    base::gate inside;
    base::error_code failed;
    admin_reply reply;
    base::spawn(
        loop.get_executor(), inside,
        ask(loop.get_executor(), authority, http::string_to_verb(method), path, token, patience, failed, reply));
    loop.run();
    if (failed)
        return "no scoregate answers at " + url + " (" + failed.message() +
               "); is it running, and is this its admin.listen? --admin names another";
    if (reply.status == 401)
        return "the scoregate at " + url + " wants a token" +
               (token.empty() ? "" : " other than that in " + token_file) +
               ": name the file that its admin.token_file names with --token-file";
    return reply;
}

std::string admin_url(const config::endpoint& address) {
    if (address.host == "0.0.0.0" || address.host == "::") return "http://localhost:" + std::to_string(address.port);
    const bool v6 = address.host.find(':') != std::string::npos;
    return "http://" + (v6 ? '[' + address.host + ']' : address.host) + ':' + std::to_string(address.port);
}

} // namespace scoregate::control
