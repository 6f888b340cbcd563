#include "support/tls_tamperer.hpp"

#include <openssl/kdf.h>

#include <array>
#include <poll.h>
#include <sys/socket.h>
#include <tuple>

namespace scoregate::tests {

namespace {

std::string two_bytes(std::size_t value) {
    return {static_cast<char>(value >> 8 & 0xFF), static_cast<char>(value & 0xFF)};
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

// Key and salt of what the client sends.
std::pair<std::string, std::string> keys_of(SSL* ssl) {
    if (std::string(SSL_get_cipher_name(ssl)) != "ECDHE-ECDSA-AES128-GCM-SHA256") throw wire_error("another cipher");
    std::array<unsigned char, 48> secret;
    std::array<unsigned char, 32> ours, theirs;
    std::array<unsigned char, 40> block; // key, key of the server, salt, salt of the server
    SSL_SESSION_get_master_key(SSL_get_session(ssl), secret.data(), secret.size());
    SSL_get_client_random(ssl, ours.data(), ours.size());
    SSL_get_server_random(ssl, theirs.data(), theirs.size());
    const std::unique_ptr<EVP_PKEY_CTX, tls::openssl_deleter<EVP_PKEY_CTX_free>> prf{
        EVP_PKEY_CTX_new_id(EVP_PKEY_TLS1_PRF, nullptr)};
    auto size = block.size();
    if (EVP_PKEY_derive_init(prf.get()) != 1 || EVP_PKEY_CTX_set_tls1_prf_md(prf.get(), EVP_sha256()) != 1 ||
        EVP_PKEY_CTX_set1_tls1_prf_secret(prf.get(), secret.data(), secret.size()) != 1 ||
        EVP_PKEY_CTX_add1_tls1_prf_seed(prf.get(), bytes_of("key expansion"), 13) != 1 ||
        EVP_PKEY_CTX_add1_tls1_prf_seed(prf.get(), theirs.data(), theirs.size()) != 1 ||
        EVP_PKEY_CTX_add1_tls1_prf_seed(prf.get(), ours.data(), ours.size()) != 1 ||
        EVP_PKEY_derive(prf.get(), block.data(), &size) != 1)
        throw wire_error(tls::openssl_errors());
    return {{block.begin(), block.begin() + 16}, {block.begin() + 32, block.begin() + 36}};
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
    auto& self = *static_cast<tls_tamperer*>(SSL_get_app_data(ssl));
    self.told_ = {what >> 8, what & 0xFF};
    ++self.alerts_;
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

// RFC 5246 6.3 and RFC 5288, for ECDHE-ECDSA-AES128-GCM-SHA256, which is what the proxy chooses.
std::string tls_tamperer::seal(content type, std::string_view plain) {
    if (key_.empty()) std::tie(key_, salt_) = keys_of(ssl_.get());
    std::string sequence;
    for (int shift = 56; shift >= 0; shift -= 8) sequence += static_cast<char>(sequence_ >> shift & 0xFF);
    ++sequence_;
    const auto nonce = salt_ + sequence;
    const auto authenticated = sequence + static_cast<char>(type) + "\x03\x03" + two_bytes(plain.size());

    const std::unique_ptr<EVP_CIPHER_CTX, tls::openssl_deleter<EVP_CIPHER_CTX_free>> made{EVP_CIPHER_CTX_new()};
    std::string sealed(plain.size(), '\0'), tag(16, '\0');
    int size = 0;
    EVP_EncryptInit_ex(made.get(), EVP_aes_128_gcm(), nullptr, bytes_of(key_), bytes_of(nonce));
    EVP_EncryptUpdate(made.get(), nullptr, &size, bytes_of(authenticated), static_cast<int>(authenticated.size()));
    if (!plain.empty())
        EVP_EncryptUpdate(made.get(), reinterpret_cast<unsigned char*>(sealed.data()), &size, bytes_of(plain),
                          static_cast<int>(plain.size()));
    EVP_EncryptFinal_ex(made.get(), nullptr, &size);
    EVP_CIPHER_CTX_ctrl(made.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data());
    return tls_record{type, sequence + sealed + tag}.bytes();
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
    return {told_, alerts_, !reset_};
}

} // namespace scoregate::tests
