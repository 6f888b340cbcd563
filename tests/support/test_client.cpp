#include "support/test_client.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace scoregate::tests {

namespace {

int connected_socket(std::uint16_t port, const std::string& source) {
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (!source.empty()) {
        ::inet_pton(AF_INET, source.c_str(), &address.sin_addr);
        if (::bind(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            throw wire_error("cannot bind to " + source);
    }
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        ::close(made);
        throw wire_error("cannot connect");
    }
    const int on = 1;
    ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::fcntl(made, F_SETFL, O_NONBLOCK);
    return made;
}

tls::ssl_ctx_ptr make_context(const client_terms& terms) {
    tls::ssl_ctx_ptr made{SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_min_proto_version(made.get(), terms.oldest);
    SSL_CTX_set_max_proto_version(made.get(), terms.newest);
    SSL_CTX_set_mode(made.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(made.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (terms.oldest < TLS1_2_VERSION) SSL_CTX_set_security_level(made.get(), 0);
    if (!terms.ciphers.empty()) SSL_CTX_set_cipher_list(made.get(), terms.ciphers.c_str());
    if (!terms.trusted.empty()) {
        const tls::bio_ptr pem{BIO_new_mem_buf(terms.trusted.data(), static_cast<int>(terms.trusted.size()))};
        const tls::x509_ptr root{PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr)};
        X509_STORE_add_cert(SSL_CTX_get_cert_store(made.get()), root.get());
        SSL_CTX_set_verify(made.get(), SSL_VERIFY_PEER, nullptr);
    }
    if (terms.shown != nullptr) {
        SSL_CTX_use_certificate(made.get(), terms.shown->certificate.get());
        SSL_CTX_use_PrivateKey(made.get(), terms.shown->key.get());
    }
    return made;
}

} // namespace

test_client::test_client(std::uint16_t port, const client_terms& terms, bool at_once)
    : descriptor_(connected_socket(port, terms.source)) {
    if (!terms.tls) return;
    std::signal(SIGPIPE, SIG_IGN); // OpenSSL writes to sockets with write(2)
    context_ = make_context(terms);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), descriptor_);
    SSL_set_tlsext_host_name(ssl_.get(), terms.name.c_str());
    SSL_set1_host(ssl_.get(), terms.name.c_str());
    std::string offer;
    for (const auto& each : terms.protocols) offer.append(1, static_cast<char>(each.size())).append(each);
    if (!offer.empty())
        SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(offer.data()),
                            static_cast<unsigned>(offer.size()));
    if (terms.resumed != nullptr) SSL_set_session(ssl_.get(), terms.resumed);
    SSL_set_msg_callback_arg(ssl_.get(), this);
    SSL_set_msg_callback(ssl_.get(), [](int written, int, int type, const void* header, std::size_t, SSL*, void* self) {
        const auto* const bytes = static_cast<const unsigned char*>(header);
        if (written == 0 && type == SSL3_RT_HEADER && bytes[0] == SSL3_RT_APPLICATION_DATA)
            static_cast<test_client*>(self)->records_.push_back(5U + bytes[3] * 256U + bytes[4]);
    });
    if (!at_once) return;
    if (const auto why = handshake(); !why.empty()) throw wire_error("handshake: " + why);
}

test_client::~test_client() { close(); }

std::string test_client::handshake() {
    for (;;) {
        ERR_clear_error();
        const int result = SSL_connect(ssl_.get());
        if (result == 1) return {};
        const int kind = SSL_get_error(ssl_.get(), result);
        if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE) {
            auto why = tls::openssl_errors();
            return why.empty() ? "closed" : why;
        }
        wait_for(descriptor_, kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT);
    }
}

std::size_t test_client::send_now(std::string_view bytes) {
    bool full = false;
    std::size_t taken = 0;
    if (ssl_) {
        ERR_clear_error();
        const int n = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
        full = n <= 0 && SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_WRITE;
        taken = n > 0 ? static_cast<std::size_t>(n) : 0;
    } else {
        const auto n = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        full = n < 0 && errno == EAGAIN;
        taken = n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    if (taken == 0 && !full) throw wire_ended("the proxy has closed");
    return taken;
}

void test_client::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto taken = send_now(bytes);
        bytes.remove_prefix(taken);
        if (taken == 0 && (wait_for(descriptor_, POLLIN | POLLOUT) & POLLIN) != 0) receive_now();
    }
}

std::size_t test_client::send_without_reading(std::string_view bytes, std::chrono::milliseconds pause) {
    std::size_t sent = 0;
    pollfd room{descriptor_, POLLOUT, 0};
    while (sent < bytes.size() && ::poll(&room, 1, static_cast<int>(pause.count())) > 0)
        sent += send_now(bytes.substr(sent));
    return sent;
}

void test_client::send_sliced(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size(); ++at) send(bytes.substr(at, 1));
}

void test_client::send_raw(std::string_view bytes) {
    while (!bytes.empty()) {
        wait_for(descriptor_, POLLOUT);
        const auto n = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) throw wire_ended("the proxy has closed");
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

std::string test_client::receive_raw() {
    std::string all;
    char block[4096];
    for (;;) {
        wait_for(descriptor_, POLLIN);
        const auto n = ::recv(descriptor_, block, sizeof block, 0);
        if (n <= 0) return all;
        all.append(block, static_cast<std::size_t>(n));
    }
}

bool test_client::receive_now() {
    if (ending_ != ending::none) return true;
    char block[65536];
    if (!ssl_) {
        const auto n = ::recv(descriptor_, block, sizeof block, MSG_DONTWAIT);
        if (n > 0)
            bytes_.append(block, static_cast<std::size_t>(n));
        else if (n < 0 && errno == EAGAIN)
            return false;
        else
            ending_ = n == 0 ? ending::clean : ending::reset;
        return true;
    }
    ERR_clear_error();
    const int n = SSL_read(ssl_.get(), block, sizeof block);
    if (n > 0) {
        bytes_.append(block, static_cast<std::size_t>(n));
        return true;
    }
    const int was = errno;
    switch (SSL_get_error(ssl_.get(), n)) {
    case SSL_ERROR_WANT_READ: return false;
    case SSL_ERROR_ZERO_RETURN: ending_ = ending::clean; break;
    case SSL_ERROR_SYSCALL: ending_ = was == ECONNRESET ? ending::reset : ending::cut; break;
    default:
        ending_ = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? ending::cut : ending::reset;
        break;
    }
    return true;
}

bool test_client::receive() {
    const auto before = bytes_.size();
    while (!receive_now()) wait_for(descriptor_, POLLIN);
    return bytes_.size() > before;
}

message test_client::read_reply(bool to_head) {
    std::vector<std::string> interims;
    for (;;) {
        message reply;
        try {
            reply = parse_head(read_until("\r\n\r\n"));
        } catch (const wire_ended&) {
            return reply;
        }
        const auto status = reply.status();
        if (status / 100 == 1) {
            interims.push_back(reply.head);
            continue;
        }
        reply.interims = std::move(interims);
        if (to_head || status == 204 || status == 304)
            reply.whole = true;
        else
            read_body(reply, true);
        // Without framing the end of the stream is the reply's, and only an orderly one is.
        if (!reply.has("content-length") && !reply.has("transfer-encoding") && ending_ != ending::none)
            reply.whole = ending_ == ending::clean;
        return reply;
    }
}

message test_client::ask(std::string_view request, bool to_head) {
    send(request);
    return read_reply(to_head);
}

ending test_client::wait_for_end() {
    while (receive()) {
    }
    return ending_;
}

void test_client::shut() {
    if (ssl_) SSL_shutdown(ssl_.get());
    ::shutdown(descriptor_, SHUT_WR);
}

void test_client::close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void test_client::reset() {
    const linger at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

} // namespace scoregate::tests
