// What the process may use of the machine it runs on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace scoregate::app {

// Where the kernel tells of this process. Limits are those of its cgroup (version 2, or 1 where that has the
// controller) and of all that it is in, as far up as can be seen: with a cgroup namespace of its own that is one,
// without it every slice of systemd's.
struct kernel_files {
    std::string proc = "/proc", cgroups = "/sys/fs/cgroup";
};

// Cores by affinity and by the least CPU quota (rounded up), at least 1.
unsigned usable_cores(const kernel_files& = {});

// Raises the soft limit of open files to the hard one and returns it.
std::size_t raise_open_files();

// How many client connections that many descriptors carry: a quarter is left to connections to replicas, and some to
// listeners, logs and the admin port.
std::size_t connections_for(std::size_t open_files);

// Where numbers of descriptors begin that are kept for others than clients, and for others than clients and replicas:
// for files, names and the admin port.
int descriptors_for_clients(std::size_t open_files);
int descriptors_for_replicas(std::size_t open_files);

struct memory_limit {
    std::uint64_t bytes = 0; // nine tenths of what the file says
    std::string file;
};

// The least of what cgroups allow; empty if none limits it.
std::optional<memory_limit> memory_of_cgroups(const kernel_files& = {});

// Private keys lie in this process's memory, so it leaves no core dump and no other process of its user may read it
// (PR_SET_DUMPABLE, prctl(2)). SCOREGATE_CORE_DUMPS=1 in the environment leaves both possible, for who looks for a
// fault in it. To be called again after a change of user, which sets the first anew.
void keep_out_of_core_dumps();

} // namespace scoregate::app
