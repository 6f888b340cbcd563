// A raw client, in clear or over OpenSSL: sends exactly the bytes given, shows exactly the bytes that came, and tells
// how the connection ended. A send that the proxy does not take reads meanwhile, so that nothing deadlocks. One thread.
#pragma once

#include "support/certificates.hpp"
#include "support/wire.hpp"
#include "tls/openssl_ptr.hpp"

#include <cstdint>

namespace scoregate::tests {

enum class ending : std::uint8_t {
    none,  // still open
    clean, // TLS: close_notify; plain: end of stream
    cut,   // TLS: end of stream without close_notify
    reset,
};

struct client_terms {
    bool tls = true;
    std::string trusted{};                // PEM; empty: whatever comes
    std::string name = "www.contoso.com"; // SNI
    std::vector<std::string> protocols{}; // ALPN
    int oldest = TLS1_2_VERSION, newest = TLS1_3_VERSION;
    std::string ciphers{};
    SSL_SESSION* resumed = nullptr;
    const identity* shown = nullptr; // certificate and key, if asked for one
    std::string source{};            // address to connect from
};

class test_client : public inbox {
public:
    // Connects and, unless told not to, makes the handshake; throws wire_error with OpenSSL's reasons if that fails.
    test_client(std::uint16_t port, const client_terms&, bool handshake = true);
    ~test_client() override;
    test_client(const test_client&) = delete;
    test_client& operator=(const test_client&) = delete;

    // The handshake's outcome: empty if it succeeded, otherwise OpenSSL's reasons.
    std::string handshake();
    SSL* ssl() { return ssl_.get(); }
    int descriptor() const { return descriptor_; }

    // Throws wire_ended if the proxy has closed.
    void send(std::string_view bytes);
    void send_sliced(std::string_view bytes);
    // Sends until the proxy has taken nothing for `pause`; returns how much it took. Nothing is read meanwhile.
    std::size_t send_without_reading(std::string_view bytes, std::chrono::milliseconds pause);
    // Bytes below TLS.
    void send_raw(std::string_view bytes);
    std::string receive_raw();

    // The next reply; 1xx before it are in its interims. `whole` tells whether it ended where its framing said.
    message read_reply(bool to_head = false);
    message ask(std::string_view request, bool to_head = false);
    // Reads on until the connection has ended.
    ending wait_for_end();
    ending ended() const { return ending_; }

    void shut();  // our half: close_notify, FIN
    void close(); // without a word
    void reset(); // RST

    // Sizes of the TLS records with application data that came in, header and cipher overhead included.
    const std::vector<std::size_t>& records() const { return records_; }

private:
    bool receive() override;
    // Sends without waiting; how much was taken. Throws wire_ended if the proxy has closed.
    std::size_t send_now(std::string_view bytes);
    // Reads without waiting: true if something came or the stream has ended.
    bool receive_now();

    int descriptor_;
    tls::ssl_ctx_ptr context_;
    tls::ssl_ptr ssl_;
    ending ending_ = ending::none;
    std::vector<std::size_t> records_;
};

} // namespace scoregate::tests
