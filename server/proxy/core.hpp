// One core: a thread with an io_context, and everything mutable that a request touches except the deployments. Nothing
// in here is shared; other threads only post(). Owned by app::process, which also runs the thread.
#pragma once

#include "auth/token_cache.hpp"
#include "base/buffer.hpp"
#include "base/byte_budget.hpp"
#include "base/deadline_wheel.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"
#include "base/poller.hpp"
#include "base/turns.hpp"
#include "http/head.hpp"
#include "http/identifiers.hpp"
#include "proxy/challenge.hpp"
#include "proxy/open_client.hpp"
#include "routing/snapshot.hpp"
#include "telemetry/access_log.hpp"
#include "telemetry/core_metrics.hpp"
#include "telemetry/log.hpp"
#include "telemetry/recent_errors.hpp"
#include "telemetry/trace_log.hpp"
#include "tls/openssl_ptr.hpp"
#include "upstream/pool.hpp"

#include <boost/intrusive/list.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace scoregate::proxy {

// A request that no client waits for (unattended.hpp).
class unattended_request
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    unattended_request() = default;
    unattended_request(const unattended_request&) = delete;
    unattended_request& operator=(const unattended_request&) = delete;
    virtual ~unattended_request() = default;
    // The core has begun to drain: who is in a queue leaves it.
    virtual void stop_waiting() = 0;
};

// What the bodies of all cores' requests take together, within limits.buffer_memory_bytes. Copies have a part of their
// own, so that originals never want for it.
struct held_bodies {
    base::byte_budget collected; // until a replica is free
    base::byte_budget copied;    // of mirrored traffic, until they have been sent

    static constexpr std::uint64_t most_copied(std::uint64_t all) { return all / 4; }
    static constexpr std::uint64_t most_collected(std::uint64_t all) { return all - most_copied(all); }
};

class core {
public:
    // `tls` is null while HTTP is served in clear. `unmatched` counts requests that no service took, `held` the bytes
    // of bodies that wait. `log` is null when there is no access log; it outlives the core.
    core(unsigned index, std::shared_ptr<const routing::snapshot> first, tls::ssl_ctx_ptr tls,
         std::shared_ptr<telemetry::service_metrics> unmatched, std::shared_ptr<held_bodies> held,
         telemetry::access_log::channel* log);
    core(const core&) = delete;
    core& operator=(const core&) = delete;
    // The loop has ended. Coroutines that were still waiting are destroyed with it.
    ~core() { pool.clear(); } // sockets go before the io_context that they belong to

    // Runs the thread's loop until stop(). Called once, on the core's thread.
    void run();

    // Any thread.
    template <class Work>
    void post(Work work) {
        poller_.post(std::move(work));
    }
    void stop() {
        io_.stop();
        poller_.post([] {}); // a look ends
    }
    // Connections dealt to this core and not yet closed. Counted when dealt, so that a burst is spread.
    std::size_t open_connections() const { return connections_.load(std::memory_order_relaxed); }
    void promise_connection() { connections_.fetch_add(1, std::memory_order_relaxed); }
    void release_connection() { connections_.fetch_sub(1, std::memory_order_relaxed); }

    // This core's thread from here on.
    // Requests under way finish by what they began with. If TLS is off in `next`, finish_tls().
    void adopt(std::shared_ptr<const routing::snapshot> next);
    // For the next handshakes; null when TLS is off. Connections that are open keep theirs.
    void adopt(tls::ssl_ctx_ptr next) { tls_ = std::move(next); }
    // Connections over TLS end after one more request, or when none has come for a moment.
    void finish_tls();
    // Of whatever is still waited for; empty: there is no such file.
    void answer_challenge(std::uint64_t number, std::optional<std::string> content);
    // Readiness off: GET / says so; everything is still served.
    void turn_unready() { unready_ = true; }
    // Idle connections close after a moment in which their next request is still answered, busy ones after their
    // request; `done` runs once all are gone. Readiness is another matter: a successor may be ready in our place.
    void drain(std::function<void()> done);
    // Closes every connection, whatever is under way; returns how many there were.
    std::size_t cut();

    base::executor where() { return io_.get_executor(); }
    unsigned index() const { return index_; }
    bool unready() const { return unready_; }
    bool draining() const { return draining_; }
    SSL_CTX* tls() { return tls_.get(); }
    std::string_view date() const { return date_; } // IMF-fixdate (RFC 9110 5.6.7), at most a tick old
    const std::shared_ptr<const routing::snapshot>& snapshot() const { return snapshot_; }

    void opened(open_client& client) {
        clients_.push_back(client);
        metrics.connections.add();
        metrics.connections_accepted.add();
    }
    void add(unattended_request& one) { unattended_.push_back(one); }
    void closed() {
        release_connection();
        metrics.connections.sub();
    }

    // For what OpenSSL does of a handshake: requests go between.
    base::turns& handshake_turns() { return handshake_turns_; }

    using duration = std::chrono::steady_clock::duration;
    // How long what is ready waits for the loop to come round to it, a handshake for its turn too. What waits for that
    // does not wait for its client.
    duration lag() const;
    // Up to `most` of `idle` or `handshaking` make way, who has waited longest first, and longer than `patience`;
    // returns how many.
    std::size_t evict(waiting_clients& waiting, std::size_t most, telemetry::eviction why, duration patience = {});
    // A connection of `whose` is closed at once: counts it and tells in the log, which cannot be flooded.
    void refused(telemetry::refusal why, const base::ip_address& whose);

    base::deadline_wheel wheel;
    base::buffer_pool buffers;
    base::gate gate;       // clients
    base::gate unattended; // what no client waits for, nor a drain
    base::gate accepting;  // listeners
    http::identifier_source identifiers;
    upstream::pool pool;
    auth::token_cache tokens;
    telemetry::core_metrics metrics;
    telemetry::recent_errors errors;
    std::shared_ptr<telemetry::service_metrics> unmatched;
    std::shared_ptr<held_bodies> held;
    std::size_t copies = 0; // of mirrored traffic, under way
    waiting_clients idle, handshaking;
    // From this number on they are kept for files and the admin port. Set before run().
    int most_replica_descriptors = std::numeric_limits<int>::max();
    telemetry::access_log::channel* log;
    // Has the file of a challenge read: answer_challenge() with that number is then posted. Empty where there is no
    // ACME. Set before run(); any core's thread.
    std::function<void(unsigned core, std::uint64_t number, std::string token)> ask_for_challenge;
    std::map<std::uint64_t, awaited_challenge*> challenges;
    std::uint64_t challenges_asked = 0;
    telemetry::trace_log::channel* traces = nullptr; // null: nothing is traced. Set before run(); outlives the core

    // Scratch of the exchange that is running right now; nothing in them survives a co_await.
    http::request_head request;
    http::response_head response;

private:
    struct turn;
    void serve_turn();
    void tick(std::chrono::steady_clock::time_point now);
    void write_date();
    void retain_connections();

    unsigned index_;
    base::asio::io_context io_{1}; // what is posted to it; connections wait in the poller
    base::poller& poller_ = base::poller::of(io_.get_executor());
    std::shared_ptr<const routing::snapshot> snapshot_;
    tls::ssl_ctx_ptr tls_;
    std::string date_;
    std::time_t date_second_ = 0;
    bool unready_ = false, draining_ = false;
    std::chrono::steady_clock::time_point next_tick_ = std::chrono::steady_clock::now(), next_sweep_ = next_tick_;
    std::chrono::steady_clock::time_point began_ = next_tick_; // the wheel's time
    duration last_tick_late_{0};
    std::array<telemetry::rate_limited, telemetry::refusals.size()> complaints_;
    std::atomic<std::size_t> connections_{0};
    boost::intrusive::list<open_client, boost::intrusive::constant_time_size<false>> clients_;
    boost::intrusive::list<unattended_request, boost::intrusive::constant_time_size<false>> unattended_;
    base::turns handshake_turns_; // the first to go: with who waits there
};

} // namespace scoregate::proxy
