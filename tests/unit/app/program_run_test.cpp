#include "app/program_run.hpp"

#include "base/descriptor.hpp"
#include "support/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <csignal>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using namespace scoregate;
using namespace scoregate::app;
using namespace std::chrono_literals;
using texts = std::vector<std::string>;

namespace {

struct outcome {
    std::optional<std::string> wrong;
    texts lines;
};

outcome run_one(const program& one, std::chrono::seconds limit = 60s, int until = -1) {
    outcome made;
    made.wrong = run(one, limit, until, [&made](std::string_view line) { made.lines.emplace_back(line); });
    return made;
}

program script(const std::string& text) { return {{"sh", "-c", text}, {}}; }

} // namespace

TEST_CASE("lines of both outputs come as they are, the last one without its end too") {
    const auto done = run_one(script("echo one; echo two >&2; printf three"));
    CHECK_FALSE(done.wrong);
    CHECK(done.lines == texts{"one", "two", "three"});
}

TEST_CASE("words are the program's, whatever is in them") {
    const auto done = run_one({{"printf", "%s\n", "$(id); 'a' \"b\"", "*"}, {}});
    CHECK(done.lines == texts{"$(id); 'a' \"b\"", "*"});
}

TEST_CASE("variables are given beside this process's, and over them") {
    auto one = script("echo $NEW; echo $PATH");
    one.environment = {"NEW=x=y", "PATH=/usr/bin:/bin:/given"};
    CHECK(run_one(one).lines == texts{"x=y", "/usr/bin:/bin:/given"});
}

TEST_CASE("how it ended is told") {
    CHECK(run_one(script("exit 3")).wrong == "ended with status 3");
    CHECK(run_one(script("kill -KILL $$")).wrong == "was killed: Killed");
    CHECK(run_one({{"no-such-program-here"}, {}}).wrong == "cannot be started: No such file or directory");
}

TEST_CASE("how it ended is told to a first process too, which does not ask for the ends of others") {
    const auto before = std::signal(SIGCHLD, SIG_IGN);
    const auto done = run_one(script("exit 3"));
    CHECK(std::signal(SIGCHLD, before) == SIG_IGN);
    REQUIRE(done.wrong);
    CHECK_THAT(*done.wrong, Catch::Contains("status 3"));
}

TEST_CASE("what takes too long, or is not wanted any more, is ended") {
    CHECK(run_one({{"sleep", "3600"}, {}}, 1s).wrong == "took longer than 1 s");
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const base::descriptor watched(ends[0]);
    ::close(ends[1]);
    CHECK(run_one({{"sleep", "3600"}, {}}, 60s, watched.number()).wrong == "was told to end");
}

TEST_CASE("who does not listen to SIGTERM is killed") {
    const tests::temporary_folder folder;
    const auto pipe = folder / "told";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const base::descriptor watched(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    const auto done =
        run_one(script("trap '' TERM; echo > " + pipe + "; while :; do sleep 0.1; done"), 60s, watched.number());
    CHECK(done.wrong == "was told to end");
}

TEST_CASE("who talks without end takes too long all the same, whether or not it listens to SIGTERM") {
    CHECK(run_one(script("while :; do echo on; done"), 1s).wrong == "took longer than 1 s");
    CHECK(run_one(script("trap '' TERM; while :; do echo on; done"), 1s).wrong == "took longer than 1 s");
}

TEST_CASE("who has closed its output and goes on is not waited for without end") {
    const auto done = run_one(script("echo last; exec >&- 2>&-; exec sleep 3600"));
    CHECK(done.lines == texts{"last"});
    CHECK(done.wrong == "was killed: Killed");
}

TEST_CASE("a program is looked for in PATH") {
    CHECK(is_installed("sh"));
    CHECK_FALSE(is_installed("no-such-program-here"));
}
