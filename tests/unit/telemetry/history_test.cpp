#include "telemetry/history.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <vector>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;

namespace {

using time_point = history::clock::time_point;

constexpr time_point began{1000s};

// Services with one core, sampled every 5 s from `began` on.
struct fixture {
    history past{began};
    time_point now = began;
    std::vector<std::unique_ptr<service_metrics>> all{};
    std::vector<history::source> sources{};

    service_metrics& add(const std::string& service, const std::string& deployment = "blue") {
        all.push_back(std::make_unique<service_metrics>(service, deployment, 1));
        sources.push_back({all.back().get()});
        return *all.back();
    }
    void observe() {
        now += history::interval;
        past.observe(sources, now);
    }
    const history::samples& of(const std::string& service) const { return past.services().at(service); }
};

void finish(service_metrics& of, base::fault kind, std::uint16_t status, std::chrono::nanoseconds took = 3ms) {
    of.at(0).requests.add(kind, status);
    of.at(0).request_duration.observe(took);
}

double to_ms(const std::optional<std::chrono::nanoseconds>& took) {
    REQUIRE(took);
    return std::chrono::duration<double, std::milli>(*took).count();
}

} // namespace

TEST_CASE("a quantile lies within its bucket, evenly spread") {
    histogram::reading counts;
    CHECK_FALSE(quantile(counts, request_bounds, 0.5));
    counts.counts[2] = 100; // 2.5 to 5 ms
    CHECK(to_ms(quantile(counts, request_bounds, 0.5)) == Approx(3.75));
    CHECK(to_ms(quantile(counts, request_bounds, 0.99)) == Approx(4.975));
    CHECK(to_ms(quantile(counts, request_bounds, 1)) == Approx(5));
    counts.counts[0] = 300; // up to 1 ms
    CHECK(to_ms(quantile(counts, request_bounds, 0.5)) == Approx(2.0 / 3));
    CHECK(to_ms(quantile(counts, request_bounds, 0.875)) == Approx(3.75));
}

TEST_CASE("what is over every bound counts as the last of them") {
    histogram::reading counts;
    counts.counts.back() = 1;
    CHECK(quantile(counts, request_bounds, 0.01) == request_bounds.back());
    counts.counts[0] = 99;
    CHECK(to_ms(quantile(counts, request_bounds, 0.5)) < 1);
    CHECK(quantile(counts, request_bounds, 0.999) == request_bounds.back());
}

TEST_CASE("a sample is what has come since the one before, of all deployments of a service") {
    fixture at;
    auto& blue = at.add("iris", "blue");
    auto& green = at.add("iris", "green");
    auto& other = at.add("other");
    finish(blue, base::fault::none, 200);
    finish(green, base::fault::connect_failed, 502);
    finish(other, base::fault::none, 200);
    at.observe();
    CHECK(at.past.turn() == 1);
    REQUIRE(at.of("iris").size() == 1);
    CHECK(at.of("iris").back().requests == 2);
    CHECK(at.of("iris").back().errors == 1);
    CHECK(at.of("other").back().requests == 1);

    finish(green, base::fault::none, 200, 7s);
    at.sources[0].queued = 3;
    at.sources[1].queued = 4;
    blue.at(0).in_flight.add(2);
    at.observe();
    const auto& last = at.of("iris").back();
    CHECK(last.requests == 1);
    CHECK(last.errors == 0);
    CHECK(last.queued == 7);
    CHECK(last.in_flight == 2);
    CHECK(last.durations[12] == 1); // 5 to 10 s
    CHECK(at.of("other").back().requests == 0);
}

TEST_CASE("whose errors they are") {
    fixture at;
    auto& iris = at.add("iris");
    finish(iris, base::fault::auth_wrong, 401);
    finish(iris, base::fault::client_gone, 499);
    finish(iris, base::fault::none, 404); // the model's own
    finish(iris, base::fault::none, 500);
    finish(iris, base::fault::model_error, 424);
    finish(iris, base::fault::queue_full, 429);
    finish(iris, base::fault::stream_broken, 200);
    finish(iris, base::fault::none, 302);
    at.observe();
    CHECK(at.of("iris").back().requests == 8);
    CHECK(at.of("iris").back().client_errors == 3);
    CHECK(at.of("iris").back().errors == 4);
}

TEST_CASE("as many samples as are kept, and no more") {
    fixture at;
    auto& iris = at.add("iris");
    for (std::size_t n = 0; n < history::most_samples + 5; ++n) {
        for (std::size_t i = 0; i <= n; ++i) finish(iris, base::fault::none, 200);
        at.observe();
    }
    CHECK(at.past.turn() == history::most_samples + 5);
    REQUIRE(at.of("iris").size() == history::most_samples);
    CHECK(at.past.lengths().size() == history::most_samples);
    CHECK(at.of("iris").front().requests == 6);
    CHECK(at.of("iris").back().requests == history::most_samples + 5);
}

TEST_CASE("who comes later has fewer samples, and who goes is forgotten") {
    fixture at;
    at.add("iris");
    at.observe();
    auto& late = at.add("late");
    finish(late, base::fault::none, 200);
    at.observe();
    CHECK(at.of("iris").size() == 2);
    REQUIRE(at.of("late").size() == 1);
    CHECK(at.of("late").back().requests == 1); // it has begun in this interval

    at.sources.erase(at.sources.begin());
    at.observe();
    CHECK_FALSE(at.past.services().contains("iris"));
    CHECK(at.past.last(at.of("late"), 100).length == 10s);
}

TEST_CASE("a service that comes back with new counts does not count backwards") {
    fixture at;
    for (int n = 0; n < 10; ++n) {
        auto& iris = n == 0 ? at.add("iris") : *at.all.back();
        finish(iris, base::fault::none, 200);
    }
    at.observe();
    at.sources.clear();
    finish(at.add("iris"), base::fault::none, 200);
    at.observe();
    CHECK(at.of("iris").back().requests == 1);
}

TEST_CASE("a summary adds intervals up by their true length") {
    fixture at;
    auto& iris = at.add("iris");
    finish(iris, base::fault::none, 200, 30s);
    at.observe();
    for (int n = 0; n < 10; ++n) finish(iris, base::fault::none, 200);
    at.sources[0].queued = 9;
    at.now += 10s; // a stop of the whole process, say
    at.observe();
    for (int n = 0; n < 10; ++n) finish(iris, base::fault::request_timeout, 504);
    at.sources[0].queued = 1;
    at.observe();

    const auto both = at.past.last(at.of("iris"), 2);
    CHECK(both.length == 20s);
    CHECK(both.requests == 20);
    CHECK(both.errors == 10);
    CHECK(both.rate() == Approx(1));
    CHECK(both.queued == 9);
    CHECK(to_ms(both.p99) < 5);
    CHECK(at.past.last(at.of("iris"), 1).rate() == Approx(2));
    CHECK(to_ms(at.past.last(at.of("iris"), 99).p99) > 10'000);
    CHECK(at.past.last(at.of("iris"), 99).requests == 21);
    CHECK_FALSE(at.past.last(at.of("iris"), 0).p50);
    CHECK(at.past.last(at.of("iris"), 0).rate() == 0);
}

TEST_CASE("more services than are kept are left out, and are not taken for new ones when there is room") {
    fixture at;
    at.add("", ""); // no service's requests have their place in any case
    for (std::size_t n = 0; n < history::most_services + 2; ++n) at.add("s" + std::to_string(1000 + n));
    auto& last = *at.all.back();
    for (int n = 0; n < 50; ++n) finish(last, base::fault::none, 200);
    at.observe();
    CHECK(at.past.services().size() == history::most_services + 1);
    CHECK(at.past.services().contains(""));
    CHECK(at.past.left_out() == 2);
    CHECK_FALSE(at.past.services().contains(last.service()));

    at.sources.erase(at.sources.begin() + 1, at.sources.begin() + 3);
    finish(last, base::fault::none, 200);
    at.observe();
    CHECK(at.past.left_out() == 0);
    CHECK(at.of(last.service()).back().requests == 0); // nobody knows since when
    finish(last, base::fault::none, 200);
    at.observe();
    CHECK(at.of(last.service()).back().requests == 1);
}
