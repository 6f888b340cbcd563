#include "target.hpp"

#include <cstring>
#include <memory>
#include <string_view>

#include <netdb.h>
#include <sys/socket.h>

namespace load {
namespace {

struct url {
    bool tls;
    std::string host, port, path;
};

url parse_url(std::string_view text) {
    const auto refuse = [text] { throw bad_usage("--url " + std::string(text) + ": not http[s]://HOST[:PORT]/PATH"); };
    url parsed;
    parsed.tls = text.starts_with("https://");
    if (!parsed.tls && !text.starts_with("http://")) refuse();
    auto rest = text.substr(parsed.tls ? 8 : 7);
    const auto slash = rest.find('/');
    parsed.path = slash == rest.npos ? "/" : rest.substr(slash);
    rest = rest.substr(0, slash);
    const auto colon = rest.rfind(':');
    parsed.host = rest.substr(0, colon);
    parsed.port = colon != rest.npos ? rest.substr(colon + 1) : parsed.tls ? "443" : "80";
    const bool number = parsed.port.find_first_not_of("0123456789") == std::string::npos;
    if (parsed.host.empty() || parsed.port.empty() || !number || text.find_first_of(" \r\n") != text.npos) refuse();
    return parsed;
}

sockaddr_in look_up(const url& where) {
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(where.host.c_str(), where.port.c_str(), &hints, &found))
        throw std::runtime_error(where.host + ": " + ::gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
    sockaddr_in address;
    std::memcpy(&address, found->ai_addr, sizeof address);
    return address;
}

// Samples for a model, as many as fit; spaces up to the exact length.
std::string samples(std::size_t bytes) {
    constexpr std::string_view first = R"({"data": [[5.1, 3.5, 1.4, 0.2])", more = ", [5.1, 3.5, 1.4, 0.2]",
                               last = "]}";
    std::string body;
    body.reserve(bytes);
    if (bytes >= first.size() + last.size()) {
        body = first;
        while (body.size() + more.size() + last.size() <= bytes) body += more;
        body += last;
    }
    body.resize(bytes, ' ');
    return body;
}

// The head is that of a Python client; checked_post.lua sends the same.
std::string make_request(const options& chosen, const url& where) {
    auto path = where.path;
    if (chosen.mode == mode_name::stream && path.find("events=") == path.npos) {
        path += path.find('?') == path.npos ? '?' : '&';
        path += "events=" + std::to_string(chosen.events) + "&interval_ms=" + std::to_string(chosen.interval.count());
    }
    auto request = "POST " + path + " HTTP/1.1\r\nHost: " + where.host + ":" + where.port +
                   "\r\nUser-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
                   "Content-Type: application/json\r\n";
    if (!chosen.key.empty()) request += "Authorization: Bearer " + chosen.key + "\r\n";
    if (chosen.mode == mode_name::connect) request += "Connection: close\r\n";
    return request + "Content-Length: " + std::to_string(chosen.body) + "\r\n\r\n" + samples(chosen.body);
}

void need(bool done, const char* what) {
    if (!done) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

// As openssl.cnf pins it for wrk, so that every proxy is asked for the same cryptography.
SSL_CTX* make_tls(const options& chosen) {
    SSL_CTX* tls = SSL_CTX_new(TLS_client_method());
    need(tls, "no context");
    need(SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) && SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION),
         "TLS 1.2");
    need(SSL_CTX_set_cipher_list(tls, chosen.cipher.c_str()), chosen.cipher.c_str());
    need(SSL_CTX_set1_groups_list(tls, "X25519:P-256"), "groups");
    // Who the server is matters to no figure; without this the chain would be verified and the outcome ignored.
    SSL_CTX_set_cert_verify_callback(
        tls, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
    SSL_CTX_set_read_ahead(tls, 1); // one recv for a record, or two with its header first
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION);
    if (chosen.kind == handshakes::full) SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
    // Ten thousand idle connections would hold 34 KiB each.
    if (chosen.mode == mode_name::idle) SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    return tls;
}

} // namespace

target::target(const options& chosen) {
    const auto where = parse_url(chosen.url);
    resumes = chosen.kind == handshakes::resumed;
    if (resumes && !where.tls) throw bad_usage("--mode resume needs an https URL");
    address = look_up(where);
    if (where.tls) tls.reset(make_tls(chosen));
    request = make_request(chosen, where);
    if (chosen.mode != mode_name::stream) reply_bytes = chosen.reply;
}

} // namespace load
