// The modes of the generator. Each owns its connections and is driven by run() below; it prints its results itself.
//
// A mode sets up first: a round in which every connection has its turn, at most 64 of them at once. That is not
// measured, and must succeed. Then it runs. A request or event belongs to the measured time when it was due (begun,
// sent) in it, and is waited for a little longer (`afterwards`): what has no reply by then is a timeout, so that no
// server looks better for not answering.
#pragma once

#include "connection.hpp"
#include "options.hpp"
#include "result.hpp"
#include "target.hpp"

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

namespace load {

constexpr auto afterwards = std::chrono::milliseconds(1800);

class mode : public connection_owner {
public:
    mode(const options& chosen, const target& to);
    ~mode() override;

    // Does what is due at `now`, returns when it wants to be called again. Called after each event, too; `between`
    // says that none is left to be served. Only then are connections replaced that have failed: no event of the old
    // one may be taken for one of the new.
    moment tick(moment now, bool between);

    // It was woken at `now` and had wanted to be at `wanted`.
    void woken(moment wanted, moment now) { overslept_ = std::max(clock::duration::zero(), now - wanted); }

    // Bytes from stdin, which idle mode alone listens to; none: its end.
    virtual void told(std::string_view) {}

    bool over() const { return over_; }
    int epoll() const { return epoll_; }

protected:
    // What the modes differ in.
    virtual void begin(connection& one, moment now) { one.open(now, now); } // its turn in a round
    virtual void round_done(moment now) { start_measuring(now); }
    virtual moment run(moment) { return never; } // does what is due, returns when more is
    virtual bool waits_for(const connection& one) const { return one.asking(); }      // after the measured time
    virtual void abandon(const connection& one, moment now) { lose(one.due(), now); } // it was waited for in vain
    virtual bool goes_on(moment now) const { return !ended(now); }                    // connections are of use
    virtual void finish(moment) {} // the measured time is over, and all that was waited for

    void start_round();
    void finish_one() { --in_round_; } // of the round
    void start_measuring(moment now);
    void record(moment due, bool right, moment now); // a reply
    void lose(moment due, moment now);               // no reply
    void count(fault why, moment due);
    [[noreturn]] void cannot_run(fault why) const;
    void print();

    bool measured(moment due) const { return due >= begin_ && due < end_; }
    bool ended(moment now) const { return now >= end_; }

    const options& chosen_;
    const target& to_;
    result result_;
    bool running_ = false; // set up, that is
    bool over_ = false;
    clock::duration overslept_{0};       // how late the system woke us up: no server's fault
    moment begin_ = never, end_ = never; // of the measured time
    std::vector<std::unique_ptr<connection>> connections_;

private:
    void go_on_with_round(moment now);
    void sweep(moment now);
    void took(moment due, moment now);
    void end(moment now);

    const int epoll_;
    bool in_a_round_ = false;
    std::size_t next_of_round_ = 0, in_round_ = 0;
    moment next_sweep_{};
};

std::unique_ptr<mode> make_open(const options&, const target&);
std::unique_ptr<mode> make_connect(const options&, const target&);
std::unique_ptr<mode> make_stream(const options&, const target&);
std::unique_ptr<mode> make_idle(const options&, const target&);

// Drives it until it is over. Throws std::runtime_error when it could not run at all.
void run(mode& one);

} // namespace load
