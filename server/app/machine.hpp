// What the process may use of the machine it runs on.
#pragma once

#include <cstddef>

namespace scoregate::app {

// Cores by affinity and by the cgroup's CPU quota (rounded up), at least 1.
unsigned usable_cores();

// Raises the soft limit of open files to the hard one and returns it.
std::size_t raise_open_files();

// How many client connections that many descriptors carry: a quarter is left to connections to replicas, and some to
// listeners, logs and the admin port.
std::size_t connections_for(std::size_t open_files);

// Private keys lie in this process's memory, so it leaves no core dump and no other process of its user may read it
// (PR_SET_DUMPABLE, prctl(2)). SCOREGATE_CORE_DUMPS=1 in the environment leaves both possible, for who looks for a
// fault in it. To be called again after a change of user, which sets the first anew.
void keep_out_of_core_dumps();

} // namespace scoregate::app
