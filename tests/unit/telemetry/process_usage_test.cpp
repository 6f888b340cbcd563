#include "telemetry/process_usage.hpp"

#include <catch2/catch.hpp>

#include <ctime>
#include <future>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace scoregate::telemetry;
using namespace std::chrono_literals;

TEST_CASE("open descriptors are counted exactly") {
    const auto before = read_process_usage();
    const int fd = ::open("/dev/null", O_RDONLY);
    REQUIRE(fd >= 0);
    const auto after = read_process_usage();
    ::close(fd);
    CHECK(before.open_fds >= 1);
    CHECK(after.open_fds == before.open_fds + 1);
    CHECK(read_process_usage().open_fds == before.open_fds);
}

TEST_CASE("the descriptor limit is the soft one") {
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(read_process_usage().max_fds == limit.rlim_cur);
}

TEST_CASE("start time lies in the past and does not move, CPU time and memory are ours") {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto first = read_process_usage();
    CHECK(first.start_time > 0ns);
    CHECK(first.start_time <= now + 1s); // boot time is told in whole seconds
    CHECK(first.start_time > now - 1h);  // the test began within its time limit
    CHECK(first.cpu > 0ns);
    CHECK(first.resident_bytes > 64 * 1024);
    CHECK(first.virtual_bytes > first.resident_bytes);

    const auto second = read_process_usage();
    CHECK(second.start_time == first.start_time);
    CHECK(second.cpu > first.cpu);
}

TEST_CASE("the CPU time of a thread is its own, and none once it has ended") {
    std::promise<void> worked, may_end;
    std::thread worker([&worked, told = may_end.get_future()] {
        timespec spent{};
        do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
        while (spent.tv_sec == 0 && spent.tv_nsec < 20'000'000);
        worked.set_value();
        told.wait();
    });
    const thread_clock clock(worker);
    worked.get_future().wait();
    const auto spent = clock.spent();
    CHECK(spent >= 20ms);
    CHECK(spent <= read_process_usage().cpu);
    may_end.set_value();
    worker.join(); // returns before the kernel has done with the thread
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (clock.spent() != 0ns && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    CHECK(clock.spent() == 0ns);
}
