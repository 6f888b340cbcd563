#include "telemetry/process_usage.hpp"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace scoregate::telemetry {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// proc(5): field 22 of /proc/self/stat counts clock ticks from boot; `btime` of /proc/stat is when that was.
nanoseconds start_time() {
    std::ifstream stat("/proc/self/stat");
    std::string text(std::istreambuf_iterator<char>(stat), {});
    // Field 2 is the program's name in parentheses and may hold anything, so count from the last one.
    const auto name_end = text.rfind(')');
    if (name_end == std::string::npos) return {};
    std::istringstream fields(text.substr(name_end + 1));
    std::string skipped;
    for (int field = 3; field < 22; ++field) fields >> skipped;
    std::int64_t ticks = 0;
    fields >> ticks;

    std::ifstream system("/proc/stat");
    std::int64_t boot = 0;
    for (std::string word; system >> word;)
        if (word == "btime") {
            system >> boot;
            break;
        }
    return seconds{boot} + nanoseconds{ticks * (1'000'000'000 / sysconf(_SC_CLK_TCK))};
}

std::uint64_t open_fds() {
    std::error_code ec;
    std::filesystem::directory_iterator entry("/proc/self/fd", ec);
    std::uint64_t count = 0;
    for (; !ec && entry != std::filesystem::directory_iterator{}; entry.increment(ec)) ++count;
    return count == 0 ? 0 : count - 1; // the one that reads the directory
}

nanoseconds spent_by(clockid_t clock) {
    timespec spent{};
    if (clock_gettime(clock, &spent) != 0) return {};
    return seconds{spent.tv_sec} + nanoseconds{spent.tv_nsec};
}

struct memory_use {
    std::uint64_t virtual_bytes = 0, resident_bytes = 0;
};

memory_use read_memory() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total_pages = 0, resident_pages = 0;
    statm >> total_pages >> resident_pages;
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    return {total_pages * page, resident_pages * page};
}

} // namespace

std::uint64_t resident_bytes() { return read_memory().resident_bytes; }

process_usage read_process_usage() {
    process_usage now;
    now.start_time = start_time();
    now.cpu = spent_by(CLOCK_PROCESS_CPUTIME_ID);
    const auto memory = read_memory();
    now.resident_bytes = memory.resident_bytes;
    now.virtual_bytes = memory.virtual_bytes;
    now.open_fds = open_fds();
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) now.max_fds = limit.rlim_cur;
    return now;
}

thread_clock::thread_clock(std::thread& of) {
    clockid_t clock{};
    if (pthread_getcpuclockid(of.native_handle(), &clock) == 0) clock_ = clock;
}

nanoseconds thread_clock::spent() const { return clock_ ? spent_by(*clock_) : nanoseconds{}; }

} // namespace scoregate::telemetry
