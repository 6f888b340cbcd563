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
#include <utility>
#include <vector>

namespace scoregate::app {

namespace {

// The file `name` of the process's cgroup and of each that it is in. cgroups(7): a line "0::PATH", seen from the
// process's namespace; outside of that ("/../x") only the root can be reached. The root has files of limits where it is
// a namespace's, or a part of the hierarchy that a container's runtime has mounted.
std::vector<std::string> cgroup_files(const kernel_files& at, const std::string& name) {
    std::ifstream in(at.proc + "/self/cgroup");
    std::string path;
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("0::/")) path = line.substr(3);
    if (path == "/" || path.starts_with("/..")) path.clear();
    std::vector<std::string> files;
    for (;; path.erase(path.rfind('/'))) {
        files.push_back(std::string(at.cgroups).append(path).append(1, '/').append(name));
        if (path.empty()) return files;
    }
}

// "cpu.max": "<quota> <period>" in microseconds, or "max <period>".
unsigned quota_cores(const std::string& file) {
    std::ifstream in(file);
    double quota = 0, period = 0;
    if (in >> quota >> period && quota > 0 && period > 0) return static_cast<unsigned>((quota + period - 1) / period);
    return std::numeric_limits<unsigned>::max();
}

} // namespace

unsigned usable_cores(const kernel_files& at) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    auto least = known ? static_cast<unsigned>(CPU_COUNT(&allowed)) : 1;
    for (const auto& file : cgroup_files(at, "cpu.max")) least = std::min(least, quota_cores(file));
    return std::max(1U, least);
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

std::optional<memory_limit> memory_of_cgroups(const kernel_files& at) {
    std::optional<memory_limit> least;
    for (auto& file : cgroup_files(at, "memory.max")) {
        std::ifstream in(file); // a number of bytes, or "max"
        std::uint64_t bytes = 0;
        if (!(in >> bytes)) continue;
        const auto most = bytes / 10 * 9;
        if (!least || most < least->bytes) least = memory_limit{most, std::move(file)};
    }
    return least;
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
