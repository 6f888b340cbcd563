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

// Whether a line of /proc/self/cgroup, "ID:CONTROLLERS:PATH", is that of a controller of version 1; of version 2, whose
// line is "0::PATH", for an empty one.
bool is_line_of(std::string_view line, std::string_view controller) {
    if (controller.empty()) return line.starts_with("0::/");
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos || !line.substr(second + 1).starts_with('/')) return false;
    const auto all = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    return all.find("," + std::string(controller) + ",") != std::string::npos;
}

// The process's cgroup and each that it is in, as directories, for one controller of version 1 or, empty, for
// version 2. cgroups(7): the path is seen from the process's namespace; outside of that ("/../x") only the root can be
// reached. The root has files of limits where it is a namespace's, or a part of the hierarchy that a container's
// runtime has mounted.
std::vector<std::string> cgroups_of(const kernel_files& at, std::string_view controller) {
    std::ifstream in(at.proc + "/self/cgroup");
    std::string path;
    for (std::string line; std::getline(in, line);)
        if (is_line_of(line, controller)) path = line.substr(line.find(':', line.find(':') + 1) + 1);
    if (path == "/" || path.starts_with("/..")) path.clear();
    std::vector<std::string> all;
    for (;; path.erase(path.rfind('/'))) {
        all.push_back(at.cgroups);
        if (!controller.empty()) all.back().append(1, '/').append(controller);
        all.back().append(path);
        if (path.empty()) return all;
    }
}

constexpr auto no_limit = std::numeric_limits<unsigned>::max();

unsigned cores_of(double quota, double period) {
    return quota > 0 && period > 0 ? static_cast<unsigned>((quota + period - 1) / period) : no_limit;
}

// "cpu.max": "<quota> <period>" in microseconds, or "max <period>".
unsigned quota_of(const std::string& cgroup) {
    std::ifstream in(cgroup + "/cpu.max");
    double quota = 0, period = 0;
    return in >> quota >> period ? cores_of(quota, period) : no_limit;
}

// Version 1 has a file for each; the quota is -1 where there is none.
unsigned first_version_quota_of(const std::string& cgroup) {
    std::ifstream quota_in(cgroup + "/cpu.cfs_quota_us"), period_in(cgroup + "/cpu.cfs_period_us");
    double quota = 0, period = 0;
    return quota_in >> quota && period_in >> period ? cores_of(quota, period) : no_limit;
}

// Lowers `least` to what the file says, if it says a number of bytes.
void lower(std::optional<memory_limit>& least, std::string file) {
    constexpr auto most_there_is = std::uint64_t{1} << 62; // beyond it version 1 means none
    std::ifstream in(file);
    std::uint64_t bytes = 0;
    if (!(in >> bytes) || bytes >= most_there_is) return;
    const auto most = bytes / 10 * 9;
    if (!least || most < least->bytes) least = memory_limit{most, std::move(file)};
}

} // namespace

unsigned usable_cores(const kernel_files& at) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    auto least = known ? static_cast<unsigned>(CPU_COUNT(&allowed)) : 1;
    for (const auto& each : cgroups_of(at, "")) least = std::min(least, quota_of(each));
    for (const auto& each : cgroups_of(at, "cpu")) least = std::min(least, first_version_quota_of(each));
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
    for (const auto& each : cgroups_of(at, "")) lower(least, each + "/memory.max"); // or "max"
    for (const auto& each : cgroups_of(at, "memory")) lower(least, each + "/memory.limit_in_bytes");
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
