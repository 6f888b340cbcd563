// Traces on their way from the cores to who exports them: each core collects its own and hands them over on its tick;
// the exporter fetches them. Never waits: what finds no room is dropped and counted. Owned by app::process, outlives
// the cores. Invariants: a trace is owned by exactly one of channel, `waiting_`, exporter; at most `most_waiting` are
// in `waiting_` and `most_of_core` in each channel; every trace is exported or counted as dropped.
#pragma once

#include "telemetry/counter.hpp"
#include "telemetry/trace.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace scoregate::telemetry {

class trace_log {
public:
    class channel;
    using traces = std::vector<std::unique_ptr<const trace>>;

    struct options {
        unsigned cores = 1;
        trace_sampler sampled{1};
        std::size_t most_waiting = 4096, most_of_core = 256; // traces
    };

    explicit trace_log(options);
    trace_log(const trace_log&) = delete;
    trace_log& operator=(const trace_log&) = delete;

    channel& at(unsigned core) { return channels_[core]; }

    // The exporter's. The oldest, at most `most`.
    traces take(std::size_t most);
    void exported(std::size_t count) { exported_.add(count); }
    void lost(std::size_t count) { lost_.add(count); } // that had been taken

    // Since the start; any thread.
    std::uint64_t exported() const { return exported_.value(); }
    std::uint64_t dropped() const;
    // Handed over or taken, and not yet said what became of them; the exporter's thread.
    std::uint64_t waiting() const;

private:
    options options_;
    std::deque<channel> channels_; // never moved: cores hold references
    counter exported_, lost_;      // the exporter writes them
    std::uint64_t taken_ = 0;      // the exporter's

    mutable std::mutex mutex_; // held for moving pointers alone
    std::deque<std::unique_ptr<const trace>> waiting_;
};

// One core's end. Its thread only.
class alignas(64) trace_log::channel {
public:
    explicit channel(trace_log& log) : log_(log) {}

    const trace_sampler& sampled() const { return log_.options_.sampled; }
    void write(std::unique_ptr<const trace>);
    // The core's tick: hands over what there is.
    void flush();

private:
    friend trace_log;

    trace_log& log_;
    traces mine_;
    counter dropped_;
};

} // namespace scoregate::telemetry
