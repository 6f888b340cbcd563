// What a core does for each request must not allocate.
#include "support/allocations.hpp"
#include "telemetry/access_log.hpp"
#include "telemetry/service_metrics.hpp"

#include <catch2/catch.hpp>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;

TEST_CASE("recording a request allocates nothing") {
    auto log = access_log::open({.path = "/dev/null"});
    REQUIRE(log);
    auto& core = (*log)->at(0);
    service_metrics of("iris", "blue", 1);
    auto& counts = of.at(0);
    const access_record record{.request_id = "0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f",
                               .path = "/api/v1/service/iris/score",
                               .status = 200,
                               .user_agent = "python-requests/2.28.1"};

    const auto before = tests::allocations_here().ours;
    const std::string on_the_heap(100, 'x'); // shows that the count works
    const auto counting = tests::allocations_here().ours;
    for (int i = 0; i < 100; ++i) {
        core.write(record); // all in one block
        counts.requests.add(base::fault::none, 200);
        counts.requests.add(base::fault::connect_failed, 502);
        counts.request_duration.observe(5ms);
        counts.bytes_in.add(300);
    }
    const auto after = tests::allocations_here().ours;
    CHECK(counting == before + (tests::counts_ours ? 1 : 0));
    CHECK(after == counting);
}
