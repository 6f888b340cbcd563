// A TLS 1.2 client whose records pass through the test's hands: OpenSSL in memory makes what an honest client would
// say, the test sends that, or something else, over a real socket, and sees which alert comes back and how the
// connection ends. One thread.
#pragma once

#include "support/test_client.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tests {

// Types of records and handshake messages (RFC 5246 6.2.1, 7.4).
enum class content : std::uint8_t { change_cipher_spec = 20, alert = 21, handshake = 22, application_data = 23 };

struct tls_record {
    content type = content::handshake;
    std::string body{};

    std::string bytes() const; // with its header, as of TLS 1.2
};

// Whole records of `bytes`.
std::vector<tls_record> records_of(std::string_view bytes);
std::string handshake_message(std::uint8_t type, std::string_view body); // with its header

struct tls_alert {
    int level = 0, description = 0; // 0: none came

    friend bool operator==(const tls_alert&, const tls_alert&) = default;
};
std::string to_string(const tls_alert&);

// How the proxy ended a connection.
struct tls_end {
    tls_alert alert;    // the last one that came, close_notify apart
    int alerts = 0;     // that came after encryption had begun
    bool clean = false; // by the end of its stream, not by a reset
};

class tls_tamperer {
public:
    tls_tamperer(std::uint16_t port, std::string name = "www.contoso.com", SSL_SESSION* resumed = nullptr);

    // What an honest client says first, as one record.
    const std::string& hello() const { return hello_; }
    void send(std::string_view bytes) { socket_.send_raw(bytes); }
    // Reads until the honest client has something to say: its next flight, not sent.
    std::vector<tls_record> answer();
    // Says what the honest client would until its handshake is finished, in pieces that `send` makes of each flight.
    void finish() {
        finish([this](const std::string& flight) { send(flight); });
    }
    void finish(const std::function<void(const std::string& flight)>& send);
    // What it would say now, encrypted: a record, close to nothing of which the proxy takes twice.
    std::string seal(std::string_view text);
    // The next record with this content, which OpenSSL might not make; seal() no longer fits after it.
    std::string seal(content type, std::string_view plain);
    std::string read_text(); // plaintext that came, at least a byte of it

    void half_close() { socket_.shut(); }
    // Reads until the proxy ends the connection.
    tls_end end();

    SSL* ssl() { return ssl_.get(); }

private:
    static void note(const SSL*, int where, int what);
    std::string step(); // goes on with the handshake; what it wants to send
    bool receive();     // false at the end of the stream
    std::string collect();

    test_client socket_;
    tls::ssl_ctx_ptr context_;
    tls::ssl_ptr ssl_;
    std::string hello_, received_;
    std::string key_, salt_;     // of what we send, once seal() has needed them
    std::uint64_t sequence_ = 1; // of the next record: Finished was the first
    tls_alert told_;
    int alerts_ = 0;
    bool reset_ = false;
};

} // namespace scoregate::tests
