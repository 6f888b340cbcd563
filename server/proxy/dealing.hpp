// What the listeners share: the cores that connections are dealt to, how many there may be, and when there may be no
// more of them. Set before they start, but for what is atomic or has its own mutexes. Outlives listeners and
// connections.
#pragma once

#include "proxy/connections_by_address.hpp"
#include "proxy/core.hpp"

#include <atomic>
#include <cstddef>
#include <limits>
#include <vector>

namespace scoregate::proxy {

struct dealing {
    std::vector<core*> cores;
    std::size_t most_connections = 0;
    // The kernel gives the lowest number that is free, so a number tells how many are taken. From this one on they are
    // kept for connections to replicas, files and the admin port.
    int most_descriptors = std::numeric_limits<int>::max();
    std::atomic<bool> short_of_memory{false};
    connections_by_address by_address;

    // Of a limit for all cores together: connections are dealt evenly.
    std::size_t share_of(std::size_t whole) const { return (whole + cores.size() - 1) / cores.size(); }
};

} // namespace scoregate::proxy
