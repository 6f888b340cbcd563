#include "tls/stream.hpp"

#include <openssl/err.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <sys/socket.h>

namespace scoregate::tls {

namespace {

ssl_ptr begin_as_server(SSL_CTX* context) {
    ssl_ptr made{SSL_new(context)};
    if (made) SSL_set_accept_state(made.get());
    return made;
}

} // namespace

stream::stream(base::socket socket, SSL_CTX* context, base::buffer_pool& pool)
    : stream(std::move(socket), begin_as_server(context), pool) {}

stream::stream(base::socket socket, ssl_ptr ssl, base::buffer_pool& pool)
    : socket_(std::move(socket)), ssl_(std::move(ssl)), in_(pool) {
    BIO* const bio = shared_bio();
    if (!ssl_ || BIO_up_ref(bio) != 1) throw std::bad_alloc();
    SSL_set_bio(ssl_.get(), bio, bio); // one reference, owned by the SSL
    SSL_set_info_callback(ssl_.get(), note_alert);
}

// OpenSSL answers each attempt to renegotiate with a warning and goes on (SSL_OP_NO_RENEGOTIATION): a peer that does
// nothing else would have it decrypt, encrypt and send for as long as it likes. The first attempt ends the connection.
void stream::note_alert(const SSL* ssl, int where, int alert) {
    if ((where & SSL_CB_WRITE_ALERT) != SSL_CB_WRITE_ALERT) return;
    const bool fatal = alert >> 8 == SSL3_AL_FATAL;
    if (fatal || (alert & 0xFF) == SSL_AD_NO_RENEGOTIATION)
        static_cast<stream*>(BIO_get_data(SSL_get_rbio(ssl)))->refused_ = true;
}

// Of this thread. One of its own would cost each connection 220 bytes, and OpenSSL never reads or writes but in a call.
BIO* stream::shared_bio() {
    static BIO_METHOD* const method = [] {
        auto* made = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "scoregate socket");
        BIO_meth_set_read(made, bio_read);
        BIO_meth_set_write(made, bio_write);
        BIO_meth_set_ctrl(made, bio_control);
        return made;
    }();
    thread_local const bio_ptr of_thread = [] {
        bio_ptr made{BIO_new(method)};
        if (!made) throw std::bad_alloc();
        BIO_set_init(made.get(), 1);
        return made;
    }();
    return of_thread.get();
}

int stream::bio_read(BIO* bio, char* into, int size) {
    auto& self = *static_cast<stream*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (self.in_.empty() || self.refused_) {
        if (self.socket_error_ && !self.refused_) return 0; // end of stream as far as OpenSSL is concerned
        BIO_set_retry_read(bio);
        return -1;
    }
    const auto n = std::min(static_cast<std::size_t>(size), self.in_.size());
    std::memcpy(into, self.in_.data(), n);
    self.in_.consume(n);
    return static_cast<int>(n);
}

int stream::bio_write(BIO* bio, const char* from, int size) {
    auto& self = *static_cast<stream*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const int more = self.more_follows_ ? MSG_MORE : 0; // held back until the next send, or until the socket is full
    const auto n = self.socket_.write_now(from, static_cast<std::size_t>(size), more);
    if (n > 0) self.sent_ += static_cast<std::size_t>(n);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_write(bio);
    return static_cast<int>(n);
}

long stream::bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

std::span<char> stream::room() {
    if (to_come_ != 0)
        in_.reserve_stride(to_come_);
    else
        in_.reserve(base::buffer::record);
    in_.compact();
    return in_.writable();
}

bool stream::fill() {
    const auto into = room();
    const auto n = socket_.read_now(into.data(), into.size());
    if (n > 0)
        in_.commit(static_cast<std::size_t>(n));
    else if (n == 0)
        socket_error_ = asio::error::eof;
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        socket_error_.assign(errno, boost::system::system_category());
    else
        return false;
    return true;
}

bool stream::read_step(std::span<char> into, error_code& ec, std::size_t& n) {
    if (into.empty()) return true;
    if (!buffered() && (!socket_.readable() || !fill())) return false;
    for (;;) {
        n = read_now(into, ec);
        if (ec != asio::error::would_block) return true;
        ec = {};
        if (!socket_.readable() || !fill()) return false;
    }
}

error_code stream::failure_of(int result) {
    const int kind = SSL_get_error(ssl_.get(), result);
    if (refused_) {
        ERR_clear_error();
        return failure_ = make_error_code(boost::system::errc::protocol_error);
    }
    switch (kind) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return asio::error::would_block;
    case SSL_ERROR_ZERO_RETURN: return asio::error::eof;
    default: break;
    }
    ERR_clear_error();
    if (socket_error_ && socket_error_ != asio::error::eof)
        failure_ = socket_error_;
    else if (socket_error_ || kind == SSL_ERROR_SYSCALL)
        failure_ = asio::error::connection_reset;
    else
        failure_ = make_error_code(boost::system::errc::protocol_error);
    return failure_;
}

std::size_t stream::read_now(std::span<char> into, error_code& ec) {
    std::size_t total = 0;
    if (failure_) return ec = failure_, total;
    while (total < into.size()) {
        const int n = SSL_read(working(), into.data() + total, static_cast<int>(into.size() - total));
        if (n <= 0) {
            const auto why = failure_of(n);
            if (total == 0) ec = why; // otherwise the next call meets it again
            break;
        }
        total += static_cast<std::size_t>(n);
        if (in_.empty() && SSL_pending(ssl_.get()) == 0) break; // another SSL_read could only say "retry"
    }
    return total;
}

// The records of one write leave together where they make one segment, as far as that is the kernel's to choose: it
// sends it once, and the peer is woken once. Of a larger write the first of it should be on its way meanwhile.
std::size_t stream::write_now(std::string_view bytes, error_code& ec) {
    constexpr std::size_t one_segment = 64 * 1024; // what segmentation offload takes at most
    std::size_t total = 0;
    if (failure_) return ec = failure_, total;
    while (total < bytes.size()) {
        const auto record = std::min<std::size_t>(bytes.size() - total, SSL3_RT_MAX_PLAIN_LENGTH);
        more_follows_ = record != bytes.size() - total && bytes.size() <= one_segment;
        const int n = SSL_write(working(), bytes.data() + total, static_cast<int>(record));
        if (n <= 0) {
            if (const auto why = failure_of(n); why != asio::error::would_block) ec = why;
            break;
        }
        total += static_cast<std::size_t>(n);
    }
    more_follows_ = false;
    return total;
}

void stream::release_buffers() {
    if (in_.empty()) in_.release();
    // Only between two records ("RH": the next header is awaited): some releases of OpenSSL would go on to read from
    // what they have freed (CVE-2024-4741). While one is half written it refuses by itself.
    if (SSL_pending(ssl_.get()) == 0 && std::strcmp(SSL_rstate_string(ssl_.get()), "RH") == 0)
        SSL_free_buffers(ssl_.get());
}

void stream::close_notify() {
    if (failure_ || !SSL_is_init_finished(ssl_.get())) return;
    SSL_shutdown(working()); // does not wait for the peer's; RFC 5246 7.2.1 lets us close at once
    ERR_clear_error();
}

namespace {

// No TLS record begins with a letter, and every method does that anybody uses. HTTP/2's preface is told the same.
bool begins_like_http(std::string_view bytes) {
    if (bytes.empty()) return false;
    const char first = bytes.front();
    return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
}

handshake_outcome outcome_of(unsigned long reason) {
    switch (ERR_GET_REASON(reason)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_VERSION_TOO_LOW: return handshake_outcome::unsupported_protocol;
    case SSL_R_NO_SHARED_CIPHER: return handshake_outcome::no_shared_cipher;
    case SSL_R_NO_APPLICATION_PROTOCOL: return handshake_outcome::no_application_protocol;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return handshake_outcome::certificate_missing;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_BAD_SIGNATURE: return handshake_outcome::certificate_refused;
    default: break;
    }
    const bool alert = ERR_GET_REASON(reason) > SSL_AD_REASON_OFFSET;
    return alert ? handshake_outcome::client_alert : handshake_outcome::other;
}

} // namespace

// OpenSSL sends no alert to who does not seem to speak TLS at all. Whoever does after all, in a version whose records
// look different, learns what is wrong; nobody else is harmed by seven bytes.
void stream::refuse_other_protocol() {
    constexpr char alert[] = {SSL3_RT_ALERT, TLS1_2_VERSION_MAJOR,   TLS1_2_VERSION_MINOR, 0, 2,
                              SSL3_AL_FATAL, SSL_AD_PROTOCOL_VERSION};
    socket_.write_now(alert, sizeof alert);
    refused_ = true;
}

// A client that has connected and says nothing, or a byte a second, is to cost little: OpenSSL takes 60 KiB when it is
// first asked, so that is when it can answer.
bool stream::worth_asking() const {
    constexpr std::size_t header_size = 5;        // RFC 5246 6.2.1: type, version (2), length (2)
    constexpr std::size_t most_of_record = 16384; // RFC 5246 6.2.1, in clear
    constexpr char handshake_record = 22;
    if (socket_error_) return true;
    const auto bytes = in_.readable();
    if (bytes.empty()) return false;
    if (bytes.size() < header_size) return false;
    const auto at = [bytes](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
    const auto length = at(3) * 256 + at(4);
    const bool no_record = bytes[0] != handshake_record || bytes[1] != SSL3_VERSION_MAJOR || length > most_of_record;
    return no_record || bytes.size() >= std::min(header_size + length, in_.capacity());
}

base::task<bool> stream::receive(base::turns* line, const base::deadline* limit) {
    release_buffers();
    const auto [nothing] = co_await socket_.async_wait(base::socket::wait_read, base::awaited);
    if (nothing) co_return false;
    if (line != nullptr) co_await line->next();
    if (limit != nullptr && limit->fired()) co_return false;
    fill(); // it is our turn now
    co_return true;
}

base::task<handshake_outcome> stream::handshake(base::turns* line, const base::deadline* limit) {
    if (SSL_is_server(ssl_.get()) == 1) {
        while (!worth_asking()) {
            if (!co_await receive(line, limit)) co_return handshake_outcome::cancelled;
            if (begins_like_http(in_.readable())) co_return handshake_outcome::plain_http;
        }
    }
    for (;;) {
        const int result = SSL_do_handshake(working());
        if (result == 1) co_return handshake_outcome::finished;
        switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ: {
            if (!co_await receive(line, limit)) co_return handshake_outcome::cancelled;
            break;
        }
        case SSL_ERROR_WANT_WRITE: {
            const auto [ec] = co_await socket_.async_wait(base::socket::wait_write, base::awaited);
            if (ec == asio::error::operation_aborted) co_return handshake_outcome::cancelled;
            break;
        }
        default: {
            failure_ = make_error_code(boost::system::errc::protocol_error);
            const auto reason = ERR_peek_last_error();
            ERR_clear_error();
            if (socket_error_ || reason == 0) co_return handshake_outcome::closed;
            if (!refused_ && ERR_GET_REASON(reason) == SSL_R_WRONG_VERSION_NUMBER) refuse_other_protocol();
            co_return outcome_of(reason);
        }
        }
    }
}

} // namespace scoregate::tls
