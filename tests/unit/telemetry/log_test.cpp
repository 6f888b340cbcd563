#include "telemetry/log.hpp"

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <sstream>

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
    CHECK(set_log_level("info"));
    CHECK(log().level() == spdlog::level::info);
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
