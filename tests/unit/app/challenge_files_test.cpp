#include "app/challenge_files.hpp"

#include "support/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <fstream>
#include <map>
#include <string>
#include <sys/stat.h>

using namespace scoregate;
using app::challenge_files;

namespace {

struct fixture {
    explicit fixture(challenge_files::read from)
        : challenges(io.get_executor(), background, tasks, 8, std::move(from),
                     [this](const app::asked_challenge& one, std::optional<std::string> content) {
                         answers[one.number] = std::move(content);
                     }) {}
    void until_answered(std::size_t many) {
        io.restart();
        while (answers.size() < many && io.run_one() != 0) {
        }
        REQUIRE(answers.size() == many);
    }

    base::gate tasks; // ends last: a task that is under way at the end of a test leaves it
    base::asio::io_context io{1};
    std::map<std::uint64_t, std::optional<std::string>> answers;
    base::background background;
    challenge_files challenges;
};

base::task<> read_another(fixture& at, base::background::lane& on, std::optional<int>& read) {
    auto work = [] { return 7; };
    read = co_await at.background.run(at.io.get_executor(), on, std::chrono::minutes{1}, std::move(work));
}

} // namespace

TEST_CASE("however many ask at once, each is answered with what its file holds") {
    fixture at([](const std::string& token) { return token == "none" ? "" : token + ".x"; });
    for (std::uint64_t i = 0; i < 5; ++i) at.challenges.find({0, i, "t" + std::to_string(i)});
    at.challenges.find({0, 5, "none"});
    at.until_answered(6);
    for (std::uint64_t i = 0; i < 5; ++i) CHECK(at.answers[i] == "t" + std::to_string(i) + ".x");
    CHECK_FALSE(at.answers[5]);
}

TEST_CASE("what is no key authorization of that token is not told") {
    fixture at([](const std::string&) { return std::string("other.x"); });
    at.challenges.find({0, 1, "token"});
    at.until_answered(1);
    CHECK_FALSE(at.answers[1]);
}

TEST_CASE("a webroot that hangs keeps few threads, and is read again when it is back") {
    const tests::temporary_folder folder;
    const auto pipe = folder / "hangs";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    std::atomic<unsigned> begun{0};
    std::atomic<bool> hangs{true};
    fixture at([&](const std::string& token) {
        ++begun;
        if (hangs) static_cast<void>(std::ifstream(pipe).get()); // opening it waits for a writer
        return token + ".x";
    });
    for (std::uint64_t i = 0; i < 6; ++i) at.challenges.find({0, i, "token"});
    at.until_answered(challenge_files::at_once); // after its patience
    CHECK_FALSE(at.answers[0]);
    CHECK(begun.load() == challenge_files::at_once);
    // Other files are read meanwhile.
    base::background::lane other;
    std::optional<int> read;
    base::spawn(at.io.get_executor(), at.tasks, read_another(at, other, read));
    at.io.restart();
    while (!read && at.io.run_one() != 0) {
    }
    CHECK(read == 7);

    hangs = false;
    std::ofstream(pipe).close(); // waits for a reader, and frees all that there are
    at.answers.clear();
    // Whether the readers are free yet is theirs to know: each that asks has one look.
    for (std::uint64_t number = 100; at.answers.empty(); ++number) {
        at.challenges.find({0, number, "token"});
        at.io.restart();
        at.io.poll();
        at.io.run_one();
    }
    CHECK(at.answers.begin()->second == "token.x");
}
