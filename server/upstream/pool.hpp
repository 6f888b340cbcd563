// One core's idle connections to replicas. The last one returned is the first one lent, so that a burst's surplus ages
// and is closed. No lock: nothing here is shared between cores.
//
// A server may close an idle connection in the moment in which a request is written to it, and nobody can tell whether
// the request was read. So we close first: what is idle is closed before the replica's own time is up, as far as it is
// known. It is what the replica announces (Keep-Alive: timeout=), or what it has shown by closing first; else what the
// most impatient of the common model servers do.
#pragma once

#include "upstream/connection.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace scoregate::upstream {

class pool {
public:
    using time_point = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::milliseconds longest_idle{4000}; // uvicorn and Node have 5 s
    static constexpr std::size_t most_idle_per_replica = 512;
    // A connection does not live for ever: a balancer behind the replica's name wants to be asked again at times.
    static constexpr std::chrono::hours longest_life{1};
    static constexpr unsigned most_requests = 10'000;
    // A replica that has closed a connection after so long an idle time does so as a habit, and not because it ends.
    static constexpr std::chrono::milliseconds shortest_habit{1000};
    static constexpr std::chrono::minutes habit_remembered{1};

    // An idle connection that is still good, or null.
    std::unique_ptr<connection> take(std::uint64_t replica_id, time_point now);
    // Only a connection whose last exchange ended cleanly, with nothing left to read. `announced` is how long the
    // replica says that it keeps it.
    void give(std::unique_ptr<connection>, time_point now, std::optional<std::chrono::seconds> announced = {});
    // Keeps connections to these replicas only, from here on: those to others close, now or when they are given back.
    // Before the first call all are kept.
    void retain(std::unordered_set<std::uint64_t> replica_ids);
    // Closes all of them.
    void clear() { idle_.clear(); }
    // Closes what has been idle for too long, and what the replica has closed. About once a second.
    void sweep(time_point now);

private:
    struct stack {
        std::vector<std::unique_ptr<connection>> connections; // oldest first
        std::chrono::milliseconds announced = longest_idle, shown = longest_idle;
        time_point shown_at;
        std::chrono::milliseconds limit() const { return std::min({longest_idle, announced, shown}); }
        void closed_by_replica(const connection&, time_point now);
    };
    std::unordered_map<std::uint64_t, stack> idle_;
    std::optional<std::unordered_set<std::uint64_t>> retained_;
};

} // namespace scoregate::upstream
