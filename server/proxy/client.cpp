#include "proxy/client.hpp"

#include "base/frame_memory.hpp"
#include "http/reply.hpp"
#include "proxy/proxy_header.hpp"
#include "telemetry/log.hpp"
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

// What a drain leaves to a connection that has been served: a request that is on its way when the drain begins arrives
// within it, and a reply told the client to go on, so it must not meet a closed connection.
constexpr std::chrono::milliseconds last_request_time{1500};
// What a client may still send after a reply that ended the connection, so that it can read the reply before a reset.
constexpr std::chrono::milliseconds linger_time{2000};
constexpr std::size_t linger_bytes = 1024 * 1024;
// What a client may take for its next part of a handshake, however many others come: a long round trip.
constexpr std::chrono::milliseconds round_trip_time{250};
// How often a handshake waits for the core: each of two flights is announced, then has its turn.
constexpr int turns_of_handshake = 4;

bool proxied(core& where) {
    return where.snapshot()->settings().listen_on.proxy_protocol == config::proxy_protocol::required;
}

template <class Stream>
class client final : public open_client {
public:
    template <class... Args>
    client(core& on, dealing& of, const base::ip_address& peer, Args&&... stream)
        : open_client(Stream::is_tls),
          dealing_(of),
          side_{on, Stream(std::forward<Args>(stream)...), {}, {}, {}, {}, false, false, base::buffer(on.buffers)},
          waiting_(on.wheel, this, [](void* self) { static_cast<client*>(self)->cancel(); }) {
        set_peer(peer);
        on.opened(*this);
    }
    ~client() override { side_.where.closed(); }

    void finish() override {
        side_.finishing = true;
        if (idle_) waiting_.arm(drain_time()); // other waits are over before, or know by then
    }
    void drain() override {
        // A wait that is hot ends sooner than this, and the one after it knows that there is a drain.
        if (!(exchange_ && exchange_->busy()) && !lingering_ && !hot_) waiting_.arm(drain_time());
    }
    void cut() override {
        side_.finishing = true;
        cut_ = true;
        if (exchange_) return exchange_->abort();
        side_.stream.socket().close();
    }

    bool make_way() override {
        if (!lingering_ && arrived()) return false;
        evicted_ = true;
        if (idle_) side_.finishing = true; // if a request comes with this moment, its reply says so
        waiting_.arm(std::chrono::milliseconds(0));
        cancel();
        return true;
    }

    // Its whole life. Who is idle waits in this frame and has no other.
    task<> run() {
        if (!co_await open()) co_return;
        auto end = ending::keep_alive;
        while (end == ending::keep_alive) {
            hot_ = true;
            auto found = co_await read_request();
            while (found == next::nothing_yet) {
                go_idle();
                const auto [ec] = co_await side_.stream.socket().async_wait(base::socket::wait_read, awaited);
                found = next::end;
                if (comes_back(ec)) found = co_await read_request();
            }
            if (found == next::end) break;
            if (!exchange_) exchange_ = base::make_in_frame<exchange<Stream>>(side_);
            if (cut_) exchange_->abort(); // the request had been read just before
            end = co_await exchange_->serve();
            served_ = true;
            if constexpr (Stream::is_tls) side_.stream.read_as_usual();
            side_.in.trim();
            exchange_->trim();
        }
        co_await close(end);
    }

private:
    void cancel() { side_.stream.socket().cancel(); }

    const config::settings& settings() const { return side_.where.snapshot()->settings(); }

    void set_peer(const base::ip_address& peer) {
        side_.peer = peer;
        side_.address.clear();
        base::append_ip(side_.address, peer);
        side_.origin = routing::identity_of_address(peer);
    }

    // All that comes before the first request: a PROXY header, a place among those of its address, TLS. False: it
    // ended.
    task<bool> open() {
        const bool after_header = proxied(side_.where);
        if (after_header || Stream::is_tls) begin_handshake();
        if (after_header) {
            if (!co_await read_proxy_header()) co_return false;
        }
        if (!take_place()) co_return false;
        if constexpr (Stream::is_tls) {
            if (!co_await secure()) co_return false;
        }
        stop_waiting();
        waiting_.disarm();
        evicted_ = false; // it was quicker
        co_return true;
    }

    void begin_handshake() {
        side_.where.handshaking.add(*this);
        waiting_.arm(settings().timeouts.handshake);
    }
    // Takes exactly the header from the socket: what follows is TLS's or HTTP's. While it is not whole all bytes are
    // its own, so that none is looked at twice.
    task<bool> read_proxy_header() {
        auto& socket = side_.stream.socket();
        auto& in = side_.in;
        proxy_header header;
        if (!base::contains(settings().trusted_proxies, side_.peer)) header.found = proxy_header::state::refused;
        while (header.found == proxy_header::state::incomplete) {
            const auto [ec] = co_await socket.async_wait(base::socket::wait_read, awaited);
            if (ec || waiting_.fired()) break;
            in.reserve();
            const auto room = in.writable();
            const auto seen = socket.peek_now(room.data(), room.size());
            if (seen < 0 && errno == EAGAIN) continue;
            if (seen <= 0) break;
            header = parse_proxy_header({in.data(), in.size() + static_cast<std::size_t>(seen)});
            const bool whole = header.found == proxy_header::state::whole;
            const auto its = whole ? header.size - in.size() : static_cast<std::size_t>(seen);
            in.commit(static_cast<std::size_t>(socket.read_now(room.data(), its)));
        }
        const bool began = in.size() != 0;
        in.release();
        if (header.found == proxy_header::state::whole) {
            if (header.source)
                set_peer(*header.source);
            else
                side_.unnamed = true;
            co_return true;
        }
        // Who only looks whether the port is open, as a balancer does, is no news.
        if ((began || header.found == proxy_header::state::refused || waiting_.fired()) && !evicted_)
            side_.where.refused(telemetry::refusal::proxy_protocol, side_.peer);
        co_return false;
    }

    // Of those that its address may have. Trusted proxies bring the clients of many.
    bool take_place() {
        const auto most = settings().limits.max_connections_per_ip;
        if (most == 0 || base::contains(settings().trusted_proxies, side_.peer)) return true;
        place_ = dealing_.by_address.enter(side_.origin, most);
        if (!place_) side_.where.refused(telemetry::refusal::per_ip, side_.peer);
        return static_cast<bool>(place_);
    }

    std::chrono::milliseconds drain_time() const { return served_ ? last_request_time : linger_time; }

    // Bytes that the kernel has and nobody has read.
    bool arrived() {
        char one = 0;
        return side_.stream.socket().peek_now(&one, 1) > 0;
    }

    enum class next : std::uint8_t { request, nothing_yet, end };

    std::chrono::milliseconds keep_alive_time() const {
        if (side_.where.draining() || side_.finishing) return drain_time();
        return settings().timeouts.keep_alive;
    }

    // Until bytes of a request stand in side_.in, or for as long as a client is hot. A coroutine of its own, so that
    // who is idle holds nothing for it.
    task<next> read_request() {
        auto& in = side_.in;
        auto& stream = side_.stream;
        while (in.empty()) {
            if (!hot_ && !idle_ && !stream.buffered()) co_return next::nothing_yet;
            in.reserve();
            const auto room = in.writable();
            // What has come to who was idle begins a TLS record, and with it a request.
            waiting_.arm(hot_ ? std::min(hot_time, keep_alive_time()) : settings().timeouts.header);
            const auto [ec, n] = co_await stream.async_read_some(asio::buffer(room.data(), room.size()), awaited);
            waiting_.disarm();
            stop_waiting();
            idle_ = false;
            if (!ec) in.commit(n);
            if (ec && !(ec == asio::error::operation_aborted && hot_)) co_return next::end;
            if (ec) hot_ = false;
        }
        hot_ = false;
        co_return next::request;
    }

    void go_idle() {
        side_.in.release();
        exchange_.reset();
        side_.stream.release_buffers();
        waiting_.arm(keep_alive_time());
        side_.where.idle.add(*this);
        idle_ = true;
    }

    // After its wait: whether there is something to read.
    bool comes_back(error_code ec) {
        const bool expired = waiting_.fired();
        waiting_.disarm();
        // A request may have come with the last tick: a close now would reset it.
        if ((ec || expired) && !arrived()) return false;
        // Half a TLS record is no request yet. Whoever has nothing under way makes way first.
        if (!evicted_) side_.where.idle.add(*this);
        return true;
    }

    task<> close(ending end) {
        if constexpr (Stream::is_tls) {
            if (side_.stream.refused()) co_return co_await linger();
        }
        if (end == ending::cut) { // what was sent is not whole: over TLS no close_notify tells, in clear only a reset
            if constexpr (!Stream::is_tls) {
                error_code ignored;
                side_.stream.socket().set_option(base::socket::linger(true, 0), ignored);
            }
            co_return;
        }
        if constexpr (Stream::is_tls) side_.stream.close_notify();
        if (end == ending::linger || (end == ending::close && still_sends())) co_await linger();
    }

    // Whether the client has sent more, some of which is dropped here, and not ended: a request that nobody reads any
    // more would have the kernel reset the connection under the reply before it. What has come with its end needs no
    // wait.
    bool still_sends() {
        auto& in = side_.in;
        in.clear();
        in.reserve();
        const auto room = in.writable();
        const auto drop = [&] { return side_.stream.socket().read_now(room.data(), room.size()); };
        if (drop() <= 0) return false;
        const auto more = drop();
        return more > 0 || (more < 0 && errno == EAGAIN);
    }

    // Reads and drops what the client is still sending, until it has seen our end of the stream.
    task<> linger() {
        lingering_ = true;
        auto& socket = side_.stream.socket();
        error_code ec;
        socket.shutdown(base::socket::shutdown_send, ec);
        auto& in = side_.in;
        in.clear();
        in.reserve();
        exchange_.reset();
        side_.stream.release_buffers();
        side_.where.idle.add(*this);
        waiting_.arm(linger_time);
        for (std::size_t dropped = 0; !ec && dropped < linger_bytes && !waiting_.fired();) {
            const auto room = in.writable();
            const auto [failed, n] = co_await socket.async_read_some(asio::buffer(room.data(), room.size()), awaited);
            ec = failed;
            dropped += n;
        }
        stop_waiting();
        waiting_.disarm();
    }

    task<bool> secure() requires Stream::is_tls {
        auto& on = side_.where;
        auto& stream = side_.stream;
        const auto outcome = co_await stream.handshake(&on.handshake_turns(), &waiting_);
        const bool timed_out = waiting_.fired();
        stop_waiting();
        waiting_.disarm();
        if (outcome == tls::handshake_outcome::finished) {
            SSL* const ssl = stream.native_handle();
            side_.resumed = SSL_session_reused(ssl) == 1;
            (side_.resumed ? on.metrics.handshakes_resumed : on.metrics.handshakes_full).add();
            side_.cipher = SSL_get_cipher_name(ssl);
            if (const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) side_.sni = name;
            if (X509* const shown = SSL_get0_peer_certificate(ssl);
                shown != nullptr && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
                side_.certificate = base::make_in_frame<std::string>(tls::forwarded_certificate(shown));
            co_return true;
        }
        const auto why = evicted_    ? telemetry::handshake_failure::evicted
                         : timed_out ? telemetry::handshake_failure::timeout
                                     : reason_of(outcome);
        on.metrics.handshake_failed(why);
        telemetry::log().debug("client {}: no TLS with it: {}", side_.address, telemetry::to_string(why));
        if (outcome == tls::handshake_outcome::plain_http) {
            const auto told = http::plain_http_on_tls_reply(on.date());
            stream.socket().write_now(told.data(), told.size());
        }
        if (!evicted_ && (outcome == tls::handshake_outcome::plain_http || stream.refused())) co_await linger();
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

    dealing& dealing_;
    client_side<Stream> side_;
    base::frame_ptr<exchange<Stream>> exchange_; // while requests come; who is idle has none
    base::deadline waiting_;                     // handshake, idleness, lingering
    connections_by_address::place place_;
    bool served_ = false, lingering_ = false;
    bool idle_ = false;    // waits for a request, and stands in line
    bool evicted_ = false; // was told to make way
    bool hot_ = false;     // waits for a request with its buffers
    bool cut_ = false;     // was told to end at once
};

// Whether one more may begin; the slowest makes way. While the core is behind they wait for it, and each that was
// closed for the next would come again: nobody would ever get through.
bool admit_handshake(core& where, const dealing& of, const base::ip_address& peer) {
    const auto most = of.share_of(where.snapshot()->settings().limits.max_handshakes);
    if (where.handshaking.size() < most) return true;
    const auto patience = round_trip_time + turns_of_handshake * where.lag();
    if (where.evict(where.handshaking, 1, telemetry::eviction::max_handshakes, patience) == 1) return true;
    where.refused(telemetry::refusal::max_handshakes, peer);
    where.release_connection();
    return false;
}

// `stream` is what the client's stream is made of.
template <class Stream, class... Args>
void serve(core& where, dealing& of, const base::ip_address& peer, Args&&... stream) {
    if ((Stream::is_tls || proxied(where)) && !admit_handshake(where, of, peer)) return;
    auto one = base::make_in_frame<client<Stream>>(where, of, peer, std::forward<Args>(stream)...);
    auto work = one->run();
    base::spawn(where.where(), where.gate, std::move(work), std::move(one));
}

} // namespace

void adopt_client(core& where, dealing& of, const arrival& one) {
    base::socket socket(where.where());
    error_code ec;
    socket.assign(base::descriptor(one.descriptor), ec);
    if (!ec) socket.set_option(base::tcp::no_delay(true), ec);
    const bool https = one.through == entrance::https;
    if (ec || (https && where.tls() == nullptr)) return where.release_connection(); // gone already; switched off
    if (https)
        serve<tls::stream>(where, of, one.peer, std::move(socket), where.tls(), where.buffers);
    else
        serve<base::plain_stream>(where, of, one.peer, std::move(socket));
}

void adopt_in_place_of_idle(core& where, dealing& of, const arrival& one, std::size_t tried) {
    if (where.evict(where.idle, 1, telemetry::eviction::max_connections) == 1) return adopt_client(where, of, one);
    where.release_connection();
    // In a burst many come before it shows that the idle ones here are used up.
    for (auto next = where.index() + 1; ++tried < of.cores.size(); ++next) {
        core& other = *of.cores[next % of.cores.size()];
        if (other.idle.since() == waiting_clients::nobody) continue;
        other.promise_connection();
        return other.post([&other, &of, one, tried] { adopt_in_place_of_idle(other, of, one, tried); });
    }
    where.refused(telemetry::refusal::max_connections, one.peer);
    ::close(one.descriptor);
}

} // namespace scoregate::proxy
