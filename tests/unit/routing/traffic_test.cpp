#include "routing/traffic.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cmath>

using namespace scoregate::routing;

TEST_CASE("every hundred turns of a core are divided exactly, and evenly in between") {
    const auto percents =
        GENERATE(std::vector<unsigned>{100}, std::vector<unsigned>{90, 10}, std::vector<unsigned>{0, 1, 99},
                 std::vector<unsigned>{33, 33, 34}, std::vector<unsigned>(20, 5), std::vector<unsigned>{50, 0, 50});
    const traffic split(percents);
    traffic_places places(3);
    for (unsigned core = 0; core < 3; ++core) {
        std::vector<int> counts(percents.size());
        for (int turn = 1; turn <= 10000; ++turn) {
            ++counts[split.next(places.at(core).turn).value()];
            if (turn % 100 != 0) continue;
            for (std::size_t i = 0; i < counts.size(); ++i)
                REQUIRE(counts[i] == turn / 100 * static_cast<int>(percents[i]));
        }
    }
}

TEST_CASE("a share is spread, not served in one piece") {
    const std::vector<unsigned> percents{75, 25};
    const traffic split(percents);
    traffic_places places(1);
    int since = 0, longest = 0;
    for (int i = 0; i < 1000; ++i) {
        since = split.next(places.at(0).turn).value() == 1 ? 0 : since + 1;
        longest = std::max(longest, since);
    }
    CHECK(longest == 3);
}

TEST_CASE("cores do not begin with the same turn") {
    const std::vector<unsigned> percents{50, 50};
    const traffic split(percents);
    traffic_places places(2);
    CHECK(split.next(places.at(0).turn) != split.next(places.at(1).turn));
}

TEST_CASE("no percentage at all is no traffic") {
    traffic_places places(1);
    CHECK_FALSE(traffic{}.next(places.at(0).turn));
    const std::vector<unsigned> none{0, 0};
    CHECK_FALSE(traffic(none).next(places.at(0).turn));
}
