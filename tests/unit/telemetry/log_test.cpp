#include "telemetry/log.hpp"

#include "config/model.hpp"
#include "telemetry/line_sink.hpp"

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <sstream>
#include <utility>

#include <unistd.h>

using namespace scoregate::telemetry;
using namespace std::chrono_literals;

TEST_CASE("a line of the operational log is time in UTC, level, message") {
    std::ostringstream out;
    auto made = make_log(std::make_shared<spdlog::sinks::ostream_sink_st>(out));
    made.warn("certificate {} expires in {} days", "www.contoso.com", 3);
    made.debug("not at the default level");
    auto line = out.str();
    std::replace_if(
        line.begin(), line.begin() + 24, [](char c) { return c >= '0' && c <= '9'; }, '0');
    CHECK(line == "0000-00-00T00:00:00.000Z warning certificate www.contoso.com expires in 3 days\n");

    // UTC, whatever the local time zone is.
    const auto now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char today[16];
    std::strftime(today, sizeof today, "%Y-%m-%dT%H", &utc);
    ::setenv("TZ", "UTC-11", 1);
    ::tzset();
    out.str("");
    made.warn("again");
    ::unsetenv("TZ");
    ::tzset();
    CHECK(out.str().substr(0, 13) == today);
}

TEST_CASE("who does not read holds nobody up, and is told what was lost") {
    int ends[2]; // both block, as an inherited stderr does
    REQUIRE(::pipe(ends) == 0);
    auto made = make_log(std::make_shared<line_sink>(ends[1]));
    const auto read = [&] {
        std::string text(std::size_t{1} << 20, '\0');
        text.resize(static_cast<std::size_t>(::read(ends[0], text.data(), text.size())));
        return text;
    };
    made.info("first");
    CHECK(read().ends_with(" info first\n"));
    constexpr int count = 1000;
    for (int i = 0; i < count; ++i) made.info("{} {}", i, std::string(900, 'x'));
    const auto taken = read();
    const auto lines = std::count(taken.begin(), taken.end(), '\n');
    CHECK(lines > 10);
    CHECK(lines < count);
    made.info("{}", std::string(100'000, 'y')); // more than it holds: torn
    CHECK(read().starts_with("(lines lost here: " + std::to_string(count - lines) + ","));
    made.info("last");
    const auto last = read();
    CHECK(last.starts_with("\n(lines lost here: 1,"));
    CHECK(last.ends_with(" info last\n"));
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("the level is one of four words") {
    CHECK(log().level() == spdlog::level::info);
    CHECK(set_log_level("debug"));
    CHECK(log().level() == spdlog::level::debug);
    CHECK(set_log_level("warning"));
    CHECK(log().level() == spdlog::level::warn);
    CHECK(set_log_level("error"));
    CHECK(log().level() == spdlog::level::err);
    for (const auto* word : {"", "loud", "off", "DEBUG"}) CHECK_FALSE(set_log_level(word));
    CHECK(log().level() == spdlog::level::err);
    CHECK(log_level() == "error");
    CHECK(set_log_level("info"));
    CHECK(log().level() == spdlog::level::info);
    using level = scoregate::config::log_level;
    for (const auto& [value, word] : {std::pair(level::debug, "debug"), std::pair(level::warning, "warning"),
                                      std::pair(level::error, "error"), std::pair(level::info, "info")}) {
        set_log_level(value);
        CHECK(log_level() == word);
    }
}

TEST_CASE("rate_limited lets one line through per interval and counts the others") {
    rate_limited limit(10s);
    const rate_limited::clock::time_point start{};
    CHECK(limit.allow(start) == 0u);
    CHECK_FALSE(limit.allow(start));
    CHECK_FALSE(limit.allow(start + 9999ms));
    CHECK(limit.allow(start + 10s) == 2u);
    CHECK_FALSE(limit.allow(start + 11s));
    CHECK(limit.allow(start + 1h) == 1u);
    CHECK(limit.allow(start + 2h) == 0u);
}
