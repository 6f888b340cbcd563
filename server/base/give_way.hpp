// How work that is in no hurry stays out of the way of requests on the same core. Any thread.
#pragma once

#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace scoregate::base {

// Of this thread, for good. On Linux a nice value is each thread's own (setpriority(2)).
inline void lower_priority() noexcept {
    static thread_local const int done = ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10);
    static_cast<void>(done);
}

// Between steps of some tenths of a millisecond: who wants this core goes on first. Without it a thread of lower
// priority that has got a core keeps it until the kernel's next tick, which is milliseconds. It is not free: on a core
// that is full, Linux from 6.18 on has it wait for what its share of a time slice would have taken, 10 ms or more.
inline void give_way() noexcept { std::this_thread::yield(); }

} // namespace scoregate::base
