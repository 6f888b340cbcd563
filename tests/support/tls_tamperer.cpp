#include "support/tls_tamperer.hpp"

#include <poll.h>
#include <sys/socket.h>

namespace scoregate::tests {

namespace {

std::string two_bytes(std::size_t value) {
    return {static_cast<char>(value >> 8 & 0xFF), static_cast<char>(value & 0xFF)};
}

client_terms in_clear() {
    client_terms terms;
    terms.tls = false;
    return terms;
}

} // namespace

std::string tls_record::bytes() const {
    return static_cast<char>(type) + std::string("\x03\x03", 2) + two_bytes(body.size()) + body;
}

std::vector<tls_record> records_of(std::string_view bytes) {
    std::vector<tls_record> all;
    while (bytes.size() >= 5) {
        const auto size = static_cast<unsigned char>(bytes[3]) * 256U + static_cast<unsigned char>(bytes[4]);
        if (bytes.size() < 5 + size) break;
        all.push_back({static_cast<content>(bytes[0]), std::string(bytes.substr(5, size))});
        bytes.remove_prefix(5 + size);
    }
    return all;
}

std::string handshake_message(std::uint8_t type, std::string_view body) {
    return std::string{static_cast<char>(type), static_cast<char>(body.size() >> 16 & 0xFF)} + two_bytes(body.size()) +
           std::string(body);
}

std::string to_string(const tls_alert& one) {
    if (one == tls_alert{}) return "no alert";
    return std::string(one.level == SSL3_AL_FATAL ? "fatal " : "warning ") +
           SSL_alert_desc_string_long(one.description);
}

tls_tamperer::tls_tamperer(std::uint16_t port, std::string name, SSL_SESSION* resumed)
    : socket_(port, in_clear()), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_.get(), TLS1_2_VERSION);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
    SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
    if (resumed != nullptr) SSL_set_session(ssl_.get(), resumed);
    SSL_set_app_data(ssl_.get(), this);
    SSL_set_info_callback(ssl_.get(), note);
    hello_ = step();
}

void tls_tamperer::note(const SSL* ssl, int where, int what) {
    if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT || (what & 0xFF) == SSL_AD_CLOSE_NOTIFY) return;
    static_cast<tls_tamperer*>(SSL_get_app_data(ssl))->told_ = {what >> 8, what & 0xFF};
}

std::string tls_tamperer::collect() {
    char* bytes = nullptr;
    const auto size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &bytes);
    std::string made(bytes, static_cast<std::size_t>(size > 0 ? size : 0));
    (void)BIO_reset(SSL_get_wbio(ssl_.get()));
    ERR_clear_error();
    return made;
}

std::string tls_tamperer::step() {
    SSL_do_handshake(ssl_.get());
    return collect();
}

bool tls_tamperer::receive() {
    char block[16384];
    wait_for(socket_.descriptor(), POLLIN);
    const auto n = ::recv(socket_.descriptor(), block, sizeof block, 0);
    reset_ = n < 0;
    if (n <= 0) return false;
    BIO_write(SSL_get_rbio(ssl_.get()), block, static_cast<int>(n));
    received_.append(block, static_cast<std::size_t>(n));
    return true;
}

std::vector<tls_record> tls_tamperer::answer() {
    for (;;) {
        if (!receive()) throw wire_ended("the proxy has closed");
        if (const auto flight = step(); !flight.empty()) return records_of(flight);
    }
}

void tls_tamperer::finish(const std::function<void(const std::string&)>& say) {
    say(hello_);
    while (SSL_is_init_finished(ssl_.get()) != 1) {
        if (!receive()) throw wire_ended("the proxy has closed");
        if (const auto flight = step(); !flight.empty()) say(flight);
    }
}

std::string tls_tamperer::seal(std::string_view text) {
    SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
    return collect();
}

std::string tls_tamperer::renegotiation() {
    SSL_renegotiate(ssl_.get());
    return step();
}

std::string tls_tamperer::read_text() {
    char block[16384];
    for (;;) {
        const int n = SSL_read(ssl_.get(), block, sizeof block);
        if (n > 0) return {block, static_cast<std::size_t>(n)};
        if (!receive()) throw wire_ended("the proxy has closed");
    }
}

tls_end tls_tamperer::end() {
    while (receive()) {
    }
    // An alert in clear, which comes before encryption has begun; else OpenSSL reads it, as far as it still can.
    for (const auto& each : records_of(received_))
        if (each.type == content::alert && each.body.size() == 2)
            told_ = {static_cast<unsigned char>(each.body[0]), static_cast<unsigned char>(each.body[1])};
    char block[16384];
    for (int got = 1; got > 0;) got = SSL_read(ssl_.get(), block, sizeof block);
    ERR_clear_error();
    return {told_, !reset_};
}

} // namespace scoregate::tests
