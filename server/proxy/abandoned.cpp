#include "proxy/abandoned.hpp"

#include "telemetry/log.hpp"

#include <sys/socket.h>

namespace scoregate::proxy {

namespace {

using base::awaited;
using base::task;
namespace asio = boost::asio;

constexpr std::chrono::milliseconds probe_timeout{2000}, between_probes{1000};

class finishing final : public abandoned_request {
public:
    finishing(core& where, abandoned_work work)
        : core_(where),
          work_(std::move(work)),
          time_(where.wheel, this, [](void* self) { static_cast<finishing*>(self)->interrupt(); }),
          pause_(where.where()) {
        where.abandoned(*this);
    }

    void cut() override {
        cut_ = true;
        interrupt();
    }

    task<> run() {
        if (!cut_) {
            metrics().abandoned.add();
            time_.arm(work_.at->settings.abandon_max);
            if (!work_.request_whole) ::shutdown(work_.replica->stream().socket().native_handle(), SHUT_WR);
            const auto end = co_await drop_reply();
            const bool expired = time_.fired();
            time_.disarm();
            if (end == outcome::whole && work_.reusable && work_.request_whole)
                core_.pool.give(std::move(work_.replica), std::chrono::steady_clock::now());
            work_.replica.reset();
            if (expired && !cut_) co_await wait_until_it_answers();
        }
    }

private:
    enum class outcome : std::uint8_t { whole, ended };

    telemetry::service_metrics::per_core& metrics() { return work_.at->metrics->at(core_.index()); }

    void interrupt() {
        if (work_.replica) work_.replica->cancel();
        pause_.cancel();
    }

    // Takes what it can of `in`. Empty: more is needed.
    std::optional<outcome> take(base::buffer& in, std::size_t& scanned) {
        while (!work_.head_seen) {
            const auto& limits = work_.pinned->head_limits();
            const auto end = http::find_head_end(in.readable(), scanned, limits);
            if (!end) return outcome::ended;
            if (!*end) return std::nullopt;
            auto& head = core_.response;
            if (!head.parse(in.readable().substr(0, **end), limits, work_.verb)) return outcome::ended;
            in.consume(**end);
            scanned = 0;
            if (head.status < 200) continue;
            work_.head_seen = true;
            work_.reusable = head.keep_alive;
            work_.body = http::body_decoder(head.body);
        }
        if (!work_.body.done()) {
            const auto step = work_.body.decode(in.data(), in.size());
            if (!step) return outcome::ended;
            in.consume(step->consumed);
        }
        if (!work_.body.done()) return std::nullopt;
        work_.reusable = work_.reusable && in.empty();
        return outcome::whole;
    }

    task<outcome> drop_reply() {
        base::buffer in(core_.buffers);
        in.reserve(std::max(work_.unread.size(), work_.pinned->head_limits().bytes));
        in.append(work_.unread);
        std::size_t scanned = 0;
        while (!cut_) {
            if (const auto end = take(in, scanned)) co_return *end;
            if (in.writable().empty()) in.compact();
            const auto room = in.writable();
            const auto [ec, n] =
                co_await work_.replica->stream().async_read_some(asio::buffer(room.data(), room.size()), awaited);
            if (ec) break;
            in.commit(n);
        }
        co_return outcome::ended;
    }

    // One that takes one request at a time answers once it is done with the last.
    task<> wait_until_it_answers() {
        metrics().abandon_expired.add();
        const std::string url = work_.slot.where().url;
        telemetry::log().warn("replica {} has not ended a request that was given up {} ms ago; it gets no other one in "
                              "its place until it answers a GET",
                              url, work_.at->settings.abandon_max.count());
        while (!cut_) {
            const bool answers = co_await probe();
            if (answers || cut_) break;
            pause_.expires_after(between_probes);
            co_await pause_.async_wait(awaited);
        }
        if (!cut_) telemetry::log().info("replica {} answers again", url);
    }

    task<bool> probe() {
        const auto& where = work_.slot.where();
        work_.replica = std::make_unique<upstream::connection>(core_.where(), where.id);
        time_.arm(probe_timeout);
        auto ec = co_await work_.replica->connect(where.addresses);
        bool answered = false;
        if (!ec) {
            constexpr std::string_view request =
                "GET / HTTP/1.1\r\nHost: replica\r\nUser-Agent: scoregate\r\nConnection: close\r\n\r\n";
            work_.replica->stream().write_now(request, ec); // a new socket takes so little at once
            char first;
            const auto [failed, n] = co_await work_.replica->stream().async_read_some(asio::buffer(&first, 1), awaited);
            answered = !failed && n == 1;
        }
        time_.disarm();
        work_.replica.reset();
        co_return answered;
    }

    core& core_;
    abandoned_work work_;
    base::deadline time_;
    base::tick_timer pause_;
    bool cut_ = false;
};

task<> run(core& where, abandoned_work work) {
    finishing it(where, std::move(work));
    co_await it.run();
}

} // namespace

void finish_abandoned(core& where, abandoned_work work) {
    base::spawn(where.where(), where.gate, run(where, std::move(work)));
}

} // namespace scoregate::proxy
