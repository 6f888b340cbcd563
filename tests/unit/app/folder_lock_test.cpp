#include "app/folder_lock.hpp"

#include "base/descriptor.hpp"
#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <fcntl.h>
#include <future>
#include <optional>
#include <stdexcept>
#include <unistd.h>

using namespace scoregate;
using app::folder_lock;
using namespace std::chrono_literals;

TEST_CASE("a folder is locked by one at a time, and the other is told") {
    tests::pem_directory folder, another;
    std::optional<folder_lock> first(std::in_place, folder.path(), 0ms);
    CHECK_THROWS_WITH(folder_lock(folder.path(), 0ms), Catch::Contains(folder.path().string()));
    CHECK_NOTHROW(folder_lock(another.path(), 0ms));
    first.reset();
    CHECK_NOTHROW(folder_lock(folder.path(), 0ms));
}

TEST_CASE("who is patient gets the lock when it is free") {
    tests::pem_directory folder;
    std::optional<folder_lock> first(std::in_place, folder.path(), 0ms);
    auto second = std::async(std::launch::async, [&folder] { folder_lock waits(folder.path(), 1min); });
    CHECK(second.wait_for(100ms) == std::future_status::timeout);
    first.reset();
    CHECK_NOTHROW(second.get());
}

TEST_CASE("who is told to end waits no longer") {
    tests::pem_directory folder;
    const folder_lock first(folder.path(), 0ms);
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const base::descriptor told(ends[0]);
    ::close(ends[1]);
    CHECK_THROWS_WITH(folder_lock(folder.path(), 10min, told.number()), Catch::Contains("told to end"));
}

TEST_CASE("a folder that cannot be locked stops nobody") {
    tests::pem_directory folder;
    CHECK_NOTHROW(folder_lock(folder.path() / "nowhere", 0ms));
}
