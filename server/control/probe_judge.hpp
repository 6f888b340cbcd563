// When one replica is to be probed next, and what has come of it says about the replica. No I/O and no clock of its
// own: control::health_prober asks it at each look, a few times a second. What requests show counts as well: a replica
// in use that has answered one since the last probe needs none, so that one that is busy is never taken for a dead one.
// Only its probes bring one into use: a server that shuts down may fail its probes and still finish what it has.
//
// initial_delay is Azure's word for the time before the first probe. scoregate does not know when a replica was
// started, only when it saw it first: so it asks at once, to use what is ready, and for that long forgives failures.
#pragma once

#include "config/model.hpp"
#include "routing/deployment.hpp"

#include <chrono>

namespace scoregate::control {

class probe_judge {
public:
    using time_point = std::chrono::steady_clock::time_point;

    // A replica that was seen first at `first_look`. Its first probe is due at once.
    probe_judge(const config::readiness_probe& by, time_point first_look);

    enum class step : std::uint8_t {
        rest,  // not due, or under way
        probe, // due: begin() if there is a slot for it, else ask again at the next look
        spare, // due, but requests have been answered meanwhile: spare() instead of begin()
    };
    // `answered`: a request was since the last look.
    step look(time_point now, bool answered, routing::standing stands);

    void begin(time_point now, routing::standing stands);
    void spare(time_point now);

    enum class finding : std::uint8_t { nothing, ready, unready };
    finding succeeded();
    finding failed();

    time_point due() const { return due_; }
    bool under_way() const { return under_way_; }

private:
    std::chrono::seconds initial_delay_, period_;
    unsigned success_threshold_, failure_threshold_;
    time_point first_look_, due_;
    unsigned successes_ = 0, failures_ = 0; // in a row
    bool under_way_ = false;
    bool forgiven_ = false; // the one under way, if it fails
    bool answered_ = false; // since the last one began; while in use
};

} // namespace scoregate::control
