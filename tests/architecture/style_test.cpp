// Rules of the house that a machine can hold without guessing. The reasons are in CONTRIBUTING.md.
#include "architecture/project.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <regex>

using namespace scoregate::tests;

namespace {

const std::vector<std::string> sources{".cpp", ".hpp", ".ipp"};

} // namespace

TEST_CASE("a header opens by saying what it is, and is included once") {
    for (const auto& file : files_below("server", {".hpp", ".ipp"})) {
        const auto text = text_of(file);
        INFO(file);
        CHECK(text.starts_with("// "));
        CHECK(text.find("\n#pragma once\n") != std::string::npos);
    }
}

TEST_CASE("no file outgrows a reader") {
    constexpr std::size_t too_long = 600; // 450 is where to look for the second thing that lives in it
    for (const auto& file : files_below("server", sources)) {
        INFO(file);
        CHECK(lines_of(text_of(file)).size() <= too_long);
    }
}

TEST_CASE("coroutines are started by base::spawn alone, so that every one is in a gate") {
    std::vector<std::string> found;
    for (const auto& file : files_below("server", sources))
        if (const auto text = without_comments(text_of(file));
            text.find("co_spawn(") != std::string::npos || text.find("root_task") != std::string::npos)
            found.push_back(file);
    CHECK(found == std::vector<std::string>{"server/base/gate.hpp", "server/base/task.hpp"});
}

TEST_CASE("no lambda with captures is a coroutine: its captures die before it resumes") {
    // A coroutine cannot deduce its return type, so such a lambda has to name it.
    const std::regex capturing{R"(\[[^\]\[]+\]\s*\([^()]*\)\s*(mutable\s*)?(noexcept\s*)?->\s*(base::|asio::)?)"
                               R"((task|awaitable)\b)"};
    CHECK(std::regex_search("spawn(where, gate, [this](int n) -> base::task<> {", capturing));
    for (const auto& file : files_below("server", sources)) {
        INFO(file);
        CHECK_FALSE(std::regex_search(without_comments(text_of(file)), capturing));
    }
}

TEST_CASE("nothing is awaited in a branch of a conditional expression: g++ 12 runs both") {
    const std::regex branch{R"([?:]\s*co_await\b)"};
    CHECK(std::regex_search("co_return found ? co_await one() : two();", branch));
    for (const auto& file : files_below("server", sources)) {
        INFO(file);
        CHECK_FALSE(std::regex_search(without_comments(text_of(file)), branch));
    }
}

TEST_CASE("the data plane uses concrete executors, one thread per io_context, and no sleep") {
    const std::regex forbidden{R"(\b(any_io_executor|strand|sleep_for|sleep_until|usleep)\b)"};
    for (const auto& file : files_below("server", sources)) {
        INFO(file);
        CHECK_FALSE(std::regex_search(without_comments(text_of(file)), forbidden));
    }
}
