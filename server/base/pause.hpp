// A wait for a while, on the wheel, or until it is told to end: no timer, no system call. One waits at a time.
//
//     co_await pause.wait(100ms);
#pragma once

#include "base/deadline_wheel.hpp"
#include "base/poller.hpp"

#include <chrono>

namespace scoregate::base {

class pause {
public:
    pause(deadline_wheel& wheel, executor where);

    // No shorter than `most`, and at most two ticks longer, unless it is ended.
    task<> wait(std::chrono::milliseconds most);
    task<> wait_for_end();
    // If anybody waits.
    void end() { over_.tell(); }

private:
    event over_;
    deadline limit_;
};

} // namespace scoregate::base
