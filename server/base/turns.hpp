// A line for work that takes long beside what else its loop does: those whose turn has come go on until a slice of time
// is used up, the others when the loop has been round everything that was ready by then. So what is short never waits
// for more than a slice of what is long and the one that was begun last in it, however many there are. One thread.
//
//     co_await line.next();
#pragma once

#include "base/executor.hpp"
#include "base/poller.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <coroutine>
#include <utility>

namespace scoregate::base {

class turns {
public:
    using clock = std::chrono::steady_clock;

    turns(executor where, clock::duration slice) : where_(where), slice_(slice) {}
    turns(const turns&) = delete;
    turns& operator=(const turns&) = delete;
    // Before the loop: with those in line go the coroutines that will never go on.
    ~turns() {
        while (!line_.empty()) leave_line().root.destroy();
    }

    // What is awaited: ready at once while the slice lasts and nobody is in line, else in the order of coming. The work
    // is what the coroutine does until it waits again.
    auto next() { return turn{*this}; }
    // For how long the first in line has waited; zero if nobody has.
    clock::duration behind() const {
        return line_.empty() ? clock::duration::zero() : clock::now() - line_.front().since;
    }

private:
    struct turn : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
        explicit turn(turns& whose) : of(whose) {}

        bool await_ready() const { return of.line_.empty() && clock::now() - of.began_ < of.slice_; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> waiting) {
            coroutine = waiting;
            root = waiting.promise().root;
            since = clock::now();
            of.line_.push_back(*this);
            of.go_on_later();
        }
        void await_resume() const noexcept {}

        turns& of;
        std::coroutine_handle<> coroutine, root;
        clock::time_point since;
    };

    turn& leave_line() {
        auto& first = line_.front();
        line_.pop_front();
        return first;
    }
    // Behind all that is ready now, and what the loop finds ready before it comes round.
    void go_on_later() {
        if (std::exchange(coming_, true)) return;
        poller::of(where_).later([this] { go_on(); });
    }
    void go_on() {
        coming_ = false;
        began_ = clock::now();
        do {
            if (line_.empty()) return;
            leave_line().coroutine.resume();
        } while (clock::now() - began_ < slice_);
        if (!line_.empty()) go_on_later();
    }

    executor where_;
    clock::duration slice_;
    clock::time_point began_; // of the slice
    bool coming_ = false;     // go_on()
    boost::intrusive::list<turn, boost::intrusive::constant_time_size<false>> line_;
};

} // namespace scoregate::base
