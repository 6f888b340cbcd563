#include "telemetry/recent_errors.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;

namespace {

failed_request failed(base::fault kind, int number) {
    failed_request one;
    one.at = std::chrono::system_clock::time_point(std::chrono::seconds(number));
    one.fault = kind;
    one.request_id = brief_text<36>(std::to_string(number));
    return one;
}

std::vector<std::string> ids(const std::vector<failed_request>& of) {
    std::vector<std::string> all;
    for (const auto& each : of) all.emplace_back(each.request_id.view());
    return all;
}

} // namespace

TEST_CASE("a brief text keeps the beginning") {
    CHECK(brief_text<4>().view().empty());
    CHECK(brief_text<4>("abc").view() == "abc");
    CHECK(brief_text<4>("abcdef").view() == "abcd");
    CHECK(brief_text<128>(std::string(500, 'x')).view().size() == 128);
}

TEST_CASE("what is taken is forgotten") {
    recent_errors core;
    CHECK(core.take().empty());
    core.add(failed(base::fault::connect_failed, 1));
    core.add(failed(base::fault::queue_full, 2));
    CHECK(ids(core.take()) == std::vector<std::string>{"1", "2"});
    CHECK(core.take().empty());
    core.add(failed(base::fault::connect_failed, 3));
    CHECK(ids(core.take()) == std::vector<std::string>{"3"});
}

TEST_CASE("of more than there is room for, the last") {
    recent_errors core;
    for (int n = 1; n <= 100; ++n) core.add(failed(base::fault::connect_failed, n));
    const auto taken = core.take();
    REQUIRE(taken.size() == recent_errors::most);
    CHECK(taken.front().request_id.view() == "69");
    CHECK(taken.back().request_id.view() == "100");
}

TEST_CASE("a flood of what clients do wrong hides no failing replica") {
    recent_errors core;
    error_list all;
    core.add(failed(base::fault::replica_closed, 1));
    for (int n = 2; n <= 1000; ++n) {
        core.add(failed(base::fault::auth_wrong, n));
        if (n % 10 == 0) all.add(core.take());
    }
    const auto newest = all.newest();
    CHECK(newest.size() == error_list::most_of_clients + 1);
    CHECK(newest.front().request_id.view() == "1000");
    CHECK(newest.back().fault == base::fault::replica_closed);
}

TEST_CASE("the errors of several cores in the order of time, the newest first") {
    error_list all;
    all.add({failed(base::fault::connect_failed, 5), failed(base::fault::auth_wrong, 1)});
    all.add({failed(base::fault::connect_failed, 3)});
    CHECK(ids(all.newest()) == std::vector<std::string>{"5", "3", "1"});
    for (int n = 10; n < 500; ++n) all.add({failed(base::fault::connect_failed, n)});
    CHECK(all.newest().size() == error_list::most_others + 1);
}
