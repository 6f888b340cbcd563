// Connections that have had one request each and are held; another round of requests for each line "again".
#include "modes.hpp"

#include <string>

#include <sys/epoll.h>
#include <unistd.h>

namespace load {
namespace {

class idle_mode : public mode {
public:
    idle_mode(const options& chosen, const target& to) : mode(chosen, to) {
        result_ = fresh();
        begin_ = moment::min(); // all of it is measured
        epoll_event event{};
        event.events = EPOLLIN;
        no_more_ = ::epoll_ctl(epoll(), EPOLL_CTL_ADD, STDIN_FILENO, &event); // /dev/null and files are refused
    }

    void told(std::string_view bytes) override {
        for (const char c : bytes) {
            if (c != '\n') {
                line_ += c;
                continue;
            }
            if (line_ == "again") ++rounds_to_go_;
            line_.clear();
        }
        if (bytes.empty()) {
            no_more_ = true;
            ::epoll_ctl(epoll(), EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
        }
    }

    void ready(connection& one) override {
        ++result_.connects;
        const auto now = clock::now();
        one.ask(now, now);
    }

    void answered(connection& one, bool right) override {
        record(one.due(), right, clock::now());
        finish_one();
    }

    // One that has gone while it was held is lost, too; it is told of in the next round, and opened again there.
    void failed(connection& one, fault why) override {
        count(why, one.due());
        if (why != fault::gone) finish_one();
    }

private:
    void begin(connection& one, moment now) override {
        if (one.closed()) {
            one.open(now, now);
        } else {
            one.ask(now, now);
        }
    }

    void round_done(moment now) override {
        if (!answered_once_ && result_.requests == 0) cannot_run(fault::connect);
        answered_once_ = true;
        result_.seconds = std::chrono::duration<double>(now - started_).count();
        print();
        result_ = fresh();
        in_round_ = false;
    }

    moment run(moment now) override {
        if (in_round_) return never;
        if (rounds_to_go_ > 0) {
            --rounds_to_go_;
            in_round_ = true;
            started_ = now;
            start_round();
            return now;
        }
        over_ = no_more_;
        return never;
    }

    static result fresh() {
        result one;
        one.mode = "idle";
        return one;
    }

    std::string line_;
    bool no_more_ = false; // lines
    bool in_round_ = true, answered_once_ = false;
    unsigned rounds_to_go_ = 0;
    moment started_ = clock::now();
};

} // namespace

std::unique_ptr<mode> make_idle(const options& chosen, const target& to) {
    return std::make_unique<idle_mode>(chosen, to);
}

} // namespace load
