// Open loop: requests are due at random moments, whether earlier ones were answered or not, and their time counts from
// then. One that finds no idle connection waits here, as it would wait in a client.
#include "modes.hpp"

#include <deque>
#include <random>

namespace load {
namespace {

class open_mode : public mode {
public:
    open_mode(const options& chosen, const target& to)
        : mode(chosen, to), random_(chosen.seed), interval_(chosen.rate) {
        result_.mode = "open";
        result_.late.emplace();
        if (chosen.window.count()) result_.usual.emplace(chosen.window);
    }

    void ready(connection& one) override {
        const auto now = clock::now();
        if (!running_) {
            finish_one();
        } else if (measured(now)) {
            ++result_.connects;
        }
        use(one, now);
    }

    void answered(connection& one, bool right) override {
        const auto now = clock::now();
        record(one.due(), right, now);
        if (!one.closed()) {
            use(one, now);
        } else if (goes_on(now)) {
            one.open(now, now);
        }
    }

    void failed(connection& one, fault why) override {
        if (!running_) cannot_run(why);
        if (why != fault::gone) return count(why, one.due());
        const auto now = clock::now(); // nobody's request: as a client would, with another connection
        if (goes_on(now)) one.open(now, now);
    }

private:
    void round_done(moment now) override {
        start_measuring(now);
        next_due_ = now + next_interval();
    }

    moment run(moment now) override {
        if (!running_) return never;
        for (; next_due_ <= now && next_due_ < end_; next_due_ += next_interval()) {
            if (auto* one = take_idle()) {
                const auto sending = clock::now();
                if (measured(next_due_)) result_.late->record(sending - next_due_);
                one->ask(next_due_, sending);
            } else {
                waiting_.push_back(next_due_);
            }
        }
        while (!waiting_.empty() && waiting_.front() + patience < now) lose_first(now);
        return next_due_ < end_ ? next_due_ : never;
    }

    bool waits_for(const connection& one) const override { return one.asking() || !waiting_.empty(); }

    bool goes_on(moment now) const override { return !ended(now) || !waiting_.empty(); }

    void abandon(const connection& one, moment now) override {
        if (one.asking()) lose(one.due(), now);
    }

    void finish(moment now) override {
        while (!waiting_.empty()) lose_first(now);
    }

    void use(connection& one, moment now) {
        if (waiting_.empty()) {
            idle_.push_back(&one);
        } else {
            const auto due = waiting_.front();
            waiting_.pop_front();
            one.ask(due, now);
        }
    }

    // In turn, so that all are used. One may have gone or may have been used since it was put there.
    connection* take_idle() {
        while (!idle_.empty()) {
            auto* one = idle_.front();
            idle_.pop_front();
            if (one->idle()) return one;
        }
        return nullptr;
    }

    void lose_first(moment now) {
        lose(waiting_.front(), now);
        waiting_.pop_front();
    }

    clock::duration next_interval() {
        return std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(interval_(random_)));
    }

    std::mt19937_64 random_;
    std::exponential_distribution<double> interval_; // Poisson arrivals
    moment next_due_ = never;
    std::deque<connection*> idle_;
    std::deque<moment> waiting_; // due, and no connection was idle
};

} // namespace

std::unique_ptr<mode> make_open(const options& chosen, const target& to) {
    return std::make_unique<open_mode>(chosen, to);
}

} // namespace load
