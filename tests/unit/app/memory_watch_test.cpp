#include "app/machine.hpp"
#include "app/memory_watch.hpp"

#include <catch2/catch.hpp>

using namespace scoregate::app;
using change = memory_watch::change;

TEST_CASE("memory is short from the limit on, until a sixteenth of it is free again") {
    memory_watch watch;
    CHECK(watch.judge(159, 160) == change::none);
    CHECK_FALSE(watch.is_short());
    CHECK(watch.judge(160, 160) == change::began);
    CHECK(watch.is_short());
    CHECK(watch.judge(155, 160) == change::none);
    CHECK(watch.judge(150, 160) == change::none);
    CHECK(watch.is_short());
    CHECK(watch.judge(149, 160) == change::ended);
    CHECK_FALSE(watch.is_short());
    CHECK(watch.judge(159, 160) == change::none);
    CHECK(watch.judge(1000, 160) == change::began);
    CHECK(watch.judge(1000, {}) == change::ended); // the limit was taken away
    CHECK(watch.judge(1000, {}) == change::none);
}

TEST_CASE("of the descriptors some are for replicas alone, and some for neither") {
    const auto open_files = GENERATE(as<std::size_t>(), 16, 64, 1024, 4096, 1048576);
    CAPTURE(open_files);
    const auto clients = descriptors_for_clients(open_files), replicas = descriptors_for_replicas(open_files);
    CHECK(clients < replicas);
    CHECK(replicas < static_cast<int>(open_files));
    CHECK(clients >= static_cast<int>(connections_for(open_files))); // the limit of connections comes first
    CHECK(clients >= static_cast<int>(open_files / 4 * 3));
}
