#include "proxy/core.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>

namespace scoregate::proxy {

namespace {

using namespace std::chrono_literals;

// A handle with a count of this core's own: pinning it for a request touches no cache line of another core.
std::shared_ptr<const routing::snapshot> own(std::shared_ptr<const routing::snapshot> shared) {
    const auto* const what = shared.get();
    return {what, [kept = std::move(shared)](const routing::snapshot*) {}};
}

// For each connection that makes way, how many may be found to have bytes that nobody has read: there may be thousands.
constexpr std::size_t most_passed_over = 64;
// Some handshakes, so that a look at the sockets for each slice costs little. One signature of RSA is longer.
constexpr std::chrono::microseconds handshake_slice{250};
constexpr telemetry::rate_limited::clock::duration between_complaints = std::chrono::seconds(10);

constexpr std::array<std::string_view, telemetry::refusals.size()> why_refused{
    "limits.max_connections is reached, and none of them is idle",
    "its address has limits.max_connections_per_ip open",
    "file descriptors run short: raise the limit of open files or lower limits.max_connections",
    "memory runs short: see limits.max_memory_bytes",
    "listen.proxy_protocol requires a valid PROXY header, from one of trusted_proxies",
    "limits.max_handshakes is reached, and none of them has been slow",
};

} // namespace

// Its memory is not the heap's.
struct core::turn {
    using allocator_type = base::frame_allocator<void>;
    allocator_type get_allocator() const noexcept { return {}; }
    void operator()() const { of.serve_turn(); }
    core& of;
};

void core::adopt(std::shared_ptr<const routing::snapshot> next) {
    snapshot_ = own(std::move(next));
    retain_connections();
    if (snapshot_->settings().allow_insecure_connections) finish_tls();
}

void core::answer_challenge(std::uint64_t number, std::optional<std::string> content) {
    if (const auto found = challenges.find(number); found != challenges.end()) found->second->take(std::move(content));
}

void core::finish_tls() {
    for (auto& client : clients_)
        if (client.over_tls()) client.finish();
}

core::core(unsigned index, std::shared_ptr<const routing::snapshot> first, tls::ssl_ctx_ptr tls,
           std::shared_ptr<telemetry::service_metrics> unmatched_requests, std::shared_ptr<held_bodies> bodies,
           telemetry::access_log::channel* access_log)
    : unmatched(std::move(unmatched_requests)),
      held(std::move(bodies)),
      log(access_log),
      index_(index),
      snapshot_(own(std::move(first))),
      tls_(std::move(tls)),
      complaints_{telemetry::rate_limited(between_complaints), telemetry::rate_limited(between_complaints),
                  telemetry::rate_limited(between_complaints), telemetry::rate_limited(between_complaints),
                  telemetry::rate_limited(between_complaints), telemetry::rate_limited(between_complaints)},
      handshake_turns_(where(), handshake_slice) {
    retain_connections();
    write_date();
    poller_.drive();
}

// By what the deployments have by now: a snapshot that comes after this one may have been built already.
void core::retain_connections() {
    std::unordered_set<std::uint64_t> ids;
    for (const auto& service : snapshot_->services())
        for (const auto& target : service.targets) target.replicas->add_ids(ids);
    pool.retain(std::move(ids));
}

// What waits for a socket waits in the poller; the io_context has what is posted to it, and timers, which so are as
// exact as a tick. What the poller finds is told by a handler of the io_context: code that runs is in its thread, for
// Asio too.
void core::run() {
    const auto goes_on = base::asio::make_work_guard(io_);
    began_ = next_tick_ = next_sweep_ = std::chrono::steady_clock::now();
    for (;;) {
        io_.poll();
        if (io_.stopped()) return;
        const auto until_tick = next_tick_ - std::chrono::steady_clock::now();
        poller_.look(std::max(std::chrono::ceil<std::chrono::milliseconds>(until_tick), 0ms));
        base::asio::post(io_, turn{*this});
    }
}

void core::serve_turn() {
    poller_.tell();
    if (const auto now = std::chrono::steady_clock::now(); now >= next_tick_) tick(now);
}

void core::tick(std::chrono::steady_clock::time_point now) {
    last_tick_late_ = now - next_tick_;
    next_tick_ = now + base::deadline_wheel::tick_length;
    wheel.advance(std::chrono::duration_cast<std::chrono::milliseconds>(now - began_));
    write_date();
    if (log != nullptr) log->flush();
    if (traces != nullptr) traces->flush();
    if (now < next_sweep_) return;
    pool.sweep(now);
    buffers.release_unused();
    base::block_store::release_unused();
    next_sweep_ = now + std::chrono::seconds(1);
}

void core::write_date() {
    const auto now = std::time(nullptr);
    if (now == date_second_) return;
    date_second_ = now;
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    date_.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc));
}

void core::drain(std::function<void()> done) {
    draining_ = true;
    for (auto& client : clients_) client.drain();
    for (auto& each : unattended_) each.stop_waiting();
    gate.when_empty(std::move(done));
}

// By the last tick or by the next, if that one is overdue already.
core::duration core::lag() const {
    return std::max({last_tick_late_, std::chrono::steady_clock::now() - next_tick_, handshake_turns_.behind()});
}

std::size_t core::evict(waiting_clients& waiting, std::size_t most, telemetry::eviction why, duration patience) {
    const auto before = (std::chrono::steady_clock::now() - patience).time_since_epoch().count();
    std::size_t count = 0;
    for (auto left = std::min(waiting.size(), most + most_passed_over);
         left != 0 && count < most && waiting.since() <= before; --left)
        if (waiting.evict_first()) ++count;
    metrics.of(why).add(count);
    return count;
}

void core::refused(telemetry::refusal why, const base::ip_address& whose) {
    metrics.of(why).add();
    const auto which = static_cast<std::size_t>(why);
    const auto hidden = complaints_[which].allow(std::chrono::steady_clock::now());
    if (!hidden) return;
    std::string address;
    base::append_ip(address, whose);
    telemetry::log().warn("a connection from {} was closed at once ({} more like it): {}", address, *hidden,
                          why_refused[which]);
}

std::size_t core::cut() {
    std::size_t count = 0;
    for (auto& client : clients_) {
        client.cut();
        ++count;
    }
    return count;
}

} // namespace scoregate::proxy
