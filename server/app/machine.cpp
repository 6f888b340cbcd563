#include "app/machine.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace scoregate::app {

namespace {

// cgroup v2 "cpu.max": "<quota> <period>" in microseconds, or "max <period>".
unsigned quota_cores(const char* file) {
    std::ifstream in(file);
    double quota = 0, period = 0;
    if (in >> quota >> period && quota > 0 && period > 0) return static_cast<unsigned>((quota + period - 1) / period);
    return std::numeric_limits<unsigned>::max();
}

} // namespace

unsigned usable_cores() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    const unsigned by_affinity = known ? static_cast<unsigned>(CPU_COUNT(&allowed)) : 1;
    return std::max(1U, std::min(by_affinity, quota_cores("/sys/fs/cgroup/cpu.max")));
}

std::size_t raise_open_files() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

std::size_t connections_for(std::size_t open_files) {
    const auto reserved = std::min<std::size_t>(256, open_files / 4);
    return std::max<std::size_t>(1, open_files - open_files / 4 - reserved);
}

int descriptors_for_clients(std::size_t open_files) {
    return static_cast<int>(open_files - std::min<std::size_t>(1024, open_files / 8));
}

int descriptors_for_replicas(std::size_t open_files) {
    return static_cast<int>(open_files - std::min<std::size_t>(64, open_files / 16));
}

std::optional<std::uint64_t> memory_of_cgroup() {
    std::ifstream in("/sys/fs/cgroup/memory.max"); // a number of bytes, or "max"
    std::uint64_t bytes = 0;
    if (!(in >> bytes)) return {};
    return bytes / 10 * 9;
}

void keep_out_of_core_dumps() {
    if (const auto* const wish = std::getenv("SCOREGATE_CORE_DUMPS");
        wish != nullptr && std::string_view(wish) == "1") {
        ::prctl(PR_SET_DUMPABLE, 1); // again, after another user
        return;
    }
    constexpr rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    ::prctl(PR_SET_DUMPABLE, 0);
}

} // namespace scoregate::app
