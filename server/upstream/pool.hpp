// One core's idle connections to replicas. The last one returned is the first one lent, so that a burst's surplus ages
// and is closed. No lock: nothing here is shared between cores.
#pragma once

#include "upstream/connection.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace scoregate::upstream {

class pool {
public:
    // Below the shortest common keep-alive of model servers (uvicorn and Node: 5 s), so that we close first.
    static constexpr std::chrono::seconds longest_idle{4};
    static constexpr std::size_t most_idle_per_replica = 512;

    // An idle connection that is still good, or null.
    std::unique_ptr<connection> take(std::uint64_t replica_id);
    // Only a connection whose last exchange ended cleanly, with nothing left to read.
    void give(std::unique_ptr<connection>, std::chrono::steady_clock::time_point now);
    // Closes all of them.
    void clear() { idle_.clear(); }
    // Closes what has been idle for too long.
    void sweep(std::chrono::steady_clock::time_point now);

private:
    std::unordered_map<std::uint64_t, std::vector<std::unique_ptr<connection>>> idle_;
};

} // namespace scoregate::upstream
