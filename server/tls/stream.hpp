// TLS over a TCP socket, either side: OpenSSL on a BIO that reads from a buffer which the socket filled (one recv can
// hold several records) and writes straight to the socket. Models Asio's AsyncReadStream and AsyncWriteStream. Owned by
// one connection; made and used by one thread, whose streams share one BIO.
//
// Invariants: at most one read and one write in flight; the BIO never waits, it answers "retry"; a failed SSL_read or
// SSL_write is final (failure_), and then no close_notify is sent (SSL_shutdown(3)); nor is anything read once the peer
// has been refused.
// Why not asio::ssl::stream: 68 KiB per connection and two copies more each way
// (docs/decisions/0002-own-tls-stream.md).
#pragma once

#include "base/buffer.hpp"
#include "base/deadline_wheel.hpp"
#include "base/executor.hpp"
#include "base/socket.hpp"
#include "base/turns.hpp"
#include "base/unacknowledged.hpp"
#include "tls/openssl_ptr.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace scoregate::tls {

namespace asio = boost::asio;
using base::error_code;

enum class handshake_outcome : std::uint8_t {
    finished,
    plain_http, // the first bytes are an HTTP method, not a TLS record
    closed,     // the peer went away
    cancelled,  // a deadline cancelled the socket
    unsupported_protocol,
    no_shared_cipher,
    no_application_protocol,
    certificate_missing, // the peer has to show one
    certificate_refused, // the peer's does not verify, or it does not own it
    client_alert,        // the peer refused us, e.g. an unknown CA
    other,
};

class stream {
public:
    using executor_type = base::executor;
    static constexpr bool is_tls = true;

    // The server's end. Throws std::bad_alloc if OpenSSL has no memory for the connection.
    stream(base::socket socket, SSL_CTX* context, base::buffer_pool& pool);
    // The end that `ssl` is set to be. Null, or no memory: throws std::bad_alloc.
    stream(base::socket socket, ssl_ptr ssl, base::buffer_pool& pool);
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    executor_type get_executor() { return socket_.get_executor(); }
    base::socket& socket() { return socket_; }
    SSL* native_handle() { return ssl_.get(); }

    // Runs our side of the handshake; if there is a line, OpenSSL works on each flight of the peer's when its turn has
    // come. A deadline ends it by cancelling the socket; `limit`, if there is one, while it is in line too.
    base::task<handshake_outcome> handshake(base::turns* line = nullptr, const base::deadline* limit = nullptr);

    // Plaintext that is there without waiting, from as many records as fit; 0 with would_block, eof (close_notify),
    // connection_reset (the peer closed without it) or protocol_error.
    std::size_t read_now(std::span<char> into, error_code& ec);
    // Plaintext taken without waiting; fewer than given when the socket is full (then the same bytes must be offered
    // again, in this or another place: SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER). `ec` only for real errors.
    std::size_t write_now(std::string_view bytes, error_code& ec);
    // True if bytes, or the end of the stream, stand here that the socket will not announce again.
    bool buffered() const {
        return !in_.empty() || SSL_pending(ssl_.get()) > 0 || failure_ || refused_ ||
               (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
    }
    // True once the peer has been sent an alert because of what it did: a fatal one, or that it may not renegotiate. A
    // close with bytes of it unread would reset the connection, and the alert might never be seen.
    bool refused() const { return refused_; }
    // Bytes of ours that the peer's system has taken, records and handshake, whether or not anybody has read them. A
    // system call.
    std::uint64_t taken() { return sent_ - base::unacknowledged(socket_.native_handle()); }
    // Gives back what an idle connection does not need: our buffer, and OpenSSL's two of 16 KiB. Not while a read is in
    // flight, whose bytes go there.
    void release_buffers();
    // Reads in larger strides from now on, for a body of which so many bytes are to come.
    void read_in_bulk(std::uint64_t to_come) { to_come_ = to_come; }
    // The large body has ended: back to the ordinary buffer.
    void read_as_usual() {
        to_come_ = 0;
        in_.trim();
    }

    // Sends close_notify if the socket takes it at once. Not after a failure, nor to cut a reply short.
    void close_notify();

    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return socket_.async_read_by<void(error_code, std::size_t)>(
            [this, into = base::socket::first_filled<asio::mutable_buffer>(buffers)](error_code& ec, std::size_t& n) {
                return read_step({static_cast<char*>(into.data()), into.size()}, ec, n);
            },
            std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return socket_.async_write_by<void(error_code, std::size_t)>(
            [this, from = base::socket::first_filled<asio::const_buffer>(buffers)](error_code& ec, std::size_t& n) {
                if (from.size() == 0) return true;
                if (failure_ || socket_.writable())
                    n = write_now({static_cast<const char*>(from.data()), from.size()}, ec);
                return n != 0 || ec;
            },
            std::forward<Token>(token));
    }

private:
    static BIO* shared_bio();
    static int bio_read(BIO*, char*, int);
    static int bio_write(BIO*, const char*, int);
    static long bio_control(BIO*, int, long, void*);
    static void note_alert(const SSL*, int where, int alert);
    // For a call that may read or write: it is this stream that the BIO does so for.
    SSL* working() {
        BIO_set_data(SSL_get_rbio(ssl_.get()), this);
        return ssl_.get();
    }
    void refuse_other_protocol();

    bool worth_asking() const; // OpenSSL, for the first time
    // Waits for more of the handshake, and for its turn, without buffers. False if it was cancelled.
    base::task<bool> receive(base::turns* line, const base::deadline* limit);
    // Plaintext out of what is there and what the socket has; false: neither has any.
    bool read_step(std::span<char> into, error_code& ec, std::size_t& n);
    std::span<char> room();            // where the socket's next bytes go
    bool fill();                       // by what the socket has; false: nothing has come
    error_code failure_of(int result); // of an SSL_ call that did not succeed

    base::socket socket_;
    ssl_ptr ssl_;
    base::buffer in_;           // ciphertext that OpenSSL has not taken yet
    error_code socket_error_;   // why the socket gives no more; handed out when in_ is used up
    error_code failure_;        // of an SSL_ call: what every later one gets
    std::uint64_t to_come_ = 0; // of a large body
    std::uint64_t sent_ = 0;    // ciphertext given to the kernel
    bool more_follows_ = false; // the record that is written is not the last of its write
    bool refused_ = false;
};

} // namespace scoregate::tls
