#include "proxy/client.hpp"

#include "http/reply.hpp"
#include "tls/client_trust.hpp"

#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <sys/socket.h>
#include <unistd.h>

namespace scoregate::proxy {

namespace {

namespace asio = boost::asio;
using base::awaited;
using base::error_code;
using base::task;

// How long a connection that has just been served keeps its buffers: under load the next request is there long before,
// and waiting without a buffer costs a system call more.
constexpr std::chrono::milliseconds hot_time{100};
// What a drain leaves to a connection that has been served: a request that is on its way when the drain begins arrives
// within it, and a reply told the client to go on, so it must not meet a closed connection.
constexpr std::chrono::milliseconds last_request_time{1500};
// What a client may still send after a reply that ended the connection, so that it can read the reply before a reset.
constexpr std::chrono::milliseconds linger_time{2000};
constexpr std::size_t linger_bytes = 1024 * 1024;

// "::ffff:192.0.2.1" is an IPv4 client on a dual-stack socket.
std::string text_of(const base::tcp::endpoint& peer) {
    const auto address = peer.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
    return address.to_string();
}

template <class Stream>
class client final : public open_client {
public:
    template <class... Args>
    client(core& on, std::string address, Args&&... stream)
        : open_client(Stream::is_tls),
          side_{on,
                Stream(std::forward<Args>(stream)...),
                std::move(address),
                {},
                {},
                {},
                false,
                false,
                base::buffer(on.buffers),
                base::buffer(on.buffers),
                base::buffer(on.buffers)},
          exchange_(side_),
          waiting_(on.wheel, this, [](void* self) { static_cast<client*>(self)->cancel(); }) {
        side_.origin = routing::identity_of_address(side_.address);
        on.opened(*this);
    }
    ~client() override { side_.where.closed(); }

    void finish() override {
        side_.finishing = true;
        if (exchange_.busy() || lingering_) return;
        if (served_)
            cancel();
        else
            waiting_.arm(linger_time); // a connection that was accepted may still bring its first request
    }
    void drain() override {
        // A wait that is hot ends sooner than this, and the one after it knows that there is a drain.
        if (!exchange_.busy() && !lingering_ && !hot_) waiting_.arm(drain_time());
    }
    void cut() override {
        side_.finishing = true;
        exchange_.abort();
    }

    task<> run() {
        if constexpr (Stream::is_tls) {
            if (!co_await secure()) co_return;
        }
        auto end = ending::keep_alive;
        while (end == ending::keep_alive && !(side_.finishing && served_)) {
            const bool more = co_await next_request();
            if (!more) break;
            end = co_await exchange_.serve();
            served_ = true;
            if constexpr (Stream::is_tls) side_.stream.read_as_usual();
            trim(side_.in);
            trim(side_.out);
            trim(side_.reply);
        }
        if constexpr (Stream::is_tls) {
            if (side_.stream.refused()) co_return co_await linger();
        }
        if (end == ending::cut) { // what was sent is not whole: over TLS no close_notify tells, in clear only a reset
            error_code ignored;
            if constexpr (!Stream::is_tls) {
                side_.stream.socket().set_option(base::tcp_socket::linger(true, 0), ignored);
                side_.stream.socket().close(ignored); // Asio's destructor would take the option back
            }
            co_return;
        }
        if constexpr (Stream::is_tls) side_.stream.close_notify();
        if (end == ending::linger) co_await linger();
    }

private:
    void cancel() {
        error_code ignored;
        side_.stream.socket().cancel(ignored);
    }

    std::chrono::milliseconds drain_time() const { return served_ ? last_request_time : linger_time; }

    // Bytes that the kernel has and nobody has read.
    bool arrived() {
        char one = 0;
        return ::recv(side_.stream.socket().native_handle(), &one, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    }

    // A large body's block goes back at once, an ordinary one stays until the connection goes idle.
    static void trim(base::buffer& used) {
        if (used.empty() && used.capacity() > base::buffer_pool::small_block) used.release();
    }

    // True once bytes of a request stand in side_.in.
    task<bool> next_request() {
        auto& in = side_.in;
        auto& stream = side_.stream;
        const auto keep_alive = [this]() -> std::chrono::milliseconds {
            if (side_.where.draining()) return drain_time();
            return side_.where.snapshot()->settings().timeouts.keep_alive;
        };
        hot_ = true;
        if (in.empty()) co_await asio::post(side_.where.where(), awaited); // see exchange::read_reply_head
        while (in.empty()) {
            if (side_.finishing && served_) co_return false;
            if (!hot_ && !stream.buffered()) {
                in.release();
                side_.out.release();
                side_.reply.release();
                stream.release_buffers();
                waiting_.arm(keep_alive());
                const auto [ec] = co_await stream.socket().async_wait(base::tcp_socket::wait_read, awaited);
                const bool expired = waiting_.fired();
                waiting_.disarm();
                // A request may have come with the last tick: a close now would reset it.
                if ((ec || expired) && ((side_.finishing && served_) || !arrived())) co_return false;
            }
            in.reserve();
            const auto room = in.writable();
            waiting_.arm(hot_ ? std::min(hot_time, keep_alive()) : keep_alive());
            const auto [ec, n] = co_await stream.async_read_some(asio::buffer(room.data(), room.size()), awaited);
            waiting_.disarm();
            if (ec == asio::error::operation_aborted && hot_) {
                hot_ = false;
                continue;
            }
            if (ec) co_return false;
            in.commit(n);
        }
        hot_ = false;
        co_return true;
    }

    // Reads and drops what the client is still sending, until it has seen our end of the stream.
    task<> linger() {
        lingering_ = true;
        auto& socket = side_.stream.socket();
        error_code ec;
        socket.shutdown(base::tcp_socket::shutdown_send, ec);
        auto& in = side_.in;
        in.clear();
        in.reserve();
        waiting_.arm(linger_time);
        for (std::size_t dropped = 0; !ec && dropped < linger_bytes && !waiting_.fired();) {
            const auto room = in.writable();
            const auto [failed, n] = co_await socket.async_read_some(asio::buffer(room.data(), room.size()), awaited);
            ec = failed;
            dropped += n;
        }
        waiting_.disarm();
    }

    task<bool> secure() requires Stream::is_tls {
        auto& on = side_.where;
        auto& stream = side_.stream;
        waiting_.arm(on.snapshot()->settings().timeouts.handshake);
        const auto outcome = co_await stream.handshake();
        const bool timed_out = waiting_.fired();
        waiting_.disarm();
        if (outcome == tls::handshake_outcome::finished) {
            SSL* const ssl = stream.native_handle();
            side_.resumed = SSL_session_reused(ssl) == 1;
            (side_.resumed ? on.metrics.handshakes_resumed : on.metrics.handshakes_full).add();
            side_.cipher = SSL_get_cipher_name(ssl);
            if (const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) side_.sni = name;
            if (X509* const shown = SSL_get0_peer_certificate(ssl);
                shown != nullptr && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
                side_.certificate = tls::forwarded_certificate(shown);
            co_return true;
        }
        on.metrics.handshake_failed(timed_out ? telemetry::handshake_failure::timeout : reason_of(outcome));
        if (outcome == tls::handshake_outcome::plain_http) {
            const auto told = http::plain_http_on_tls_reply(on.date());
            ::send(stream.socket().native_handle(), told.data(), told.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        if (outcome == tls::handshake_outcome::plain_http || stream.refused()) co_await linger();
        co_return false;
    }

    static telemetry::handshake_failure reason_of(tls::handshake_outcome outcome) {
        using from = tls::handshake_outcome;
        using to = telemetry::handshake_failure;
        switch (outcome) {
        case from::plain_http: return to::plain_http;
        case from::closed: return to::closed;
        case from::unsupported_protocol: return to::unsupported_protocol;
        case from::no_shared_cipher: return to::no_shared_cipher;
        case from::no_application_protocol: return to::no_application_protocol;
        case from::certificate_missing: return to::certificate_missing;
        case from::certificate_refused: return to::certificate_refused;
        case from::client_alert: return to::client_alert;
        case from::cancelled: return to::closed;
        default: return to::other;
        }
    }

    client_side<Stream> side_;
    exchange<Stream> exchange_;
    base::deadline waiting_; // handshake, idleness, lingering
    bool served_ = false, lingering_ = false;
    bool hot_ = false; // waits for a request with its buffers
};

task<> serve_tls(core& where, base::tcp_socket socket, std::string address) {
    client<tls::stream> one(where, std::move(address), std::move(socket), where.tls(), where.buffers);
    co_await one.run();
}

task<> serve_plain(core& where, base::tcp_socket socket, std::string address) {
    client<base::plain_stream> one(where, std::move(address), std::move(socket));
    co_await one.run();
}

} // namespace

void adopt_client(core& where, int descriptor, entrance through) {
    base::tcp_socket socket(where.where());
    error_code ec;
    // The family only matters for what Asio would open itself.
    socket.assign(base::tcp::v6(), descriptor, ec);
    if (ec) {
        ::close(descriptor);
        return where.release_connection();
    }
    socket.set_option(base::tcp::no_delay(true), ec);
    const auto peer = socket.remote_endpoint(ec);
    if (ec) return where.release_connection();                                                   // gone already
    if (through == entrance::https && where.tls() == nullptr) return where.release_connection(); // switched off
    if (through == entrance::https)
        base::spawn(where.where(), where.gate, serve_tls(where, std::move(socket), text_of(peer)));
    else
        base::spawn(where.where(), where.gate, serve_plain(where, std::move(socket), text_of(peer)));
}

} // namespace scoregate::proxy
