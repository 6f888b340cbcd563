// What the process may use of the machine it runs on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace scoregate::app {

// Cores by affinity and by the cgroup's CPU quota (rounded up), at least 1.
unsigned usable_cores();

// Raises the soft limit of open files to the hard one and returns it.
std::size_t raise_open_files();

// How many client connections that many descriptors carry: a quarter is left to connections to replicas, and some to
// listeners, logs and the admin port.
std::size_t connections_for(std::size_t open_files);

// Where numbers of descriptors begin that are kept for others than clients, and for others than clients and replicas:
// for files, names and the admin port.
int descriptors_for_clients(std::size_t open_files);
int descriptors_for_replicas(std::size_t open_files);

// Nine tenths of the memory that the cgroup (v2) lets its processes have; empty if that is not limited.
std::optional<std::uint64_t> memory_of_cgroup();

// Private keys lie in this process's memory, so it leaves no core dump and no other process of its user may read it
// (PR_SET_DUMPABLE, prctl(2)). SCOREGATE_CORE_DUMPS=1 in the environment leaves both possible, for who looks for a
// fault in it. To be called again after a change of user, which sets the first anew.
void keep_out_of_core_dumps();

} // namespace scoregate::app
