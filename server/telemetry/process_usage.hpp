// What the kernel says about this process, as the process_* metrics name it. Reads /proc: the control thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>

#include <sys/types.h>

namespace scoregate::telemetry {

struct process_usage {
    std::chrono::nanoseconds start_time{0}; // since the Unix epoch, to the clock tick (10 ms)
    std::chrono::nanoseconds cpu{0};        // user and system, all threads
    std::uint64_t resident_bytes = 0;
    std::uint64_t virtual_bytes = 0;
    std::uint64_t open_fds = 0;
    std::uint64_t max_fds = 0; // soft RLIMIT_NOFILE
};

// What cannot be read stays 0: a metric must not end the process.
process_usage read_process_usage();
// Of it only the resident memory, which is cheap.
std::uint64_t resident_bytes();

// The CPU time of one thread, user and system. Made while the thread runs; copies may be read on any thread.
class thread_clock {
public:
    explicit thread_clock(std::thread& of);
    std::chrono::nanoseconds spent() const; // 0 once the thread has ended

private:
    std::optional<clockid_t> clock_;
};

} // namespace scoregate::telemetry
