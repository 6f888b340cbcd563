#include "proxy/unattended.hpp"

#include "base/pause.hpp"
#include "proxy/queue_place.hpp"
#include "telemetry/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <sys/socket.h>

namespace scoregate::proxy {

namespace {

using base::awaited;
using base::error_code;
using base::task;
using telemetry::mirror_result;
namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds probe_timeout{2000}, between_probes{1000};
constexpr std::chrono::seconds between_complaints{10};
constexpr std::size_t most_junk = 2 << 20; // bytes of a reply that is no HTTP, or of heads; a head may have 1 MiB

// Of replicas that do not end what was given up: without a cap there may be thousands at once.
std::optional<std::uint64_t> may_complain() {
    static thread_local telemetry::rate_limited limit(between_complaints);
    return limit.allow(clock::now());
}

class unattended : public unattended_request {
protected:
    enum class outcome : std::uint8_t {
        whole,
        ended,   // by the replica
        expired, // by us
    };

    unattended(core& where, unattended_work work)
        : core_(where),
          work_(std::move(work)),
          time_(where.wheel, this, [](void* self) { static_cast<unattended*>(self)->interrupt(); }),
          pause_(where.wheel, where.where()) {
        where.add(*this);
    }

    const config::request_settings& settings() const { return work_.at->settings; }
    telemetry::service_metrics::per_core& metrics() { return work_.at->metrics->at(core_.index()); }

    void interrupt() {
        if (work_.replica) work_.replica->cancel();
        pause_.end();
    }

    // Whether a worker that ignores a hang-up would be at two requests at once if the slot were given back now.
    bool guards_slot() const {
        return settings().on_abandon == config::on_abandon::finish && settings().max_concurrent_requests;
    }

    // `for_head`, then `for_body`, is how long may be waited for each. Its connection is idle or closed afterwards.
    task<outcome> drop_reply(std::chrono::milliseconds for_head, std::chrono::milliseconds for_body) {
        if (!work_.request_whole) end_sending();
        time_.arm(work_.head_seen ? for_body : for_head);
        base::buffer in(core_.buffers);
        in.reserve(std::max(work_.unread.size(), base::buffer_pool::small_block / 2));
        in.append(std::exchange(work_.unread, {}));
        std::size_t scanned = 0, junk = 0;
        auto end = outcome::ended;
        while (junk < most_junk) { // whoever writes more than that without end notices that we close
            const bool had_head = work_.head_seen;
            if (take(in, scanned)) {
                end = outcome::whole;
                break;
            }
            if (!had_head && work_.head_seen) time_.arm(for_body);
            if (in.writable().empty()) in.compact();
            if (in.writable().empty()) in.reserve(work_.pinned->head_limits().bytes);
            const auto room = in.writable();
            const auto [ec, n] =
                co_await work_.replica->async_read_some(asio::buffer(room.data(), room.size()), awaited);
            in.commit(n);
            if (!work_.readable || !work_.head_seen) junk += n;
            if (!ec) continue;
            const bool whole = ec == asio::error::eof && work_.head_seen && work_.body.ends_with_stream();
            end = time_.fired() ? outcome::expired : whole ? outcome::whole : outcome::ended;
            break;
        }
        time_.disarm();
        if (end == outcome::whole && work_.reusable && work_.request_whole && in.empty())
            core_.pool.give(std::move(work_.replica), clock::now());
        work_.replica.reset();
        co_return end;
    }

    // After drop_reply() gave it up: until the replica is free for sure. One that takes one request at a time answers
    // once it is done with the last. One that a reload has removed and that nobody can reach any more is no longer
    // there.
    task<> wait_until_it_answers() {
        metrics().abandon_expired.add();
        const std::string url = work_.slot.where().url;
        const auto hidden = may_complain();
        if (hidden)
            telemetry::log().warn(
                "replica {} has not ended a request that was given up {} ms ago; it gets no other one "
                "in its place until it answers a GET ({} more like it)",
                url, settings().abandon_max.count(), *hidden);
        for (;;) {
            const auto answer = co_await probe();
            if (answer == probed::answers) break;
            if (answer == probed::unreachable && work_.slot.leaving()) co_return;
            co_await pause_.wait(between_probes);
        }
        if (hidden) telemetry::log().info("replica {} answers again", url);
    }

    // What a whole reply says of its replica.
    routing::outcome told() const { return routing::outcome_of_status(status_); }

    core& core_;
    unattended_work work_;
    base::deadline time_;
    base::pause pause_;

private:
    unsigned status_ = 200; // of the reply; unless its head has been seen before

    // Takes what it can of `in`. True once the reply is whole. One that is no HTTP is never whole: its end is what is
    // waited for.
    bool take(base::buffer& in, std::size_t& scanned) {
        if (work_.readable && !work_.head_seen && !take_head(in, scanned)) return false;
        if (work_.readable && !work_.body.done()) {
            const auto step = work_.body.decode(in.data(), in.size());
            if (step) in.consume(step->consumed);
            work_.readable = step.has_value();
        }
        if (!work_.readable) {
            end_sending(); // one that waits for more of us ends now
            in.clear();
            return false;
        }
        return work_.body.done();
    }

    void end_sending() {
        error_code ignored;
        work_.replica->socket().shutdown(base::socket::shutdown_send, ignored);
    }

    bool take_head(base::buffer& in, std::size_t& scanned) {
        for (;;) {
            const auto& limits = work_.pinned->head_limits();
            const auto end = http::find_head_end(in.readable(), scanned, limits);
            if (end && !*end) return false;
            auto& head = core_.response;
            if (!end || !head.parse(in.readable().substr(0, **end), limits, work_.verb)) {
                work_.readable = false;
                return true;
            }
            in.consume(**end);
            scanned = 0;
            work_.reusable &= head.keep_alive;
            if (head.status < 200) continue;
            work_.head_seen = true;
            status_ = head.status;
            work_.body = http::body_decoder(head.body);
            return true;
        }
    }

    enum class probed : std::uint8_t { answers, silent, unreachable };

    task<probed> probe() {
        const auto& where = work_.slot.where();
        work_.replica = std::make_unique<upstream::connection>(core_.where(), where.id, core_.most_replica_descriptors);
        time_.arm(probe_timeout);
        auto ec = co_await work_.replica->open(where, core_.buffers);
        auto found = ec ? probed::unreachable : probed::silent;
        if (!ec) {
            constexpr std::string_view request =
                "GET / HTTP/1.1\r\nHost: replica\r\nUser-Agent: scoregate\r\nConnection: close\r\n\r\n";
            work_.replica->write_now(request, ec); // a new socket takes so little at once
            char first;
            const auto [failed, n] = co_await work_.replica->async_read_some(asio::buffer(&first, 1), awaited);
            if (!failed && n == 1) found = probed::answers;
        }
        time_.disarm();
        work_.replica.reset();
        co_return found;
    }
};

class abandoned final : public unattended {
public:
    abandoned(core& where, unattended_work work) : unattended(where, std::move(work)) {}

    task<> run() {
        metrics().abandoned.add();
        const auto end = co_await drop_reply(settings().abandon_max, settings().abandon_max);
        if (end == outcome::expired) co_await wait_until_it_answers();
        if (end == outcome::whole) work_.slot.release(told()); // late, but alive
    }
    void stop_waiting() override {} // it has its slot
};

class mirrored final : public unattended {
public:
    mirrored(core& where, request_copy copy)
        : unattended(where, {std::move(copy.pinned), copy.to, {}, nullptr, copy.verb}),
          bytes_(std::move(copy.bytes)),
          held_(std::move(copy.held)),
          place_(where) {}

    task<> run() {
        co_await asio::post(core_.where(), awaited); // the original goes first
        const bool has_slot = co_await get_slot();
        if (!has_slot) {
            count(mirror_result::busy);
            co_return;
        }
        auto end = co_await send();
        if (end == outcome::whole || (end == outcome::expired && begun_ && guards_slot()))
            end = co_await drop_reply(guards_slot() ? settings().abandon_max : settings().request_timeout,
                                      settings().abandon_max);
        count(end == outcome::whole ? mirror_result::answered : mirror_result::failed);
        if (end == outcome::expired && begun_ && guards_slot()) co_await wait_until_it_answers();
        work_.slot.release(end == outcome::whole ? told()
                           : reused_             ? routing::outcome::untold
                                                 : routing::outcome::failed);
    }

    void stop_waiting() override { place_.tell(); }

private:
    void count(mirror_result what) { metrics().mirrored[static_cast<std::size_t>(what)].add(); }

    task<bool> get_slot() {
        if (core_.draining()) co_return false;
        const auto asked = place_.ask(*work_.at->replicas, settings(), clock::now());
        if (!asked) co_return false;
        bool granted = *asked;
        const auto draining = [](const void* who) { return static_cast<const core*>(who)->draining(); };
        if (!granted) granted = co_await place_.wait(draining, &core_);
        if (granted) work_.slot = place_.take();
        co_return granted;
    }

    // `whole`: a replica has taken all of it. `expired`: it has not in time, and may be at what it has got.
    task<outcome> send() {
        const auto& where = work_.slot.where();
        error_code ec;
        work_.replica = core_.pool.take(where.id, clock::now());
        reused_ = work_.replica != nullptr;
        if (!reused_) {
            work_.replica =
                std::make_unique<upstream::connection>(core_.where(), where.id, core_.most_replica_descriptors);
            metrics().replica_connects.add();
            time_.arm(work_.pinned->settings().timeouts.connect);
            ec = co_await work_.replica->open(where, core_.buffers);
        }
        time_.arm(settings().request_timeout);
        std::string_view rest = bytes_;
        if (!ec) rest.remove_prefix(work_.replica->write_now(rest, ec));
        while (!ec && !rest.empty()) {
            const auto [failed, n] = co_await work_.replica->async_write_some(asio::buffer(rest), awaited);
            ec = failed;
            rest.remove_prefix(n);
        }
        const bool expired = time_.fired();
        time_.disarm();
        begun_ = rest.size() != bytes_.size();
        work_.request_whole = rest.empty();
        bytes_.clear();
        bytes_.shrink_to_fit();
        held_.give_back();
        co_return !ec ? outcome::whole : expired ? outcome::expired : outcome::ended;
    }

    std::string bytes_;
    base::byte_share held_;
    queue_place place_;
    bool begun_ = false;  // the replica has got some of it
    bool reused_ = false; // on a connection from the pool, which may have died of its idleness
};

task<> finish(core& where, unattended_work work) {
    abandoned it(where, std::move(work));
    co_await it.run();
}

task<> send(core& where, request_copy copy) {
    mirrored it(where, std::move(copy));
    co_await it.run();
    --where.copies;
}

} // namespace

void finish_abandoned(core& where, unattended_work work) {
    base::spawn(where.where(), where.unattended, finish(where, std::move(work)));
}

void send_copy(core& where, request_copy copy) {
    ++where.copies;
    base::spawn(where.where(), where.unattended, send(where, std::move(copy)));
}

} // namespace scoregate::proxy
