// One at a time, across the awaits of coroutines; the others wait. One thread.
#pragma once

#include "base/executor.hpp"

namespace scoregate::control {

class turn {
public:
    explicit turn(base::executor where) : next_(where, base::tick_timer::time_point::max()) {}

    bool taken() const { return taken_; }
    base::task<> take();
    void give_back() {
        taken_ = false;
        next_.cancel_one();
    }

private:
    base::tick_timer next_; // never expires; cancelled when a turn ends
    bool taken_ = false;
};

} // namespace scoregate::control
