// A new connection for each request, closed after its reply; so many at once, each followed by the next. The time of a
// request begins with its connection.
#include "modes.hpp"

namespace load {
namespace {

class connect_mode : public mode {
public:
    connect_mode(const options& chosen, const target& to) : mode(chosen, to) {
        result_.mode = "connect";
        result_.resumed = result_.full = 0;
    }

    void ready(connection& one) override {
        if (running_ && measured(one.due())) {
            ++result_.connects;
            if (to_.tls) ++*(one.resumed() ? result_.resumed : result_.full);
        }
        one.ask(one.due(), clock::now());
    }

    void answered(connection& one, bool right) override {
        one.close();
        const auto now = clock::now();
        if (!running_) return finish_one(); // that gave it its first session
        record(one.due(), right && one.resumed() == to_.resumes, now);
        if (!ended(now)) one.open(now, now);
    }

    void failed(connection& one, fault why) override {
        if (!running_) cannot_run(why);
        count(why, one.due());
    }

private:
    bool waits_for(const connection& one) const override { return !one.closed(); }

    void round_done(moment now) override {
        start_measuring(now);
        for (auto& one : connections_) one->open(now, now);
    }
};

} // namespace

std::unique_ptr<mode> make_connect(const options& chosen, const target& to) {
    return std::make_unique<connect_mode>(chosen, to);
}

} // namespace load
