#include "control/probe_judge.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
using routing::standing;
using step = probe_judge::step;
using finding = probe_judge::finding;

namespace {

probe_judge::time_point at(double seconds) {
    return probe_judge::time_point{} + std::chrono::milliseconds(static_cast<int>(1000 * seconds));
}

config::readiness_probe terms(unsigned success_threshold = 1, unsigned failure_threshold = 3) {
    config::readiness_probe made;
    made.initial_delay = 10s;
    made.period = 5s;
    made.success_threshold = success_threshold;
    made.failure_threshold = failure_threshold;
    return made;
}

// One event: what happens at which second, and what the judge has to make of it.
struct event {
    double second;
    enum class what : std::uint8_t { rests, probes, spares, succeeds, fails, busy } happens;
    standing stands = standing::ready;
    finding found = finding::nothing;
    bool answered = false; // a request, since the last look
};
using what = event::what;

void play(const config::readiness_probe& by, const std::vector<event>& script) {
    probe_judge judge(by, at(0));
    for (const auto& each : script) {
        CAPTURE(each.second);
        switch (each.happens) {
        case what::rests: CHECK(judge.look(at(each.second), each.answered, each.stands) == step::rest); break;
        case what::busy: // due, but there is no slot
            CHECK(judge.look(at(each.second), each.answered, each.stands) == step::probe);
            break;
        case what::probes:
            CHECK(judge.look(at(each.second), each.answered, each.stands) == step::probe);
            judge.begin(at(each.second), each.stands);
            break;
        case what::spares:
            CHECK(judge.look(at(each.second), each.answered, each.stands) == step::spare);
            judge.spare(at(each.second));
            break;
        case what::succeeds: CHECK(judge.succeeded() == each.found); break;
        case what::fails: CHECK(judge.failed() == each.found); break;
        }
    }
}

} // namespace

TEST_CASE("a replica is probed at once and then each period, from begin to begin") {
    play(terms(), {{0, what::probes},
                   {0.25, what::rests}, // under way
                   {0.5, what::succeeds, {}, finding::ready},
                   {4.75, what::rests},
                   {5, what::probes},
                   {10.25, what::rests}, // it takes longer than a period: one at a time
                   {10.5, what::succeeds, {}, finding::ready},
                   {10.5, what::probes}});
}

TEST_CASE("a new replica's failures do not count for the initial delay, and it is asked each second") {
    const auto starting = standing::starting;
    play(terms(1, 2), {{0, what::probes, starting},
                       {0, what::fails},
                       {0.75, what::rests},
                       {1, what::probes, starting},
                       {1, what::fails},
                       {9.75, what::probes, starting},
                       {9.75, what::fails}, // begun within the delay
                       {10.75, what::probes, starting},
                       {10.75, what::fails}, // the first that counts; now each period
                       {15.5, what::rests},
                       {15.75, what::probes, starting},
                       {15.75, what::fails, {}, finding::unready},
                       {20.75, what::probes, standing::unready},
                       {20.75, what::succeeds, {}, finding::ready}});
}

TEST_CASE("failures of a replica that is in use count within the initial delay, too") {
    play(terms(1, 2), {{0, what::probes}, {0, what::fails}, {5, what::probes}, {5, what::fails, {}, finding::unready}});
}

TEST_CASE("without an initial delay the first failure of a new replica counts") {
    auto by = terms(1, 1);
    by.initial_delay = 0s;
    play(by, {{0, what::probes, standing::starting}, {0, what::fails, {}, finding::unready}, {4.75, what::rests}});
}

TEST_CASE("only successes and failures in a row are counted") {
    play(terms(2, 2), {{0, what::probes},
                       {0, what::succeeds},
                       {5, what::probes},
                       {5, what::fails},
                       {10, what::probes},
                       {10, what::succeeds},
                       {15, what::probes},
                       {15, what::fails},
                       {20, what::probes},
                       {20, what::fails, {}, finding::unready},
                       {25, what::probes},
                       {25, what::succeeds},
                       {30, what::probes},
                       {30, what::succeeds, {}, finding::ready}});
}

TEST_CASE("a request that was answered since the last probe stands in for the one that is due") {
    play(terms(), {{0, what::probes},
                   {0, what::succeeds, {}, finding::ready},
                   {3, what::rests, {}, {}, true},
                   {4, what::rests},
                   {5, what::spares},
                   {9, what::rests},
                   {10, what::probes}}); // none since
}

TEST_CASE("a request that was answered ends a row of failures") {
    play(terms(1, 2), {{0, what::probes},
                       {0, what::fails},
                       {3, what::rests, {}, {}, true},
                       {5, what::spares},
                       {10, what::probes},
                       {10, what::fails},
                       {15, what::probes},
                       {15.5, what::rests, {}, {}, true}, // while it is probed: busy, not dead
                       {17, what::fails},
                       {20, what::spares},
                       {25, what::probes},
                       {25, what::fails},
                       {30, what::probes},
                       {30, what::fails, {}, finding::unready}});
}

TEST_CASE("one answered request spares one probe, however often it is looked") {
    play(terms(), {{0, what::probes},
                   {0, what::succeeds, {}, finding::ready},
                   {1, what::rests, {}, {}, true},
                   {2, what::rests, {}, {}, true},
                   {5, what::spares},
                   {6, what::rests},
                   {10, what::probes}});
}

TEST_CASE("what a replica answers that its probes have found unready brings it back neither at once nor sooner") {
    const auto unready = standing::unready;
    play(terms(2, 1), {{0, what::probes},
                       {0, what::fails, {}, finding::unready},
                       {3, what::rests, unready, {}, true},
                       {5, what::probes, unready},
                       {6, what::rests, unready, {}, true},
                       {7, what::succeeds},
                       {10, what::probes, unready, {}, true},
                       {11, what::rests, unready, {}, true},
                       {12, what::fails, {}, finding::unready}, // the row of successes ends
                       {15, what::probes, unready},
                       {15, what::succeeds},
                       {20, what::probes, unready},
                       {20, what::succeeds, {}, finding::ready}});
}

TEST_CASE("what was answered before a replica became unready spares it no probe") {
    play(terms(1, 1), {{0, what::probes},
                       {1, what::fails, {}, finding::unready},
                       {5, what::probes, standing::unready},
                       {5, what::succeeds, {}, finding::ready},
                       {6, what::rests, {}, {}, true},
                       {7, what::rests, standing::unready}, // by other terms, say
                       {10, what::probes, standing::unready}});
}

TEST_CASE("a probe for which there is no slot is tried again at the next look, and nothing is concluded") {
    play(terms(1, 1), {{0, what::probes},
                       {0, what::succeeds, {}, finding::ready},
                       {5, what::busy},
                       {5.25, what::busy},
                       {65, what::busy},
                       {65.25, what::spares, {}, {}, true}, // it has answered at last
                       {70.25, what::busy},
                       {70.5, what::probes},
                       {70.5, what::fails, {}, finding::unready}});
}
