// Event streams, one after another on each connection, and how long each event was on its way.
#include "events.hpp"
#include "modes.hpp"

#include <algorithm>
#include <random>

namespace load {
namespace {

constexpr auto looks = std::chrono::milliseconds(10); // at least so often, to know when we overslept

class stream_mode : public mode {
public:
    stream_mode(const options& chosen, const target& to)
        : mode(chosen, to), streams_(chosen.connections, stream(fresh())) {
        result_.mode = "stream";
        result_.events = 0;
        result_.streams = chosen.connections;
    }

    void ready(connection& one) override {
        const auto now = clock::now();
        if (!running_) return finish_one();
        if (measured(now)) ++result_.connects;
        if (streams_[one.number()].begins <= now) ask(one, now);
    }

    void received(connection& one, std::string_view piece) override {
        if (one.last_reply().status() != 200 || !one.last_reply().is_event_stream()) return;
        const auto now = one.read_at();
        one.extend(now + patience + chosen_.interval);
        auto& its = streams_[one.number()];
        its.heard = now;
        const auto wrong_before = its.check.wrong();
        for (const auto& event : its.check.take(piece, now, overslept_)) {
            if (measured(event.sent)) {
                ++*result_.events;
                result_.times.record(event.delay);
            }
            its.last_sent = event.sent;
        }
        if (now >= begin_) result_.wrong += its.check.wrong() - wrong_before;
    }

    void answered(connection& one, bool right) override {
        const auto now = clock::now();
        auto& its = streams_[one.number()];
        if (now >= begin_) {
            const auto wrong_before = its.check.wrong();
            if (right) its.check.end();
            result_.wrong += its.check.wrong() - wrong_before + (right ? 0 : 1);
            ++result_.requests;
        }
        if (ended(now)) return;
        if (one.closed()) {
            one.open(now, now);
        } else {
            ask(one, now);
        }
    }

    void failed(connection&, fault why) override {
        if (!running_) cannot_run(why);
        const auto now = clock::now();
        if (now >= begin_ && why != fault::gone) result_.count(why);
    }

private:
    struct stream {
        explicit stream(events fresh_check) : check(std::move(fresh_check)) {}
        events check;
        moment begins = never; // the first time
        moment heard{};        // when something came last
        moment last_sent{};    // stamp of the last event
    };

    events fresh() const { return {chosen_.events, chosen_.interval}; }

    void ask(connection& one, moment now) {
        auto& its = streams_[one.number()];
        its.check = fresh();
        its.heard = now;
        one.ask(now, now);
    }

    void round_done(moment now) override {
        start_measuring(now);
        std::mt19937_64 random(chosen_.seed);
        std::uniform_real_distribution<double> within(0, double(clock::duration(chosen_.interval).count()));
        for (auto& one : connections_) {
            streams_[one->number()].begins = now + clock::duration(std::int64_t(within(random)));
            to_begin_.push_back(one.get());
        }
        std::sort(to_begin_.begin(), to_begin_.end(), // the earliest last
                  [this](auto* a, auto* b) { return begins(*a) > begins(*b); });
    }

    moment run(moment now) override {
        for (; !to_begin_.empty() && begins(*to_begin_.back()) <= now; to_begin_.pop_back())
            if (to_begin_.back()->idle()) ask(*to_begin_.back(), now);
        const auto look = now + looks;
        return to_begin_.empty() ? look : std::min(look, begins(*to_begin_.back()));
    }

    moment begins(const connection& one) const { return streams_[one.number()].begins; }

    // An event of after the measured time shows that all of it have come.
    bool waits_for(const connection& one) const override {
        return one.asking() && streams_[one.number()].last_sent < end_;
    }

    void abandon(const connection& one, moment now) override {
        if (streams_[one.number()].heard + chosen_.interval + std::chrono::seconds(1) < now) ++result_.wrong;
    }

    std::vector<stream> streams_;
    std::vector<connection*> to_begin_;
};

} // namespace

std::unique_ptr<mode> make_stream(const options& chosen, const target& to) {
    return std::make_unique<stream_mode>(chosen, to);
}

} // namespace load
