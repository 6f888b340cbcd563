// The access log: cores append lines to text of their own and hand whole blocks to one writer thread, which alone
// touches the file. A core never waits for the output: what it cannot hand over is dropped and counted. Owned by
// app::process, opened before the cores start and stopped after they have ended. Invariants: a block is owned by
// exactly one of channel, `handed_`, writer; a channel's blocks are written in order; per channel at most `max_pending`
// bytes are with the writer; every line is either written whole or counted as dropped.
#pragma once

#include "config/model.hpp"
#include "telemetry/access_record.hpp"
#include "telemetry/counter.hpp"
#include "telemetry/log.hpp"
#include "telemetry/sampler.hpp"
#include "telemetry/syslog.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/system/result.hpp>

namespace scoregate::telemetry {

class access_log {
public:
    class channel;

    struct options {
        // "-": stdout; a syslog daemon as in config::access_log; else a file appended to (0640 when new) or a FIFO with
        // a reader
        std::string path{};
        unsigned cores = 1;
        std::size_t max_pending = std::size_t{8} << 20; // bytes per core
        config::log_format format = config::log_format::json;
        std::uint32_t sample_successes = 1;                              // one in so many is written
        std::chrono::nanoseconds slow = std::chrono::nanoseconds::max(); // what takes as long is written always
        config::log_facility facility = config::log_facility::local0;    // of messages to syslog
    };

    // Opens the output and starts the writer. The error is a sentence that names the path.
    static boost::system::result<std::unique_ptr<access_log>, std::string> open(options);

    access_log(const access_log&) = delete;
    access_log& operator=(const access_log&) = delete;
    ~access_log();

    channel& at(unsigned core) { return channels_[core]; }

    // SIGUSR1: blocks not yet taken by the writer go to a newly opened file of the same path. If that cannot be opened
    // the old one is kept and the log says so. Nothing to do for stdout. Any thread; returns at once. A syslog daemon
    // that was started anew is found without it.
    void reopen();

    // Writes out everything, also what channels still hold; the cores must have ended. What an output
    // other than a file has not taken after `patience` is dropped and counted. Idempotent.
    void stop(std::chrono::milliseconds patience = std::chrono::seconds{5});

    // Lines lost and writes failed since the start; any thread.
    std::uint64_t dropped() const;
    std::uint64_t write_errors() const { return write_errors_.value(); }
    // Requests that options::sample_successes left out; any thread.
    std::uint64_t left_out() const;

private:
    using clock = std::chrono::steady_clock;

    struct block {
        std::string text;
        channel* from;
    };

    access_log(options, int fd);
    void run();
    void write(std::string_view);
    void write_lines(std::string_view);
    void send_lines(std::string_view);
    bool wait_until_writable();
    void open_again();
    bool find_daemon_again();
    void report();
    void use(int fd);

    options options_;
    std::optional<syslog_header> syslog_; // exactly where lines are messages to a daemon
    std::deque<channel> channels_;        // never moved: cores hold references

    std::mutex mutex_; // held for moving a block, never during I/O
    std::condition_variable wake_;
    std::vector<block> handed_; // oldest first
    bool reopen_ = false;
    std::atomic<bool> stopping_{false};
    clock::time_point give_up_at_; // set before stopping_

    // The writer's own, but for the counters.
    int fd_ = -1;
    bool file_ = false;                 // a regular file: a write never waits for a reader
    clock::time_point daemon_sought_{}; // after a failed message, which is often the first to an earlier daemon
    bool torn_ = false;                 // what was written last ends inside a line that was given up
    int last_error_ = 0;
    counter lost_; // lines
    counter write_errors_;
    std::uint64_t reported_ = 0;
    rate_limited report_limit_{std::chrono::minutes{1}};
    std::thread writer_;
};

// One core's end. Its thread only.
class alignas(64) access_log::channel {
public:
    channel(access_log& log, std::uint64_t seed);

    // No lock, no system call; memory only when the block grows. Every 32 KiB the block is handed over. What sampling
    // leaves out is not even formatted.
    void write(const access_record&);

    // The core's tick (every 50 ms or so): hands over what there is, unless the writer still has a block of ours; then
    // it goes with a later tick, so that a stalled output is not sent many small blocks.
    void flush();

private:
    friend access_log;
    void hand_over_whole();
    bool hand_over(std::size_t most_pending); // false: the writer has more than that of ours

    access_log& log_;
    sampler successes_;
    counter left_out_;
    std::string text_;
    bool full_ = false; // a whole block could not be handed over: drop until a tick finds room
    counter dropped_;

    // Under the log's mutex.
    std::size_t pending_ = 0; // bytes handed over and not yet written
    std::string spare_;       // an empty block to go on with
};

} // namespace scoregate::telemetry
