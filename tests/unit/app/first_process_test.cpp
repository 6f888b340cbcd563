#include "app/first_process.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using namespace scoregate;

namespace {

// The status that a process of its own, in which `act` runs, ends with.
int status_of(int (*act)()) {
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(act());
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return status;
}

} // namespace

TEST_CASE("a first process reaps what is handed to it without being asked") {
    const auto status = status_of([] {
        app::take_over_duties_of_first_process();
        const auto orphan = ::fork();
        if (orphan == 0) ::_exit(0);
        // wait(2): returns when all children have ended, none of which can be waited for.
        return orphan > 0 && ::wait(nullptr) == -1 && errno == ECHILD ? 0 : 1;
    });
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a first process ends by the signals that end others") {
    const auto number = GENERATE(SIGINT, SIGQUIT, SIGTERM);
    CAPTURE(number);
    static int sent;
    sent = number;
    const auto status = status_of([] {
        app::take_over_duties_of_first_process();
        std::raise(sent);
        return 1;
    });
    REQUIRE(WIFEXITED(status)); // by its own doing: the kernel would not
    CHECK(WEXITSTATUS(status) == 128 + number);
}

TEST_CASE("any other process is left as it is") {
    const auto status = status_of([] {
        app::act_as_first_process();
        const auto child = ::fork();
        if (child == 0) ::_exit(0);
        return child > 0 && ::waitpid(child, nullptr, 0) == child ? 0 : 1;
    });
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
